"""What `baton topics list plan apply check tail` do with the table of topics and a cluster.

A topic that exists is never changed: its keys would move between partitions. Records are shown
as their contracts read them, with personal fields masked.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import aclosing

from orchestrator.operate.cluster import kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output
from orchestrator.operate.outside import Seen, seen
from schemas.catalogue import load_catalogue
from schemas.releases import releases
from schemas.topics import (
    ANY,
    PARTITIONS_CLUSTER,
    PARTITIONS_LOCAL,
    TOPICS,
    all_topics,
    topic_named,
)
from services.chassis.bus_admin import Admin, Tail, TopicSpec, read_all
from services.chassis.codec import Codec
from services.chassis.messages import Record

REPLICAS_CLUSTER = 3
LIST_COLUMNS = ("name", "kind", "writers", "readers", "types")
PLAN_COLUMNS = ("name", "step", "partitions", "replicas", "detail")
CHECK_COLUMNS = ("name", "finding", "partitions")
TAIL_COLUMNS = ("time", "partition", "offset", "type", "key", "id", "source", "body")
_LOOPBACK = ("127.", "localhost:", "[::1]")


def list_topics(output: Output, *, dead: bool) -> None:
    rows = [
        {
            "name": topic.name,
            "kind": topic.kind,
            "writers": ["anybody"] if topic.writers == ANY else list(topic.writers),
            "readers": list(topic.readers),
            "types": [each.rpartition(".")[2] for each in topic.types],
        }
        for topic in (all_topics() if dead else TOPICS)
    ]
    output.rows(LIST_COLUMNS, rows)


def plan(output: Output, *, partitions: int, replicas: int) -> None:
    specs, there = asyncio.run(_compared(partitions, replicas))
    rows = [_step(spec, there.get(spec.name)) for spec in specs]
    output.rows(PLAN_COLUMNS, rows)
    missing = sum(row["step"] == "create" for row in rows)
    next_ = "baton topics apply" if missing else "nothing to do"
    output.say(f"{missing} to create of {len(rows)}; {next_}")


def apply(output: Output, *, partitions: int, replicas: int) -> None:
    specs, there = asyncio.run(_compared(partitions, replicas))
    missing = [spec for spec in specs if spec.name not in there]
    created = asyncio.run(_create(missing)) if missing else []
    rows = [
        {**_step(spec, there.get(spec.name)), "step": "created"}
        for spec in missing
        if spec.name in created
    ]
    if rows or output.form is not Form.TABLE:
        output.rows(PLAN_COLUMNS, rows)
    output.say(f"{len(rows)} created, {len(there.keys() & {each.name for each in specs})} stood")


def check(output: Output) -> bool:
    """Whether all topics stand, with equally many partitions."""
    specs, there = asyncio.run(_compared(0, 1))
    counts = [there[spec.name] for spec in specs if spec.name in there]
    usual = max(set(counts), key=counts.count, default=0)
    rows = []
    for spec in specs:
        count = there.get(spec.name)
        if count is None:
            finding = "missing"
        elif count != usual:
            finding = f"has {count} partitions, the others {usual}"
        else:
            finding = "well"
        rows.append({"name": spec.name, "finding": finding, "partitions": count})
    output.rows(CHECK_COLUMNS, rows)
    ill = [row for row in rows if row["finding"] != "well"]
    if any(row["finding"] == "missing" for row in ill):
        output.say("next: baton topics apply")
    elif ill:
        output.say("a topic's partitions are never changed: make it anew, empty, or another one")
    return not ill


def tail(output: Output, topic: str, *, key: str, follow: bool, lines: int) -> None:
    try:
        topic_named(topic)
    except KeyError as fault:
        raise VerbFault(str(fault.args[0]), code=Exit.NOT_FOUND) from fault
    asyncio.run(_tail(output, topic, key=key.encode(), follow=follow, lines=lines))


async def _tail(output: Output, topic: str, *, key: bytes, follow: bool, lines: int) -> None:
    """New records are listened for before the old ones are read, so that none falls between."""
    _hush()
    bootstrap, catalogue = kafka_of_this_shell(), load_catalogue()
    codec = Codec(catalogue, [each.schema for each in releases()])
    async with Tail(bootstrap, [topic]) as new:
        old = await _last(bootstrap, topic, key, lines)
        _print(output, [seen(each, catalogue, codec) for each in old], follow=follow)
        if not follow:
            return
        last = {each.partition: each.offset for each in old}
        async with aclosing(new.records()) as records:
            async for each in records:
                if each.offset > last.get(each.partition, -1) and key in (b"", each.key):
                    _print(output, [seen(each, catalogue, codec)], follow=True, again=True)


async def _last(bootstrap: str, topic: str, key: bytes, lines: int) -> list[Record]:
    """Only who looks for a key has the whole topic read."""
    if key:
        records = [each for each in await read_all(bootstrap, [topic]) if each.key == key]
    else:
        async with Tail(bootstrap, [topic], last=lines) as tail:
            records = [each async for each in tail.newest()]
    return sorted(records, key=lambda each: each.timestamp_ms)[max(0, len(records) - lines) :]


def _print(output: Output, rows: Sequence[Seen], *, follow: bool, again: bool = False) -> None:
    if output.form is Form.TABLE:
        output.lines(_line(row) for row in rows)
    elif output.form is Form.CSV:
        output.rows(TAIL_COLUMNS, [row.as_row() for row in rows], heading=not again)
    elif follow:
        output.stream(row.as_row() for row in rows)
    else:
        output.rows(TAIL_COLUMNS, [row.as_row() for row in rows])


def _line(row: Seen) -> str:
    said = row.unreadable if row.body is None else json.dumps(row.body)
    name, where = row.type.rpartition(".")[2], f"{row.partition}/{row.offset}"
    return f"{row.at:%Y-%m-%d %H:%M:%S}  {where:<8} {name:<24} {row.key:<20} {said}"


async def _compared(partitions: int, replicas: int) -> tuple[list[TopicSpec], dict[str, int]]:
    """Every topic as it should be, and the partitions of those that are there."""
    _hush()
    bootstrap = kafka_of_this_shell()
    here = bootstrap.startswith(_LOOPBACK)
    async with Admin(bootstrap) as admin:
        there = await admin.describe_topics()
        copies = replicas or min(REPLICAS_CLUSTER, await admin.probe())
    known = [there[topic.name] for topic in all_topics() if topic.name in there]
    count = partitions or max(known, default=PARTITIONS_LOCAL if here else PARTITIONS_CLUSTER)
    specs = [TopicSpec(each.name, count, copies, each.settings) for each in all_topics()]
    return specs, there


async def _create(specs: Sequence[TopicSpec]) -> list[str]:
    async with Admin(kafka_of_this_shell()) as admin:
        return await admin.ensure_topics(specs)


def _step(spec: TopicSpec, there: int | None) -> dict[str, object]:
    detail = ""
    if there is not None and there != spec.partitions:
        detail = f"has {there} partitions; that is never changed"
    return {
        "name": spec.name,
        "step": "create" if there is None else "stands",
        "partitions": spec.partitions if there is None else there,
        "replicas": spec.replication,
        "detail": detail,
    }


def _hush() -> None:
    """Aiokafka logs every attempt to reach a broker that is away; the fault says it once."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
