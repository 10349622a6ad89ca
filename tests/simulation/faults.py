"""How each fault of a scenario happens to its world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.topics import topics_read_by
from tests.simulation.bus import LONG_SILENCE_S, SILENCE_S
from tests.simulation.operator import verb
from tests.simulation.scenario import HOUR_S, SILENT_S, VERBS, Fault

if TYPE_CHECKING:
    from tests.simulation.world import World


def happen(world: World, fault: Fault) -> None:
    world.trace.append(("happens", str(fault)))
    _KINDS[fault.kind](world, fault)


def _crash(world: World, fault: Fault) -> None:
    """At the named moment, whenever that comes next."""
    world.armed.append(fault)


def _power_loss(world: World, fault: Fault) -> None:
    world.count("power_loss")
    for members in list(world.members.values()):
        for member in filter(world.may_die, list(members)):
            world.kill(member, 1 + fault.value * 10)

    def lost() -> None:
        for database in world.databases.values():
            database.lose_power()

    world.loop.call_later(0.5, lost)


def _stop(world: World, fault: Fault) -> None:
    members = world.members[fault.target]
    if not members or not world.may_die(members[0]):
        return
    world.count("stop")
    member = members[0]

    async def stopped() -> None:
        await member.stop()
        if not member.dead:
            world.kill(member, fault.value * 5)

    member.spawn(stopped())


def _zombie(world: World, fault: Fault) -> None:
    """A second life over the same database; the first learns late that it owns nothing more."""
    members = world.members[fault.target]
    if len(members) != 1:
        return
    world.count("zombie")
    old = members[0]
    old.reader.tardy(fault.value * 15)
    new = world.start(fault.target)

    def one_leaves() -> None:
        leaving = old if fault.value < 0.7 else new
        if not leaving.dead and world.may_die(leaving):
            world.kill(leaving, 0.1)

    world.loop.call_later(fault.value * 25, one_leaves)


def _broker_down(world: World, fault: Fault) -> None:
    world.count("broker_down")
    world.broker.go_down()
    world.loop.call_later(fault.value * 30, broker_up, world)


def broker_up(world: World) -> None:
    world.broker.silence_s = SILENCE_S
    world.broker.up = True
    for members in world.members.values():
        for member in members:
            member.stirred.set()


def _disk_full(world: World, fault: Fault) -> None:
    world.databases[fault.target].away_until_s = world.loop.now_s + fault.value * 30


def _gateway_silent(world: World, fault: Fault) -> None:
    """Mostly for a minute at most; else for so long that steps are given up."""
    silent_s = fault.value * SILENT_S if fault.is_long else fault.value * 60
    world.mood.silent_until_s = world.loop.now_s + silent_s


def _clock_jump(world: World, fault: Fault) -> None:
    world.count("clock_jump")
    far_s = HOUR_S if fault.value < 0.5 else 5.0
    jump_s = (fault.value * 4 % 2 - 1) * far_s
    world.offsets_s[fault.target] = world.offsets_s.get(fault.target, 0.0) + jump_s
    for member in world.members[fault.target]:
        member.clock.offset_s = world.offsets_s[fault.target]


def _poison_record(world: World, fault: Fault) -> None:
    """Bytes nobody can read, or words from one who may not say them."""
    topics = topics_read_by(fault.target)
    topic = topics[int(fault.value * len(topics))]
    said = world.broker.all(topic.name)
    key = fault.moment.encode()
    world.count("poison_record")
    if fault.value < 0.5 or not said:
        headers = (("ce_specversion", b"1.0"), ("ce_id", b"poison"), ("ce_source", b"x"))
        world.broker.append(topic.name, key, b"no Avro", (*headers, ("ce_type", b"x")))
        return
    record = said[-1]
    forged = {"ce_source": b"intruder", "ce_id": b"forged"}
    if topic.writers == "*":
        forged = {"ce_type": b"baton.billing.VoidPayment"}
    headers = tuple((name, forged.get(name, value)) for name, value in record.headers)
    world.broker.append(topic.name, record.key, record.value, headers)


def _poison_handler(world: World, fault: Fault) -> None:
    world.poisoned.add((fault.target, fault.moment))


def _cancel(world: World, fault: Fault) -> None:
    world.count("cancel")
    world.cancel(fault.target, fault.number)


def _outage(world: World, fault: Fault) -> None:
    """An hour without the broker, or without a service."""
    world.count("outage")
    if fault.target == "broker":
        world.broker.go_down()
        world.broker.silence_s = LONG_SILENCE_S
        world.loop.call_later(HOUR_S, broker_up, world)
        return
    world.down.add(fault.target)
    for member in filter(world.may_die, list(world.members[fault.target])):
        world.kill(member, 0.0)


_KINDS = {
    "crash": _crash,
    "power_loss": _power_loss,
    "stop": _stop,
    "zombie": _zombie,
    "broker_down": _broker_down,
    "disk_full": _disk_full,
    "gateway_silent": _gateway_silent,
    "clock_jump": _clock_jump,
    "poison_record": _poison_record,
    "poison_handler": _poison_handler,
    "cancel": _cancel,
    "outage": _outage,
    **dict.fromkeys(VERBS, verb),
}
