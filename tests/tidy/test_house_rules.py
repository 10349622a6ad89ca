"""The rules of the house hold for every file; what leaves one is listed with its reason."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache

import pytest

from tests.tidy import calls, limits, wiring, words
from tests.tidy.allowed import EXCEPTIONS
from tests.tidy.tree import ROOT, Finding, Rule, Source, files, modules, texts, written

OF_MODULES = (*limits.RULES, *calls.RULES)


@cache
def found_by(rule: Rule) -> list[Finding]:
    sources = texts() if rule in words.RULES else written()
    return [finding for source in sources for finding in rule(source)]


@pytest.fixture(scope="module")
def of_the_tree() -> dict[str, list[Finding]]:
    sql = [each for each in texts() if each.path.endswith(".sql") and "migrations" not in each.path]
    wires = [each for each in texts() if each.path in {"Makefile", ".ci/run"}]
    scripts = (ROOT / "pyproject.toml").read_text().partition("\n[tool.")[0]
    wires.append(Source("pyproject.toml", scripts))
    return dict(wiring.by_rule(modules(), [each for each in sql if each.is_product], wires))


def unexcused(rule: str, findings: Iterable[Finding]) -> list[str]:
    return [str(each) for each in findings if (rule, each.path, each.what) not in EXCEPTIONS]


@pytest.mark.parametrize("rule", [*OF_MODULES, *words.RULES], ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    """No file leaves the rule, but for the places that are listed."""
    assert unexcused(rule.__name__, found_by(rule)) == []


@pytest.mark.parametrize(
    "rule",
    [
        "dead_modules",
        "dead_names",
        "classes_twice",
        "copied_functions",
        "unused_statements",
        "faces",
        "service_folders",
        "pure_domains",
    ],
)
def test_the_parts_hang_together(rule: str, of_the_tree: dict[str, list[Finding]]) -> None:
    """Nothing is dead, nothing is there twice, every folder is as promised."""
    assert unexcused(rule, of_the_tree[rule]) == []


def test_every_exception_is_still_needed(of_the_tree: dict[str, list[Finding]]) -> None:
    """What was mended leaves the list."""
    found = {rule.__name__: found_by(rule) for rule in (*OF_MODULES, *words.RULES)} | of_the_tree
    needed = {(rule, each.path, each.what) for rule, all_of in found.items() for each in all_of}
    assert sorted(set(EXCEPTIONS) - needed) == []


def test_nothing_else_stands_at_the_top() -> None:
    """The names at the top of the repository are those of the design."""
    assert list(map(str, wiring.top_level(files()))) == []


def test_every_dependency_says_why_it_is_there() -> None:
    """At most twenty at run time, each with a reason."""
    project = Source("pyproject.toml", (ROOT / "pyproject.toml").read_text())
    assert list(map(str, wiring.dependencies(project))) == []


def test_tests_are_in_proportion(record_property: pytest.RecordProperty) -> None:
    """Neither too few tests to trust the code nor too many to change it."""
    product, tests = wiring.lines_of_code(written())
    ratio = tests / product
    record_property("lines_of_code", product)
    record_property("test_to_code", round(ratio, 2))
    least, most = wiring.RATIO
    assert least <= ratio <= most, f"{tests} lines of tests for {product} of code: {ratio:.2f}"


def test_every_listed_name_can_be_imported() -> None:
    """What a package lists in `__all__` is there."""
    packages = [each for each in modules() if each.name == "__init__" and each.is_product]
    for package in packages:
        module = importlib.import_module(package.module)
        assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []
