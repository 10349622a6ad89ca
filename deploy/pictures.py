"""The picture of the processes, drawn from the table of topics and from what services declare.

A Mermaid flowchart: who commands whom, who only listens, what goes in and out of the company. No
box and no arrow is written here by hand. Knows services and orchestrator by their names alone.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator

from deploy.local.stack import SERVICES
from schemas.topics import ANY, CONSOLE, ORCHESTRATOR, TOPICS, Topic
from services.chassis.handlers import Kind
from services.chassis.service import Service
from services.chassis.settings import Settings

HUB = ORCHESTRATOR[0]
OPERATORS = CONSOLE[0]
ANYONE, OUTSIDE = "anyone", "outside"


def processes() -> str:
    """A thick arrow is commands and their replies, a dotted one leaves Kafka."""
    commanded = [name for name in SERVICES if _is_commanded(name)]
    told = [topic for topic in TOPICS if topic.kind in {"events", "outcomes"}]
    lines = [
        "flowchart LR",
        f"    {ANYONE}([any publisher])",
        f"    {OUTSIDE}([any consumer])",
        f"    {OPERATORS} -- verbs --> {HUB}{{{{{HUB}}}}}",
        f"    {HUB} <== commands, replies ==> {_all(commanded)}",
        *(line for topic in told for line in _arrows(topic)),
        *_ways_out(),
    ]
    return "\n".join(lines) + "\n"


def _is_commanded(name: str) -> bool:
    return any(topic.kind == "commands" and topic.readers == (name,) for topic in TOPICS)


def _arrows(topic: Topic) -> Iterator[str]:
    box = re.sub(r"\W", "_", topic.name)
    writers = (ANYONE, *_submitting(topic)) if topic.writers == ANY else topic.writers
    readers = (*topic.readers, *((OUTSIDE,) if topic.kind == "outcomes" else ()))
    yield f'    {_all(writers)} --> {box}[/"{topic.name}"/] --> {_all(readers)}'


def _submitting(topic: Topic) -> Iterator[str]:
    """The service whose events these are, if it takes submissions of its own."""
    owner = topic.contracts[0].owner
    handlers = _declared(owner).handlers if owner in SERVICES else ()
    if any(handler.kind is Kind.REQUESTS for handler in handlers):
        yield owner


def _ways_out() -> Iterator[str]:
    """What a service cannot start without, beside what all need, stands outside."""
    for name in SERVICES:
        settings = _declared(name).settings
        own = settings.__annotations__ if settings is not Settings else {}
        for field in own:
            if (declared := settings.model_fields[field]).is_required():
                title = str(declared.description).removeprefix("the ")
                yield f'    {name} -.-> {name}_gateway(["{title}"])'


def _declared(name: str) -> Service:
    found: Service = importlib.import_module(f"services.{name}.__main__").SERVICE
    return found


def _all(names: Iterable[str]) -> str:
    return " & ".join(names)
