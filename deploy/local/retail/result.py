"""The result of an import on the local stack: waited for, reconciled, and one order's story.

The last effects trail the outcomes a little (goods leave inventory's books when shipping says
so), so the totals are asked again until they hold or a short time is over; what does not hold
then is reported as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic

from rich.console import Group, RenderableType

from deploy.local.retail.importing import Prepared
from deploy.local.retail.observe import Places, observe, story_of, until_ended
from deploy.local.retail.orders import Order
from deploy.local.retail.publish import Progress
from deploy.local.retail.reconcile import Given, Outcome, Reconciliation, reconcile
from deploy.local.retail.report import StoryLine, one_compensated, rows_table, story, summary

OUTCOMES_WITHIN_S = 300.0
SETTLED_WITHIN_S = 15.0
TELLING_REASONS = ("country_not_served", "insufficient_funds", "out_of_stock")
"""Of these the first that occurs has its story told: the longest way back first."""

_LOOK_AGAIN_S = 0.3


@dataclass(frozen=True, slots=True)
class Story:
    order: Order
    outcome: Outcome
    lines: tuple[StoryLine, ...]


@dataclass(frozen=True, slots=True)
class Result:
    given: Given
    reconciliation: Reconciliation
    story: Story | None


async def result_of(
    prepared: Prepared,
    at: Places,
    *,
    progress: Callable[[Progress], None],
    within_s: float = OUTCOMES_WITHIN_S,
) -> Result:
    """Raises OutcomesMissing when orders are open after `within_s`."""
    planned = prepared.planned
    given = Given.of(prepared.judged, planned.orders, planned.stock_units)
    await until_ended(at.bootstrap, given.orders, within_s=within_s, progress=progress)
    deadline_s = monotonic() + SETTLED_WITHIN_S
    while True:
        observed = await observe(at, planned)
        reconciliation = reconcile(given, observed)
        if reconciliation.holds or monotonic() > deadline_s:
            break
        await asyncio.sleep(_LOOK_AGAIN_S)
    ours = [outcome for outcome in observed.outcomes if outcome.order_id in given.orders]
    told = one_compensated(ours, TELLING_REASONS)
    if told is None:
        return Result(given, reconciliation, None)
    lines = await story_of(at, told.order_id)
    return Result(given, reconciliation, Story(given.orders[told.order_id], told, lines))


def as_json(result: Result) -> dict[str, object]:
    """The same for programs: amounts in minor units, times in ISO 8601."""
    found = result.reconciliation
    told = result.story
    return {
        "outcomes": [asdict(row) for row in found.endings],
        "payments": asdict(found.payments),
        "stock": asdict(found.stock),
        "identities": [{**asdict(each), "holds": each.holds} for each in found.identities],
        "holds": found.holds,
        "story": None
        if told is None
        else {
            "order_id": told.order.order_id,
            "reason": told.outcome.reason,
            "lines": [{**asdict(line), "at": line.at.isoformat()} for line in told.lines],
        },
    }


def rendered(result: Result) -> RenderableType:
    """Rows, outcomes, money, stock, identities; then the story of one compensated order."""
    given = result.given
    parts: list[RenderableType] = [
        rows_table(given.rows_read, given.rows_imported, given.rejected),
        "",
        summary(result.reconciliation),
    ]
    if result.story is not None:
        parts += ["", story(result.story.order, result.story.outcome, result.story.lines)]
    return Group(*parts)
