"""What the console exports of itself, beside what every process does: who acts, who watches.

`CONSOLE` continues the catalogue of `services.chassis.metrics`. Label values are the verbs and the
pages of this release; what is new counts as `other`. Nobody's name and no saga's id is a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, get_args

from schemas.orchestrator import Verb
from services.chassis.metrics import OTHER, Family, Meters

CONSOLE: Final = (
    Family("saga_operator_actions_total", "counter", ("action", "via", "result"),
           "What people did through console, command line and API: the work that is left to them"),
    Family("saga_console_streams", "gauge", ("page",), "Live streams that browsers hold open"),
)  # fmt: skip

ACTIONS: Final = (*get_args(Verb), "cancel")  # `cancel` ends a bulk operation
VIA: Final = ("console", "cli", "api")
RESULTS: Final = ("ok", "refused", "failed")
PAGES: Final = (
    "overview",
    "stuck",
    "sagas",
    "saga",
    "flow",
    "map",
    "topics",
    "topic",
    "dead-letters",
    "services",
    "operations",
    "learn",
)


class ConsoleMetrics:
    """The calls that the console makes; `meters` has the families of `CONSOLE`."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._open = dict.fromkeys((*PAGES, OTHER), 0)
        meters.begin("saga_operator_actions_total", (*ACTIONS, OTHER), VIA, RESULTS)
        meters.begin("saga_console_streams", self._open)

    def acted(
        self,
        action: str,
        via: Literal["console", "cli", "api"],
        result: Literal["ok", "refused", "failed"],
        n: int = 1,
    ) -> None:
        """One action is one saga or key; of a bulk operation each item."""
        action = action if action in ACTIONS else OTHER
        self._meters.add("saga_operator_actions_total", (action, via, result), n)

    @contextmanager
    def streaming(self, page: str) -> Iterator[None]:
        """While the block lasts, one more stream of that page is open."""
        page = page if page in self._open else OTHER
        self._moved(page, 1)
        try:
            yield
        finally:
            self._moved(page, -1)

    def _moved(self, page: str, by: int) -> None:
        self._open[page] += by
        self._meters.set("saga_console_streams", (page,), self._open[page])
