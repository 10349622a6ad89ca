"""An import from the file to Kafka: prepared in one step without Kafka, delivered in another.

`prepare` reads, judges and makes everything and writes the rejects file; `deliver` publishes it,
and lets no order go before inventory has taken the opening stock in. That it has is seen where
any lag tool sees it: in the positions that its consumer group tells Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from deploy.local.faults import LocalFault
from deploy.local.home import Home
from deploy.local.retail.messages import SOURCE
from deploy.local.retail.orders import Judged, judge_rows, select
from deploy.local.retail.publish import Pace, Plan, Progress, plan, publish
from deploy.local.retail.reading import RetailFileError, read
from deploy.local.retail.rejects import rejects_path, write_rejects
from schemas.catalogue import load_catalogue
from services.chassis.bus_admin import Admin, read_all
from services.chassis.bus_publish import Publisher
from services.chassis.messages import Record, TopicPartition

DELIVERIES = "inventory.delivery.events.v1"
INVENTORY_GROUP = "baton.inventory"
STOCK_WITHIN_S = 60.0
_LOOK_AGAIN_S = 0.1

Positions = Mapping[TopicPartition, int]


class FileRefused(LocalFault):
    """The file as a whole cannot be imported; nothing was published."""


class NothingToImport(LocalFault):
    """The file has no order of that day; nothing was published."""


class StockNotTaken(LocalFault):
    """The opening stock is published, and inventory did not take it in."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one import read and will say."""

    judged: Judged
    planned: Plan
    rejects_file: Path


def prepare(path: Path, home: Home, *, day: date | None, limit: int | None) -> Prepared:
    """Raises FileRefused or NothingToImport. Writes nothing but the rejects file."""
    try:
        judged = judge_rows(read(path))
    except RetailFileError as error:
        raise FileRefused(
            f"{error}. Nothing was published",
            mend=f"baton import --dry-run {path}   (judges it again; nothing is published)",
        ) from error
    rejects_file = rejects_path(home, path)
    write_rejects(rejects_file, judged.rejected)
    orders = select(judged.orders, day=day, limit=limit)
    if not orders:
        raise _nothing(path, judged, day, rejects_file)
    return Prepared(judged, plan(orders, load_catalogue()), rejects_file)


async def deliver(
    prepared: Prepared,
    bootstrap: str,
    *,
    pace: Pace,
    progress: Callable[[Progress], None],
    stock_within_s: float = STOCK_WITHIN_S,
) -> None:
    """Raises StockNotTaken or BusError; importing the same again goes on where it ended."""
    ours = frozenset(message.id for message in prepared.planned.stock)

    async def stock_is_in() -> None:
        targets = positions_after(await read_all(bootstrap, [DELIVERIES]), ours)
        async with Admin(bootstrap) as admin:

            async def committed() -> Positions:
                return await admin.committed(INVENTORY_GROUP)

            await until_committed(targets, committed, within_s=stock_within_s)

    sender = Publisher(bootstrap, client_id=SOURCE)
    try:
        await sender.start(_topics(prepared.planned))
        await publish(
            prepared.planned, sender, pace=pace, await_stock=stock_is_in, progress=progress
        )
    finally:
        await sender.close()


def positions_after(records: list[Record], ids: frozenset[str]) -> dict[TopicPartition, int]:
    """Where a reader of these deliveries stands when it has read the last one that is ours."""
    targets: dict[TopicPartition, int] = {}
    for record in records:
        headers = dict(record.headers)
        ours = headers.get("ce_source") == SOURCE.encode()
        if ours and headers.get("ce_id", b"").decode(errors="replace") in ids:
            targets[TopicPartition(record.topic, record.partition)] = record.offset + 1
    return targets


async def until_committed(
    targets: Positions,
    committed: Callable[[], Awaitable[Positions]],
    *,
    within_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> None:
    deadline_s = monotonic_s() + within_s
    while True:
        now = await committed()
        behind = [tp for tp, target in targets.items() if now.get(tp, 0) < target]
        if not behind:
            return
        if monotonic_s() > deadline_s:
            raise StockNotTaken(
                f"inventory did not take in the opening stock within {within_s:g} s: "
                f"group {INVENTORY_GROUP} has not read {DELIVERIES} to its end",
                mend="baton status; then import again: what is published already counts once",
            )
        await sleep(_LOOK_AGAIN_S)


def _topics(planned: Plan) -> set[str]:
    said = (message for each in planned.announcements for message in each.messages)
    return {message.topic for message in (*planned.stock, *said)}


def _nothing(path: Path, judged: Judged, day: date | None, rejects_file: Path) -> NothingToImport:
    if not judged.orders:
        return NothingToImport(
            f"{path}: none of {judged.rows_read:,} rows can be imported",
            mend=f"see {rejects_file} for the reason of each",
        )
    first, last = judged.orders[0].day, judged.orders[-1].day
    return NothingToImport(
        f"{path}: no order was placed on {day}",
        mend=f"choose a day from {first} to {last}, or leave out --day",
    )
