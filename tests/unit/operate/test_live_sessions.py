"""An open stream ends with what let its watcher in, and keeps nobody logged in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from stage import TOKEN
from starlette.requests import HTTPConnection
from starlette.types import Message
from website import LOOKS, Website, website

from orchestrator.operate.pages.live import ENDED
from orchestrator.operate.sessions import COOKIE, IDLE_S, csrf_of
from services.chassis.tokens import read_tokens, revoked, written

QUERY = b"view=stuck"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened
        opened.live.stop()


@dataclass
class Watcher:
    """A client that reads `/live` until it ends."""

    header: tuple[str, str]
    body: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, site: Website) -> str:
        name, value = (each.encode() for each in self.header)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/live",
            "raw_path": b"/live",
            "query_string": QUERY,
            "root_path": "",
            "headers": [(b"host", b"console"), (name, value)],
            "client": ("127.0.0.1", 1),
            "server": ("console", 80),
        }
        await site.app(scope, asyncio.Event().wait, self._send)  # type: ignore[arg-type]
        return self.body

    async def _send(self, message: Message) -> None:
        self.body += message.get("body", b"").decode()
        if self.body:
            self.begun.set()


def session(site: Website, token: str) -> str:
    return site.sessions.begin(site.sessions._tokens.principal(token))


@asynccontextmanager
async def watching(
    site: Website, **headers: tuple[str, str]
) -> AsyncIterator[dict[str, asyncio.Task[str]]]:
    watchers = {name: Watcher(header) for name, header in headers.items()}
    tasks = {name: asyncio.create_task(each.watch(site)) for name, each in watchers.items()}
    async with asyncio.timeout(30):
        for each in watchers.values():
            await each.begun.wait()
        yield tasks
        site.live.stop()
        await asyncio.gather(*tasks.values())


async def test_a_stream_ends_with_its_session(site: Website, tmp_path: Path) -> None:
    """By logging out, by a token that was revoked, and unused for long: at its next look. Others
    go on, until the console stops.
    """
    out, idle, gone = session(site, TOKEN), session(site, TOKEN), session(site, LOOKS)
    async with watching(
        site,
        out=("cookie", f"{COOKIE}={out}"),
        idle=("cookie", f"{COOKIE}={idle}"),
        gone=("cookie", f"{COOKIE}={gone}"),
        token=("authorization", f"Bearer {LOOKS}"),
        other=("authorization", f"Bearer {TOKEN}"),
    ) as streams:
        connection = HTTPConnection(
            {"type": "http", "headers": [(b"cookie", f"{COOKIE}={out}".encode())]}
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(site.app),
            base_url="http://console",
            cookies={COOKIE: out},
        ) as browser:
            await browser.post("/logout", data={"csrf": csrf_of(connection)})
        file = tmp_path / "tokens.json"
        known = read_tokens(file)
        was = [each for each in known if each.role == "viewer"]
        ended = revoked(was, was[0].name, datetime.fromtimestamp(0, UTC))
        file.write_text(written([each for each in known if each.role != "viewer"] + list(ended)))
        for name in ("out", "gone", "token"):
            assert (await streams[name]).endswith(ENDED), name
        assert not any(streams[name].done() for name in ("idle", "other"))
        site.playing.wait(IDLE_S + 1)
        assert (await streams["idle"]).endswith(ENDED)
        assert not streams["other"].done()
    assert ENDED not in streams["other"].result()
    assert sum(change for _, change in site.streams) == 0


async def test_a_page_that_renews_itself_is_not_being_used(site: Website) -> None:
    """What it asks by itself does not put off the end of an unused session."""
    cookie = session(site, LOOKS)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(site.app), base_url="http://console", cookies={COOKIE: cookie}
    ) as browser:
        codes = []
        for path in ("/stuck", "/live?view=stuck&once=1", "/stuck"):
            site.playing.wait(IDLE_S / 2 + 1 if codes else 0)
            codes.append((await browser.get(path)).status_code)
    assert codes == [200, 200, 303]
