"""Draining a process and starting it again, where the supervisor of `baton up` keeps it.

A form says what follows and asks why; what was done is in the audit. Where somebody else keeps the
processes nothing is offered, and who asks all the same is told so.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from deploy.local.faults import LocalFault
from orchestrator.operate.auditing import Act, Audit
from orchestrator.operate.machine import DRAIN, KEPT, START, Machine
from orchestrator.operate.pages.act import faults
from orchestrator.operate.pages.services import PURPOSES
from orchestrator.operate.pages.site import Site, form_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from schemas.topics import TOPICS
from services.chassis.access import Guarded, Role, actor_of, page
from services.chassis.ids import new_id

PATH: Final = "/services/turn"
VERBS: Final = {DRAIN: "stop", START: "start"}
_BACK: Final = {"services": "/services"}


def turn_view(machine: Machine) -> View:
    async def context(asked: Question) -> Context:
        process, to = asked.get("process"), asked.get("to")
        _check(machine, process, to)
        return {
            "title": f"{to.capitalize()} {process}",
            "process": process,
            "to": to,
            "purpose": PURPOSES.get(process, ""),
            "reads": [topic.name for topic in TOPICS if process in topic.readers],
            "answers": any(
                process in topic.writers and topic.name.endswith(".replies.v1") for topic in TOPICS
            ),
        }

    return View("turn", PATH, "Services", context, needs=Role.OPERATOR)


class Turning:
    """The button."""

    def __init__(self, site: Site, machine: Machine, audit: Audit) -> None:
        self._site, self._machine, self._audit = site, machine, audit

    def routes(self) -> list[Guarded]:
        turn = self._site.answering(self.turn)
        return [page(PATH, turn, needs=Role.OPERATOR, methods=["POST"])]

    async def turn(self, request: Request) -> Response:
        given = await form_of(request)
        process, to = given.get("process", ""), given.get("to", "")
        _check(self._machine, process, to)
        reason = given.get("reason", "").strip()
        if not reason:
            again = {"say why": f"{PATH}?process={process}&to={to}"}
            bad = HTTPStatus.UNPROCESSABLE_ENTITY
            raise NoPage("Why?", "Say why: the reason is kept with it.", status=bad, links=again)
        act = Act(actor_of(request, None), "console", to, process, reason, new_id())
        with faults():
            async with self._audit.acting(act) as became:
                await self._ask(VERBS[to], process)
                became.result = "ok"
        return RedirectResponse(f"/services#process-{process}", HTTPStatus.SEE_OTHER)

    async def _ask(self, verb: str, process: str) -> None:
        try:
            await self._machine.ask(verb, process)
        except LocalFault as fault:
            conflict = HTTPStatus.CONFLICT
            raise NoPage(
                "It did not work", f"{fault.what}.", status=conflict, links=_BACK
            ) from fault


def _check(machine: Machine, process: str, to: str) -> None:
    states = machine.states()
    if states is None:
        raise NoPage(
            "Not here",
            "No supervisor of `baton up` runs beside this console: stop and start the process"
            " where it is kept.",
            status=HTTPStatus.CONFLICT,
            links=_BACK,
        )
    if process not in states or process in KEPT or to not in VERBS:
        known = ", ".join(sorted(states.keys() - KEPT))
        sentence = f"Drain or start one of {known}."
        raise NoPage("No such process", sentence, links=_BACK)
