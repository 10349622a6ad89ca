"""REFERENCE.md, the README's pictures and the dashboards, written from the code they describe.

`make reference` runs it; a test fails while a committed file says anything else than the code.
Orchestrator and services are looked up by their names, as everywhere in this folder.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final, cast

from deploy import dashboards
from deploy.local.retail.rules import RULES
from deploy.local.sandboxes.values import TEST_VALUES
from deploy.local.stack import COMMAND_LINE_ONLY, SERVICES
from deploy.markdown import between, code, codes, fence, table
from deploy.pictures import processes
from deploy.verbs import Verb, verbs
from schemas.catalogue import load_catalogue
from schemas.topics import ANY, PARTITIONS_CLUSTER, PARTITIONS_LOCAL, TOPICS
from services.chassis.access import Guarded
from services.chassis.gate import Gate
from services.chassis.letters_http import letter_routes
from services.chassis.metrics import Family
from services.chassis.settings import ELSEWHERE, Described, Settings
from services.chassis.surface import REASONS

ROOT: Final = Path(__file__).parent.parent
REFERENCE: Final = ROOT / "deploy" / "REFERENCE.md"
README: Final = ROOT / "README.md"
QUOTED: Final = ("tests/acceptance/publish_order.py", "tests/acceptance/follow_outcomes.py")
DAY_MS: Final = 24 * 60 * 60 * 1000
READ_ONCE: Final = (
    "Read once, at start, by every process. All that is wrong is said at once, and a `BATON_` "
    "variable that nobody knows is wrong, too."
)
WHY_CANCELLED: Final = (
    "Why an order is cancelled: `no_reply`, `cancelled`, `operator`, a refusal's own `reason`, or "
    "the refusal's type in snake case, such as `out_of_stock`."
)

_MEMBER = re.compile(r"^ +([A-Z_]+) = [^#\n]+(?:# (.*))?$", re.MULTILINE)


def reference() -> str:
    """The whole file."""
    parts = [
        "# Reference",
        "Written by `make reference` from the code; a test compares the two. Do not edit it.",
        *(f"## {title}\n\n{write()}" for title, write in SECTIONS.items()),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def pictured(readme: str) -> str:
    """README.md with today's pictures and quotations."""
    lanes = cast("Callable[[object], str]", _named("orchestrator.engine.draw", "terminal"))
    saga = lanes(_named("orchestrator.sagas", "FULFILMENT"))
    for script in QUOTED:
        quoted = (ROOT / script).read_text(encoding="utf-8")
        readme = between(readme, script, fence("python", quoted))
    readme = between(readme, "picture of the processes", fence("mermaid", processes()))
    return between(readme, "picture of fulfilment", fence("text", saga))


def _settings() -> str:
    heads = ("variable", "default", "allowed", "meaning")
    said = [
        READ_ONCE,
        table(heads, map(_setting, Settings.describe())),
    ]
    for process, settings in _told_more():
        more = [row for row in settings.describe() if row not in Settings.describe()]
        said += [
            f"`{process}` also reads, or cannot do without:",
            table(heads, map(_setting, more)),
        ]
    said.append(f"Read by the command line only: {codes(sorted(COMMAND_LINE_ONLY))}.")
    said.append(f"Read by the tests only: {codes(sorted(ELSEWHERE))}.")
    return "\n\n".join(part.rstrip() for part in said)


def _setting(row: Described) -> Sequence[str]:
    default = row.default if row.default in {"none", "required"} else code(row.default)
    return (code(row.variable), default, row.allowed, row.meaning)


def _told_more() -> Iterator[tuple[str, type[Settings]]]:
    for name in SERVICES:
        settings = _named(f"services.{name}.__main__", "SERVICE").settings  # type: ignore[attr-defined]
        if settings is not Settings:
            yield name, settings
    console = _named("orchestrator.operate.settings", "ConsoleSettings")
    yield "console", cast("type[Settings]", console)


def _metrics() -> str:
    heads = ("metric", "type", "labels", "meaning")
    return "\n".join(
        f"Exported by {exporter}:\n\n{table(heads, map(_metric, families))}"
        for exporter, families in catalogue().items()
    )


def catalogue() -> Mapping[str, tuple[Family, ...]]:
    """Who exports which metrics."""
    found = _named("orchestrator.operate.metric_work", "CATALOGUE")
    return cast("Mapping[str, tuple[Family, ...]]", found)


def _metric(family: Family) -> Sequence[str]:
    return (code(family.name), family.kind, codes(family.labels), family.meaning)


def _topics() -> str:
    rows = [
        (
            code(topic.name),
            codes(each.rpartition(".")[2] for each in topic.types),
            "any publisher" if topic.writers == ANY else ", ".join(topic.writers),
            ", ".join((*topic.readers, *(("any consumer",) if topic.kind == "outcomes" else ()))),
            f"{int(topic.settings['retention.ms']) // DAY_MS} d",
        )
        for topic in TOPICS
    ]
    said = (
        f"{PARTITIONS_LOCAL} partitions each on one machine, {PARTITIONS_CLUSTER} elsewhere; the "
        "record key is the business key. Each topic that is read has a dead letter topic, its "
        "name with `.dlt`."
    )
    return f"{said}\n\n{table(('topic', 'messages', 'written by', 'read by', 'kept'), rows)}"


def _messages() -> str:
    rows = [
        (
            code(each.full_name),
            each.kind,
            code(each.key),
            codes(name.rpartition(".")[2] for name in each.answers),
            codes(name.rpartition(".")[2] for name in each.refusals),
        )
        for each in load_catalogue().by_name.values()
        if each.kind
    ]
    return table(("message", "kind", "key", "answers", "refusals"), rows)


def _http() -> str:
    everywhere = ("/livez", "/readyz", "/metrics", "/version")
    rows = [("every process", "GET", code(path), "anybody") for path in everywhere]
    for name in SERVICES:
        routes = cast("Callable[[object], list[object]]", _named(f"services.{name}.api", "routes"))
        rows += [(name, *_route(route)) for route in routes(object())]
    rows += [("console", *_route(route)) for route in _of_console()]
    rows += [("every process but console", *_route(route)) for route in letter_routes("", _nothing)]
    return table(("process", "method", "path", "role"), rows)


def _of_console() -> list[object]:
    """Its routes over parts that do nothing."""
    parts = cast("Callable[..., object]", _named("orchestrator.operate.console", "Parts"))
    surfaces = cast("Callable[..., object]", _named("orchestrator.operate.surfaces", "Surfaces"))
    routes = _named("orchestrator.operate.console", "console_routes")
    given = {"surfaces": surfaces({}), "gate": Gate()}
    fields = cast("tuple[str, ...]", vars(parts)["_fields"])
    idle = parts(*(given.get(name) for name in fields))
    made, *_ = cast("Callable[[object], tuple[list[object], object, object]]", routes)(idle)
    return made


def _nothing() -> None:
    return None


def _route(route: object) -> tuple[str, str, str]:
    assert isinstance(route, Guarded)
    needs = route.policy.needs
    methods = " ".join(sorted((route.methods or set()) - {"HEAD"}))
    return methods, code(route.path), "anybody" if needs is None else needs.value


def _commands() -> str:
    every, *rest = verbs()
    rows = [_command(verb) for verb in rest]
    options = [(codes(option.names), option.meaning) for option in every.options]
    return "\n\n".join(
        [
            "These stand anywhere on the line:",
            table(("option", "means"), options),
            table(("verb", "does", "options"), rows),
        ]
    )


def _command(verb: Verb) -> Sequence[str]:
    options = "\n".join(f"{codes(option.names)} {option.meaning}" for option in verb.options)
    return (code(" ".join((verb.name, *verb.arguments))), verb.does, options)


def _exits() -> str:
    exits = cast("type[Enum]", _named("orchestrator.operate.exits", "Exit"))
    rows = [(str(each.value), code(each.name), said) for each, said in _members(exits)]
    return table(("code", "name", "means"), rows)


def _reasons() -> str:
    results = cast("type[Enum]", _named("orchestrator.engine.machine", "Result"))
    stuck = cast("tuple[str, ...]", _named("orchestrator.engine.standing", "REASONS"))
    return "\n\n".join(
        [
            "Why a record becomes a dead letter or parks its key: " + codes(REASONS) + ".",
            "Why a saga is stuck: " + codes(stuck) + ".",
            WHY_CANCELLED,
            "What became of a message, a timer or a verb that reached a saga:",
            table(
                ("result", "means"), [(code(each.value), said) for each, said in _members(results)]
            ),
        ]
    )


def _members(enum: type[Enum]) -> Iterator[tuple[Enum, str]]:
    """Each with the comment on its line, or else its name in words."""
    comments = dict(_MEMBER.findall(inspect.getsource(enum)))
    for member in enum:
        yield member, comments.get(member.name) or member.name.lower().replace("_", " ")


def _import() -> str:
    rows = [(code(rule.name), rule.scope.value, rule.matches, rule.then) for rule in RULES]
    return table(("rule", "looks at", "matches", "happens"), rows)


def _sandboxes() -> str:
    rows = [(each.sandbox, each.field, code(each.value), each.meaning) for each in TEST_VALUES]
    refused = cast("frozenset[str]", _named("services.billing.domain", "REFUSED_CUSTOMERS"))
    reason = str(_named("services.billing.domain", "REFUSED_CUSTOMER_REASON"))
    said = f"Billing opens no account for the customers {codes(sorted(refused))} ({code(reason)})."
    return f"{table(('sandbox', 'field', 'value', 'does'), rows)}\n{said}\n"


def _sagas() -> str:
    draw = cast("Callable[[], str]", _named("orchestrator.engine.draw", "mermaid_tables"))
    names = [saga.name for saga in cast("tuple[type, ...]", _named("orchestrator.sagas", "SAGAS"))]  # type: ignore[attr-defined]
    said = [f"### {name}\n\n{fence('mermaid', _saga(name))}" for name in names]
    return "\n".join([*said, "### Steps and phases\n", fence("mermaid", draw())])


def _saga(name: str) -> str:
    draw = cast("Callable[[object], str]", _named("orchestrator.engine.draw", "mermaid"))
    return draw(_named("orchestrator.sagas", name.upper()))


def _named(module: str, name: str) -> object:
    return getattr(importlib.import_module(module), name)


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "Settings": _settings,
    "Command line": _commands,
    "Exit codes": _exits,
    "Topics": _topics,
    "Messages": _messages,
    "Metrics": _metrics,
    "HTTP": _http,
    "Reasons": _reasons,
    "Sagas": _sagas,
    "Retail import": _import,
    "Test values of the sandboxes": _sandboxes,
}


def main() -> int:
    REFERENCE.write_text(reference(), encoding="utf-8")
    README.write_text(pictured(README.read_text(encoding="utf-8")), encoding="utf-8")
    for file, text in dashboards.files().items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
