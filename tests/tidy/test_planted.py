"""Each house rule finds what is planted for it, and leaves alone what only looks like it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.tidy import calls, limits, wiring, words
from tests.tidy.tree import Finding, Rule, Source

HOST = f"repo.{'maven'}.apache.org"  # in two, or this file would break the rule
HOME = f"/{'home'}/anna/baton"


def module(text: str, path: str = "services/orders/planted.py") -> Source:
    return Source(path, text)


def statements(n: int) -> str:
    return "".join(f"        x = {each}\n" for each in range(n))


def nested(*heads: str) -> str:
    """A function in which each head stands one level deeper than the one before."""
    rows = ["def f(a):", *heads, "pass"]
    return "".join(f"{'    ' * depth}{row}\n" for depth, row in enumerate(rows))


def named(findings: Iterable[Finding]) -> list[str]:
    return [each.what for each in findings]


PLANTED: list[tuple[Rule, Source, list[str]]] = [
    (limits.module_length, module("x = 1\n" * 401), ["module"]),
    (limits.module_length, module("x = 1\n" * 9), ["module"]),
    (limits.module_length, module("x = 1\n" * 26, "services/orders/__main__.py"), ["module"]),
    (limits.module_length, module("x = 1\n" * 601, "tests/unit/test_planted.py"), ["module"]),
    (limits.function_length, module("def f():\n" + statements(50)), ["f"]),
    (limits.function_length, module("class C:\n    def f(self):\n" + statements(50)), ["C.f"]),
    (limits.function_length, module("def f():\n" + statements(70), "tests/unit/t.py"), ["f"]),
    (limits.class_length, module("class C:\n" + statements(250)), ["C"]),
    (limits.parameters, module("def f(a, b, c, d, e, g): ..."), ["f"]),
    (limits.parameters, module("def f(*, a, b, c, d, e, g, h, i, j): ..."), ["f"]),
    (limits.parameters, module("def f(a, *b, c, d, e, g, h, i, **j): ..."), ["f"]),
    (limits.parameters, module("class C:\n    def f(self, a, b, c, d, e, g): ..."), ["C.f"]),
    (limits.nesting, module(nested("if a:", "for b in a:", "while b:", "if b:")), ["f"]),
    (limits.nesting, module(nested("for b in a:", "if b:", "match b:", "case 1:", "if a:")), ["f"]),
    (limits.module_docstring, module("x = 1\n"), ["module"]),
    (limits.module_docstring, module('"""' + "a\n" * 9 + '"""\n'), ["module"]),
    (limits.module_name, module("", "services/orders/utils.py"), ["utils"]),
    (limits.module_name, module("", "deploy/core/jars.py"), ["core"]),
    (limits.folder_depth, module("", "deploy/local/retail/rows/read.py"), ["module"]),
    (limits.unknown_types, module("from typing import Any\n"), ["Any"]),
    (limits.unknown_types, module("import typing\nx: typing.Any\n"), ["Any"]),
    (calls.banned_calls, module("from time import time_ns as now\nnow()\n"), ["time.time_ns"]),
    (calls.banned_calls, module("import datetime as dt\ndt.datetime.now()\n"),
     ["datetime.datetime.now"]),
    (calls.banned_calls, module("import uuid\nx = uuid.uuid4\n"), ["uuid.uuid4"]),
    (calls.banned_calls, module("import random\nrandom.random()\n"), ["random.random"]),
    (calls.banned_calls, module("print(1)\n"), ["print"]),
    (calls.banned_calls, module("import time\ntime.sleep(1)\n", "tests/unit/test_planted.py"),
     ["time.sleep"]),
    (calls.waiting_in_tests,
     module("import asyncio\nasyncio.sleep(0.1)\n", "tests/unit/test_planted.py"),
     ["asyncio.sleep"]),
    (calls.one_module_per_library, module("import aiokafka\n"), ["aiokafka"]),
    (calls.one_module_per_library, module("from fastavro import schema\n"), ["fastavro"]),
    (calls.one_module_per_library, module("import aiosqlite\n", "orchestrator/engine/store.py"),
     ["aiosqlite"]),
    (words.leftovers, module("# TODO: later\n"), ["TODO"]),
    (words.boasts, module("a robust engine\n", "README.md"), ["robust"]),
    (words.banners, module("# ------- handlers -------\n"), ["# -------"]),
    (words.emoji, module("done \u2705\n", "README.md"), ["\u2705"]),
    (words.registries, module(f"https://{HOST}/maven2\n", "deploy/local/jars.lock"), [HOST[5:]]),
    (words.machine_paths, module(f"cd {HOME}\n", "README.md"), [HOME[:7]]),
    (words.readme_length, module("x\n" * 201, "README.md"), ["README"]),
]  # fmt: skip

NEAR: list[tuple[Rule, Source]] = [
    (limits.module_length, module("x = 1\n" * 400)),
    (limits.module_length, module("", "services/orders/__init__.py")),
    (limits.function_length, module("def f():\n" + statements(49))),
    (limits.parameters, module("class C:\n    def f(self, a, b, c, d, e, *, g, h, i): ...")),
    (limits.parameters, module("def test_f(a, b, c, d, e, g): ...", "tests/unit/test_planted.py")),
    (limits.nesting, module(nested("if a:", "for b in a:", "with b:", "while b:"))),
    (limits.nesting, module("def f(a):\n" + "    if a: pass\n" + "    elif a: pass\n" * 5)),
    (limits.module_docstring, module('"""Claims.\n' + "    drawn\n" * 9 + 'Ends.\n"""\n')),
    (limits.module_name, module("", "schemas/common/Money.py")),
    (limits.folder_depth, module("", "services/orders/migrations/read.py")),
    (calls.banned_calls, module("import time\ntime.monotonic()\n")),
    (calls.banned_calls, module("import time\ntime.time_ns()\n", "services/chassis/clock.py")),
    (calls.banned_calls, module("print(1)\n", "orchestrator/operate/output.py")),
    (calls.banned_calls, module("x.time.time()\nself.print(1)\n")),
    (calls.waiting_in_tests,
     module("import asyncio\nasyncio.sleep(0)\n", "tests/unit/test_planted.py")),
    (calls.one_module_per_library, module("import aiokafka\n", "services/chassis/bus_read.py")),
    (words.leftovers, module("methodology\n")),
    (words.banners, module("-- name: stock_of\n# why\n--dry-run\n")),
    (words.machine_paths, module("GET /homes, services/home/data, ~/work\n", "README.md")),
    (words.registries, module("maven\n", "README.md")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "planted", "what"), PLANTED)
def test_a_rule_finds_what_is_planted(rule: Rule, planted: Source, what: list[str]) -> None:
    """It names the thing."""
    assert named(rule(planted)) == what


@pytest.mark.parametrize(("rule", "near"), NEAR)
def test_a_rule_leaves_alone_what_is_near(rule: Rule, near: Source) -> None:
    """A limit itself is allowed, and a word inside another word is another word."""
    assert named(rule(near)) == []


def test_every_rule_has_something_planted() -> None:
    """A rule nobody has seen fail is not trusted."""
    planted = {rule for rule, _, _ in PLANTED}
    assert planted >= {*limits.RULES, *calls.RULES, *words.RULES}


def test_a_dead_module_is_found() -> None:
    """Imported by a test only is dead; named by a text or started by hand is not."""
    tree = [
        module("", "deploy/local/dead.py"),
        module("", "deploy/local/alive.py"),
        module("", "deploy/local/named.py"),
        module("", "deploy/local/made.py"),
        module("from . import alive\nx = 'deploy.local.named'\n", "deploy/local/__main__.py"),
        module("import deploy.local.dead\n", "tests/unit/test_dead.py"),
    ]
    wires = [module("python -m deploy.local.made\n", "Makefile")]
    assert named(wiring.dead_modules(tree, wires)) == ["deploy.local.dead"]


def test_a_dead_name_is_found() -> None:
    """A function that only calls itself is dead; one looked up by its name is not."""
    used = "def loop(): loop()\n\ndef used(): ...\n\ndef asked(): ...\n\nLIMIT = 3\n"
    user = "from deploy.planted import used\n\nx = getattr(used, 'asked')\n"
    tree = [module(used, "deploy/planted.py"), module(user + "x()\n", "deploy/user.py")]
    assert named(wiring.dead_names(tree)) == ["loop", "LIMIT"]


def test_a_class_that_is_there_twice_is_found() -> None:
    """Twice in one area; two services may each have one."""
    said = "class Letter: ...\n"
    paths = ("services/crm/a.py", "services/crm/b.py", "services/orders/a.py")
    found = list(wiring.classes_twice([module(said, path) for path in paths]))
    assert [(each.path, each.what) for each in found] == [("services/crm/b.py", "Letter")]


def test_a_copied_function_is_found() -> None:
    """A new name and a new docstring hide nothing."""
    body = "    a = 1\n    b = 2\n    c = 3\n    return a + b + c\n"
    tree = [
        module(f"def first():\n{body}", "deploy/a.py"),
        module(f'def second():\n    """Says."""\n{body}', "deploy/b.py"),
    ]
    assert named(wiring.copied_functions(tree)) == ["second"]


def test_a_statement_nobody_asks_for_is_found() -> None:
    """Its name must stand in code of the same area."""
    sql = [module("-- name: mine\n-- name: theirs\n", "services/orders/store.sql")]
    code = [
        module("SQL['mine']\n", "services/orders/api.py"),
        module("SQL['theirs']\n", "services/crm/api.py"),
    ]
    assert named(wiring.unused_statements(sql, code)) == ["theirs"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("from services.crm.domain import A\n", ["__all__"]),
        ("from services.crm.domain import A\n__all__ = ['A', 'B']\n", ["B"]),
        ("from services.crm.domain import A\n__all__ = ['A']\n", []),
        ("from pathlib import Path\n", []),
    ],
)
def test_a_package_that_hides_or_invents_names_is_found(text: str, what: list[str]) -> None:
    """Names of one's own modules that are handed on are listed, and nothing else is."""
    assert named(wiring.faces([module(text, "services/crm/__init__.py")])) == what


def test_a_service_without_one_of_the_files_is_found() -> None:
    """All services look alike."""
    names = ("__init__", "__main__", "domain", "handlers")
    tree = [module("", f"services/crm/{name}.py") for name in names]
    assert named(wiring.service_folders(tree)) == ["store"]


@pytest.mark.parametrize(
    "name", ["time", "asyncio", "sqlite3", "schemas.orders", "services.chassis"]
)
def test_a_domain_that_knows_more_than_rules_is_found(name: str) -> None:
    """Neither clock nor I/O nor message."""
    domain = module(f"import json\nimport {name}\n", "services/crm/domain.py")
    assert named(wiring.pure_domains([domain])) == [name]


def test_another_name_at_the_top_is_found() -> None:
    """The top of the repository is fixed."""
    paths = ["README.md", "services/orders/api.py", "scripts/run.sh", "setup.py"]
    assert named(wiring.top_level(paths)) == ["scripts", "setup.py"]


def test_a_dependency_without_reason_is_found() -> None:
    """As is the twenty-first."""
    said = '[project]\ndependencies = [\n  "a>=1",  # why\n  "b>=1",\n]\n'
    assert named(wiring.dependencies(module(said, "pyproject.toml"))) == ['"b>=1",']
    many = "[project]\ndependencies = [\n" + '  "a",  # why\n' * 21 + "]\n"
    assert named(wiring.dependencies(module(many, "pyproject.toml"))) == ["dependencies"]
