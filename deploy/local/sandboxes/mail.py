"""The mail server's sandbox: takes mail over SMTP, keeps it, lists it over HTTP.

A mail's identity is its Message-ID. SMTP is at-least-once, so a repeated Message-ID is counted
and not stored again; a mail is acknowledged only once it is committed.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.parser import BytesHeaderParser
from email.policy import default as modern

from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.sandboxes.serving import Place, Sandbox, build_app, serve
from deploy.local.sandboxes.store import SandboxStore

SCHEMA = """
CREATE TABLE IF NOT EXISTS mail (
  message_id TEXT PRIMARY KEY, recipients TEXT NOT NULL, subject TEXT NOT NULL,
  count INTEGER NOT NULL, content BLOB NOT NULL
)
"""
TAKE = """
INSERT INTO mail VALUES (?, ?, ?, 1, ?)
ON CONFLICT (message_id) DO UPDATE SET count = count + 1
"""
LIST = """
SELECT message_id AS id, recipients AS "to", subject, count FROM mail
WHERE message_id > :after ORDER BY message_id LIMIT 1000
"""


class Sink:
    """The handler that aiosmtpd calls by name for each mail."""

    def __init__(self, store: SandboxStore) -> None:
        self._store = store

    async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = bytes(envelope.original_content or b"")
        headers = BytesHeaderParser(policy=modern).parsebytes(content)
        name = str(headers.get("message-id", "")).strip()
        name = name or f"<{hashlib.sha256(content).hexdigest()}@unnamed.invalid>"
        row = (name, ", ".join(envelope.rcpt_tos), str(headers.get("subject", "")), content)
        await self._store.run(lambda db: db.execute(TAKE, row))
        return "250 kept"


def listening(port: int) -> Callable[[Sandbox], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def listen(sandbox: Sandbox) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        sink = Sink(sandbox.store)
        server = await loop.create_server(
            lambda: SMTP(sink, hostname="localhost", loop=loop, ident="Baton mail sandbox"),
            "127.0.0.1",
            port,
        )
        sandbox.ports["smtp"] = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    return listen


async def messages(request: Request) -> Response:
    """Up to 1,000 at a time, by Message-ID; `?after=` goes on from one."""
    after = request.query_params.get("after", "")

    def rows(db: sqlite3.Connection) -> list[dict[str, object]]:
        return [dict(row) for row in db.execute(LIST, {"after": after})]

    found = await request.app.state.sandbox.store.run(rows)
    return JSONResponse({"messages": found, "next": found[-1]["id"] if len(found) == 1000 else ""})


async def totals(request: Request) -> Response:
    """How many mails there are, and how many deliveries were repeats."""

    def count(db: sqlite3.Connection) -> dict[str, int]:
        row = db.execute(
            "SELECT count(*) AS mails, coalesce(sum(count), 0) - count(*) AS repeats FROM mail"
        )
        return dict(row.fetchone())

    return JSONResponse(await request.app.state.sandbox.store.run(count))


def build(place: Place) -> Starlette:
    return build_app(
        SandboxStore(place.database, SCHEMA),
        [Route("/messages", messages), Route("/totals", totals)],
        beside=listening(place.smtp_port),
    )


if __name__ == "__main__":
    serve("mail", build, "BATON_API_PORT", "BATON_SMTP_PORT")
