"""What a restored database is told of the future that it forgot: marks on steps, nothing else.

`baton restore` reads from the command and outcome topics what this orchestrator sent after the
backup. A marked step is treated as `course` says: it is sent again, under the same command id,
before the saga may turn back; participants answer what they answered before. Invariant: reminding
moves no status and sends nothing, and doing it twice is doing it once.
"""

from __future__ import annotations

from typing import TypeVar

from orchestrator.engine.instance import Entry, Instance, Step
from orchestrator.engine.machine import TERMINAL, Forgotten, Phase, Result, Status

D = TypeVar("D")

# Where an undo that is spoken tells something new. One of a refused or skipped step contradicts
# what is known: its reply will stop the saga for an operator.
_UNDO_IS_NEWS = frozenset({Status.IDLE, Status.SENT, Status.DONE, Status.IN_DOUBT})
_NOTICE = "attention/"
COMPLETED = "completed"


def reminded(instance: Instance[D], spoken: frozenset[str]) -> Instance[D]:
    """`spoken` holds suffixes of message ids: `payment/do`, `payment/undo`, `attention/2`.

    And `COMPLETED`, where the outcome was published and was that one.
    """
    if instance.phase in TERMINAL or instance.phase is Phase.CANCELLED_EARLY:
        return instance
    notices = [int(each.removeprefix(_NOTICE)) for each in spoken if each.startswith(_NOTICE)]
    steps = tuple([_marked(step, spoken) for step in instance.steps])
    attentions = max([instance.attentions, *notices])
    if steps == instance.steps and attentions == instance.attentions:
        return instance
    return instance._replace(steps=steps, attentions=attentions)


def reminder(
    instance: Instance[D], spoken: frozenset[str], now_us: int
) -> tuple[Instance[D], Entry] | None:
    """For a saga that has a row: its next version and the line of its journal, if it changes."""
    after = reminded(instance, spoken)
    if after is instance:
        return None
    entry = Entry(
        "reminded", instance.state, after.state, Result.APPLIED, detail=" ".join(sorted(spoken))
    )
    return after._replace(version=instance.version + 1, updated_us=now_us), entry


def _marked(step: Step, spoken: frozenset[str]) -> Step:
    if f"{step.name}/undo" in spoken and step.status in _UNDO_IS_NEWS:
        return step._replace(forgotten=Forgotten.UNDO)
    if COMPLETED in spoken and step.status in (Status.IDLE, Status.SENT):
        return step._replace(forgotten=Forgotten.END)
    if f"{step.name}/do" in spoken and step.status is Status.IDLE and step.forgotten is None:
        return step._replace(forgotten=Forgotten.DO)
    return step
