"""Secrets and personal data, put everywhere at once, and then looked for everywhere.

A table of canaries is sent through the console as it is put together in production, over the real
engine and real dead letters. What every route answers to every role, what is logged at any level,
what is counted and what is written into the audit is kept, and searched for each of them.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from kafka_log import KafkaLog
from letterbox import ByHost
from orchestra import CATALOGUE, CODEC, Orchestra, orchestra
from stage import Hands
from starlette.applications import Starlette
from telling_stage import Ticking, Wire

from deploy.local.home import Home
from orchestrator.operate import telling as console_telling
from orchestrator.operate.auditing import MIGRATIONS, Audit
from orchestrator.operate.console import Parts, console_routes
from orchestrator.operate.database import Database
from orchestrator.operate.login import Ways
from orchestrator.operate.metrics import CONSOLE, ConsoleMetrics
from orchestrator.operate.oidc_login import Client, OidcLogin
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import Views
from orchestrator.operate.sessions import COOKIE, Sessions
from orchestrator.operate.surfaces import Surfaces
from orchestrator.operate.tailing import Tails
from orchestrator.operate.telling import Telling
from orchestrator.sagas import SAGAS
from schemas.billing import AuthorisePayment
from schemas.customers import CustomerRegistered
from services.chassis.access import Guarded, Principal, Role
from services.chassis.envelope import Cause, Maker
from services.chassis.gate import Gate, secured
from services.chassis.handlers import Answer, answers
from services.chassis.health import operations_app
from services.chassis.letters import Letters
from services.chassis.letters_http import Tells, letter_routes
from services.chassis.logs import JsonLines, TextLines
from services.chassis.metrics import Known, Metrics
from services.chassis.tokens import NotAdmitted
from tests.gates import gate_for
from tests.unit.chassis.company import DirectStore, Tally, billing, command, order_id

BACK = "http://console/login/oidc/back"
CUSTOMERS = "customers.customer.events.v1"
SECRETS = {
    "an operator's token": "baton_canary0operators",
    "a viewer's token": "baton_canary0viewers",
    "a wrong token": "baton_canary0wrong",
    "the client's secret": "canary0client0secret",
    "the provider's code": "canary0code",
    "the provider's error": "canary0error",
    "a token from there": "canary0header.canary0claims.canary0signature",
}
PERSONAL = {
    "a name": "Canary0 Ann Bee",
    "another name": "Canary0 Eve Cee",
    "a mail address": "canary0@example.org",
    "a card": "tok_canary0card",
}
CANARIES = {**SECRETS, **PERSONAL}
OPERATORS, VIEWERS = SECRETS["an operator's token"], SECRETS["a viewer's token"]
ADMINS, PUBLISHERS = "admins-own", "publishers-own"
ROLES = {
    OPERATORS: Role.OPERATOR,
    VIEWERS: Role.VIEWER,
    ADMINS: Role.ADMIN,
    PUBLISHERS: Role.PUBLISHER,
}


class Refused(Exception):
    """What a handler raises that tells too much."""


def leaking(asked: AuthorisePayment, rows: Mapping[str, Tally]) -> Answer:
    raise Refused(f"{asked.payment_method} of {asked.order_id}: {len(rows)}")


class NobodyThere:
    """Names nobody, and says why with all it was given."""

    async def logged_in(self, token: str, nonce: str) -> Principal:
        why = ValueError(f"{token} {nonce}")
        raise NotAdmitted("the signed token is refused: ValueError") from why


def provider(request: httpx.Request) -> httpx.Response:
    del request
    return httpx.Response(200, json={"id_token": SECRETS["a token from there"]})


@dataclass
class Seen:
    """Everything that anybody was shown: where, and the text."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def of(self, canary: str) -> list[str]:
        ways = {canary, quote(canary), canary.replace("@", "&#64;")}
        return [where for where, text in self.texts if any(each in text for each in ways)]


@dataclass
class Stage:
    playing: Orchestra
    app: Starlette
    paths: list[str]
    http: httpx.AsyncClient
    metrics: Metrics
    sessions: Sessions
    seen: Seen = field(default_factory=Seen)

    async def ask(self, method: str, path: str, token: str = "", **more: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.http.request(method, path, headers=headers, **more)  # type: ignore[arg-type]
        who = ROLES.get(token, "nobody")
        kept = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        shown = re.sub(rf"{COOKIE}=[^;]*", "", kept) + answer.text
        self.seen.texts.append((f"{answer.status_code} {method} {path} as {who}", shown))
        return answer


@contextmanager
def listening() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Both formats of a process's log, at every level and of every logger."""
    root = logging.getLogger()
    level, streams = root.level, (io.StringIO(), io.StringIO())
    handlers = [logging.StreamHandler(each) for each in streams]
    for handler, lines in zip(handlers, (JsonLines, TextLines), strict=True):
        handler.setFormatter(lines("console"))
        root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield streams
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)


def process(name: str, letters: Tells, gate: Gate) -> Starlette:
    """Its operations port."""
    metrics = Metrics(name, Known({}, {}, ()), version="1")
    return operations_app(metrics, list, more=letter_routes(name, lambda: letters), gate=gate)


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    path = folder / "orchestrator.db"
    member = billing(handlers=[answers(AuthorisePayment, leaking, loads=Tally, by=order_id)])
    member.take(member.kafka.publish(command("o-1", PERSONAL["a card"])))
    own = Letters(member.store, member.application, member.setting, member.clock)
    async with orchestra(path) as playing, Database(path) as database:
        hands, log = Hands(playing), KafkaLog()
        gate = gate_for(folder, ROLES, clock=hands)
        told = Letters(playing.store, playing._shell, playing._setting, hands)
        apps = {
            "billing": process("billing", own, gate),
            "orchestrator": process("orchestrator", told, gate),
        }
        await registrations(playing, log)
        (token_file := folder / "surfaces-token").write_text(OPERATORS)
        addresses = {name: f"http://{name}" for name in apps}
        kept = DirectStore(migrations={"console": MIGRATIONS})
        metrics = Metrics("console", Known({}, {}, ()), version="1", families=CONSOLE)
        sessions = Sessions(gate.tokens, hands)
        there = "https://id.example"
        client = Client(there, "baton", SECRETS["the client's secret"], there, there, BACK)
        entered = OidcLogin(client, NobodyThere(), hands, httpx.MockTransport(provider))
        async with Surfaces(addresses, token_file, ByHost(apps, set())) as surfaces:
            parts = Parts(
                Reading(database, Views(SAGAS), hands),
                database,
                surfaces,
                Tails(log.opened, hands),
                Telling(Wire(playing), Maker("console", CODEC, CATALOGUE), Ticking(playing)),
                Audit(kept, hands, ConsoleMetrics(metrics.meters)),  # type: ignore[arg-type]
                kept,  # type: ignore[arg-type]
                lambda _: nullcontext(),
                sessions,
                replace(gate, browsers=sessions),
                Home(folder / "home"),
                Ways(entered, 600),
            )
            served = console_routes(parts)
            app = secured(served.routes, parts.gate, observe=metrics.http_request)
            guarded = [each for each in served.routes if isinstance(each, Guarded)]
            paths = [each.path for each in guarded if "GET" in (each.methods or ())]
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
                stage = Stage(playing, app, paths, http, metrics, sessions)
                yield stage
                audit = kept.rows("SELECT * FROM audit")
                stage.seen.texts.append(("the audit's rows", repr(audit)))


async def registrations(playing: Orchestra, log: KafkaLog) -> None:
    """One that goes on, one that says otherwise of the same customer, one under another's key, and
    bytes that say a name and are no message.
    """
    at = datetime.fromtimestamp(playing.now_us / 1_000_000, UTC)
    maker, mail = Maker("shop", CODEC, CATALOGUE), PERSONAL["a mail address"]
    first = CustomerRegistered("c-1", PERSONAL["a name"], mail, "France", at)
    other = replace(first, name=PERSONAL["another name"])
    for n, body in enumerate((first, other)):
        made = maker.event(body, f"r-{n}", playing.now_us, Cause())
        await playing.hear(made)
        await playing.hear(made._replace(key=f"c-9{n}"))
        log.publish(CUSTOMERS, body, playing.now_us // 1000)
    said = f"{PERSONAL['a name']} {mail}".encode()
    await playing.hear_bytes(CUSTOMERS, "c-8", said, made.headers)
    log.write(CUSTOMERS, None, playing.now_us // 1000, key=b"c-8", headers=made.headers)
    playing.wait(400)
    await playing.fire()


SAGA = "onboarding:c-1"
# Every address that is read, with what each answers differently to.
READS = [
    *(f"/api/sagas{more}" for more in ("", "/stuck", "/count", "?query=nonsense", "/c-2")),
    *(f"/api/sagas/{SAGA}{more}" for more in ("", "/history", "/verbs/none")),
    *("/api/journal", "/api/journal?last=50", "/api/counts?states=1", "/api/graph/onboarding"),
    *(
        "/api/graph/none",
        "/api/graph/onboarding?format=x",
        "/api/topics",
        "/api/services",
        "/api/map",
    ),
    *("/api/deadletters", "/api/deadletters/orchestrator/c-1", "/api/deadletters/billing/o-1"),
    *("/api/deadletters/orchestrator/c-8", "/api/deadletters/orchestrator/c-90"),
    *("/api/deadletters/billing/o-1/rehearsal?verb=redrive", "/api/verbs/billing/none"),
    *("/api/operations", "/api/operations/op-1", "/api/operations/op-1/items"),
    *("/api/audit", "/api/audit/check", "/api/audit/export"),
    *("/", "/stuck", "/sagas", "/sagas?query=state%3Dx", f"/sagas/{SAGA}", "/sagas/none"),
    *(f"/sagas/{SAGA}?tab={tab}" for tab in ("timeline", "sequence", "state", "raw")),
    *("/flow", "/flow/onboarding", "/flow/none", "/operations", "/operations/op-1"),
    *("/operations/op-1/items", "/audit", f"/act/{SAGA}/k-retry", "/map", "/services", "/topics"),
    *("/dead-letters", "/dead-letters/one?service=billing&key=o-1"),
    *(f"/dead-letters/one?service=orchestrator&key={key}" for key in ("c-1", "c-8", "c-90")),
    "/dead-letters/act?verb=redrive&service=billing&key=o-1",
    *(f"/act?verb={verb}&saga={SAGA}" for verb in ("retry", "compensate", "skip", "note")),
    *(f"/topics/{CUSTOMERS}{more}" for more in ("", "?text=canary0", "?key=c-1", "?lines=50")),
    *("/topics/crm.customer.commands.v1", "/topics/none", "/learn", "/nowhere", "/settings"),
    *("/export/sagas", "/export/sagas?form=jsonl", "/export/sagas?form=x"),
    *(f"/export/saga/{SAGA}", "/export/saga/none", "/export/flow/onboarding"),
    *("/chosen/sagas?id=c-1", "/login", "/static/baton.css", "/static/none"),
    *(f"/live?once=1&view={view}" for view in ("overview", "stuck", "sagas", "saga", "topic")),
    f"/live?once=1&view=topic&topic={CUSTOMERS}",
    f"/live?once=1&view=saga&name={SAGA}",
    "/services/turn?process=billing&verb=stop",
    "/login/oidc",
]


async def act(stage: Stage) -> None:
    """What is told and refused: 401, 403, 404, 405, 409, 413, 422, 500."""
    verbs, form = f"/api/sagas/{SAGA}/verbs", {"csrf": "none"}
    for n, verb in enumerate(("retry", "compensate", "note", "retry")):
        body = {"verb": verb, "reason": "seen", "version": 0 if n == 3 else None}
        for dry_run in (True, False):
            await stage.ask("POST", verbs, OPERATORS, json={**body, "dry_run": dry_run})
    wrong = {"reason": PERSONAL["a name"], "verb": PERSONAL["a mail address"]}
    for path in (verbs, "/api/operations", "/api/deadletters/billing/o-1"):
        await stage.ask("POST", path, OPERATORS, json=wrong)
        await stage.ask("POST", path, OPERATORS, content=PERSONAL["a name"])
        await stage.ask("POST", path, VIEWERS, json=wrong)
        await stage.ask("POST", path, SECRETS["a wrong token"], json=wrong)
    query = {"query": "definition=onboarding", "verb": "note", "reason": "seen"}
    await stage.ask("POST", "/api/operations", OPERATORS, json={**query, "dry_run": True})
    await stage.ask("POST", "/api/operations", OPERATORS, json=query)
    redrive = {"verb": "redrive", "reason": "seen"}
    await stage.ask("POST", "/api/deadletters/billing/o-1", OPERATORS, json=redrive)
    await stage.ask("POST", "/act", OPERATORS, data=form | wrong)
    await stage.ask("POST", "/learn/play", OPERATORS, data=form | wrong)
    await stage.ask("DELETE", verbs, OPERATORS)
    await stage.ask("POST", "/login", content=PERSONAL["a name"] * 30_000)


async def enter(stage: Stage) -> None:
    """The ways in, each with a secret that is right, wrong, or used a second time."""
    for token in (SECRETS["a wrong token"], OPERATORS):
        await stage.ask("POST", "/login", data={"token": token, "next": "/stuck"})
    code = (
        await stage.http.post("/api/logins", headers={"Authorization": f"Bearer {VIEWERS}"})
    ).json()
    for _ in range(2):
        await stage.http.get(code["path"])
    used = await stage.http.get(code["path"])
    assert used.status_code == 401
    assert code["path"].rpartition("=")[2] not in used.text
    CANARIES["a login code"] = code["path"].rpartition("=")[2]
    for also in (
        {"code": SECRETS["the provider's code"]},
        {"error": SECRETS["the provider's error"]},
    ):
        away = await stage.http.get("/login/oidc")
        state = httpx.URL(away.headers["location"]).params["state"]
        back = await stage.ask("GET", "/login/oidc/back", params={"state": state, **also})
        assert back.status_code == 401
    await stage.ask("GET", "/login/oidc/back", params={"code": SECRETS["the provider's code"]})
    stage.http.cookies.clear()


async def break_(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours, in whose exception all of it stands."""

    async def broken(*_: object, **__: object) -> object:
        raise RuntimeError(" ".join(CANARIES.values()))

    with monkeypatch.context() as patched:
        patched.setattr(Reading, "page", broken)
        patched.setattr(Reading, "find", broken)
        for path in ("/sagas", "/api/sagas", f"/sagas/{SAGA}", "/export/sagas?form=jsonl"):
            for token in (OPERATORS, VIEWERS):
                await stage.ask("GET", path, token)


async def test_nothing_secret_or_personal_is_shown_logged_counted_or_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To viewers, operators, publishers and nobody; every address that is read is among them. An
    admin sees what is personal, which shows that it was there to be seen.
    """
    monkeypatch.setattr(console_telling, "WAIT_S", 0.0)
    with listening() as logs:
        async with staged(tmp_path) as stage:
            await enter(stage)
            await act(stage)
            for token in (OPERATORS, VIEWERS, PUBLISHERS, SECRETS["a wrong token"], ""):
                for path in READS:
                    await stage.ask("GET", path, token)
            await break_(stage, monkeypatch)
            shown = stage.seen
            for path in ("/metrics", "/readyz"):
                health = operations_app(stage.metrics, list)
                transport = httpx.ASGITransport(health)
                async with httpx.AsyncClient(transport=transport, base_url="http://ops") as http:
                    shown.texts.append((path, (await http.get(path)).text))
            admins = Seen()
            stage.seen = admins
            await stage.ask("GET", f"/topics/{CUSTOMERS}?key=c-1", ADMINS)
            stage.seen = shown
        shown.texts += [("a log", each.getvalue()) for each in logs]

    found = {name: places for name, canary in CANARIES.items() if (places := shown.of(canary))}
    assert found == {}
    assert all(len(admins.of(PERSONAL[each])) == 1 for each in ("another name", "a mail address"))
    kept = (tmp_path / "orchestrator.db").read_bytes()
    assert all(each.encode() in kept for each in (PERSONAL["a name"], PERSONAL["a mail address"]))
    statuses = {where.partition(" ")[0] for where, _ in shown.texts}
    assert statuses >= {"200", "303", "401", "403", "404", "405", "409", "413", "422", "500"}
    unread = {each for each in stage.paths if not any(_matches(each, path) for path in READS)}
    assert unread == {"/login/oidc/back"}
    assert all("a request failed" in each.getvalue() for each in logs)


def _matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\{[^}]*\}", "[^/]+", template)
    return re.fullmatch(pattern, path.partition("?")[0]) is not None
