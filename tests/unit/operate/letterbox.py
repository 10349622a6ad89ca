"""Two services with dead letters behind a console: real transactions, real routes, no broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
from stage import TOKEN
from starlette.applications import Starlette

from orchestrator.operate.auditing import MIGRATIONS, Audit
from orchestrator.operate.deadletters import DeadLetters
from orchestrator.operate.letter_telling import LetterTelling
from orchestrator.operate.surfaces import Surfaces
from orchestrator.operate.telling import Telling
from services.chassis.access import LOCAL, Role
from services.chassis.bus import BusError
from services.chassis.clock import SystemClock
from services.chassis.envelope import Maker
from services.chassis.gate import secured
from services.chassis.letters import Letters
from services.chassis.letters_http import letter_routes
from services.chassis.messages import Outgoing
from tests.gates import gate_for
from tests.unit.chassis.company import CATALOGUE, CODEC, DirectStore, Member, billing


class ByHost(httpx.AsyncBaseTransport):
    """Each service's own routes under its name; a silent one refuses the connection."""

    def __init__(
        self,
        apps: dict[str, Starlette],
        silent: set[str],
        said: dict[str, httpx.Response] | None = None,
    ) -> None:
        """`said`: what somebody else answers on that port."""
        self._routes = {name: httpx.ASGITransport(app) for name, app in apps.items()}
        self._silent = silent
        self._said = {} if said is None else said

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in self._silent:
            raise httpx.ConnectError("refused", request=request)
        if request.url.host in self._said:
            return self._said[request.url.host]
        return await self._routes[request.url.host].handle_async_request(request)


class Letterbox:
    """`broken`: what publishing raises. `asleep`: services that do not take what they are told."""

    def __init__(self, folder: Path) -> None:
        self._token_file = folder / "surfaces-token"
        self._token_file.write_text(TOKEN)
        self._gate = gate_for(folder, {TOKEN: Role.OPERATOR}, name=LOCAL)
        self.members = {"billing": billing(), "crm": billing()}
        self.members["crm"].name = "crm"
        for member in self.members.values():
            member.__post_init__()
        self.kept = DirectStore(migrations={"console": MIGRATIONS})
        self.silent = set[str]()
        self.said: dict[str, httpx.Response] = {}
        self.broken: BusError | None = None
        self.asleep = False
        self.sent: list[Outgoing] = []
        self.alive = True

    async def rebuild(self) -> None:
        self.alive = True

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        if self.broken is not None:
            raise self.broken
        self.sent += messages
        for out in () if self.asleep else messages:
            for member in self.members.values():
                self._take(member, out)

    def _take(self, member: Member[object], out: Outgoing) -> None:
        """Transaction after transaction, as the intake does it."""
        applied = member.take(member.kafka.publish(out))
        for key in applied.redrives:
            while member.redrive(key).more:
                pass

    def deliver(self, *messages: Outgoing) -> None:
        for out in messages:
            member = self.members["billing"]
            member.take(member.kafka.publish(out))

    def letters(self) -> DeadLetters:
        return DeadLetters(self.telling())

    def telling(self) -> LetterTelling:
        apps = {name: self._app(name) for name in self.members}
        addresses = {name: f"http://{name}" for name in apps}
        surfaces = Surfaces(addresses, self._token_file, ByHost(apps, self.silent, self.said))
        telling = Telling(self, Maker("console", CODEC, CATALOGUE), SystemClock())
        audit = Audit(self.kept, SystemClock())  # type: ignore[arg-type]
        return LetterTelling(surfaces, telling, audit)

    def _app(self, name: str) -> Starlette:
        member = self.members[name]
        letters = Letters(member.store, member.application, member.setting, member.clock)
        return secured(letter_routes(name, lambda: letters), self._gate)
