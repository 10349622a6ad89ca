"""The inbox: what is stuck, grouped by why, where and on whom, with what to do about it."""

from __future__ import annotations

from orchestrator.operate.filters import parse
from orchestrator.operate.pages.view import Context, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.shapes import of_stuck


def stuck_view(reading: Reading) -> View:
    async def context(asked: Question) -> Context:
        text = asked.get("query")
        found = await reading.stuck(parse(text))
        return {"text": text, **of_stuck(found, reading.now_us())}

    return View("stuck", "/stuck", "Stuck sagas", context, ("groups",))
