"""The limits of size and shape, each a rule over one module.

Counting: lines as an editor shows them; `self` and `cls` are no parameters, and those of a test
are its fixtures and cases, which pytest names. A level of nesting is a block that decides or
repeats (`if for while try match`); `with`, which does neither, an `elif`, which stands beside its
`if`, and a `case`, which belongs to its `match`, add none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from tests.tidy.tree import Finding, Function, Source, classes, functions, height

MODULE_LINES_MAX = 400
TEST_MODULE_LINES_MAX = 600  # a list of claims, read one at a time
MODULE_LINES_MIN = 10
MAIN_LINES_MAX = 25
FUNCTION_LINES_MAX = 50
TEST_FUNCTION_LINES_MAX = 70  # a table of cases is read down
CLASS_LINES_MAX = 250
POSITIONAL_MAX = 5
PARAMETERS_MAX = 8
NESTING_MAX = 3
FOLDERS_MAX = 3
DOCSTRING_LINES_MAX = 8

_NESTS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)
_FORBIDDEN_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc", "impl"}
)
_AVRO_SHARED = "schemas/common/"
_MAY_BE_SHORT = frozenset({"__init__", "__main__"})


def module_length(source: Source) -> Iterator[Finding]:
    lines = len(source.text.splitlines())
    limit = TEST_MODULE_LINES_MAX if source.is_test else MODULE_LINES_MAX
    if source.name == "__main__":
        limit = MAIN_LINES_MAX
    if lines > limit:
        yield Finding(source.path, limit, "module", f"{lines} lines, at most {limit}; split it")
    if lines < MODULE_LINES_MIN and source.name not in _MAY_BE_SHORT:
        yield Finding(source.path, 1, "module", f"{lines} lines are no module; merge it")


def function_length(source: Source) -> Iterator[Finding]:
    limit = TEST_FUNCTION_LINES_MAX if source.is_test else FUNCTION_LINES_MAX
    for name, node in functions(source):
        if (lines := height(node)) > limit:
            why = f"{lines} lines, at most {limit}; take a part out"
            yield Finding(source.path, node.lineno, name, why)


def class_length(source: Source) -> Iterator[Finding]:
    for node in classes(source):
        if (lines := height(node)) > CLASS_LINES_MAX:
            why = f"{lines} lines, at most {CLASS_LINES_MAX}; it owns more than one thing"
            yield Finding(source.path, node.lineno, node.name, why)


def parameters(source: Source) -> Iterator[Finding]:
    for name, node in functions(source):
        positional, all_of_them = _counted(node)
        if positional > POSITIONAL_MAX and not name.startswith("test_"):
            why = f"{positional} positional parameters, at most {POSITIONAL_MAX}; name the rest"
            yield Finding(source.path, node.lineno, name, why)
        if all_of_them > PARAMETERS_MAX:
            why = f"{all_of_them} parameters, at most {PARAMETERS_MAX}; they are an object"
            yield Finding(source.path, node.lineno, name, why)


def nesting(source: Source) -> Iterator[Finding]:
    for name, node in functions(source):
        if (levels := _levels(node.body)) > NESTING_MAX:
            why = f"nested {levels} deep, at most {NESTING_MAX}; push the loops down"
            yield Finding(source.path, node.lineno, name, why)


def module_docstring(source: Source) -> Iterator[Finding]:
    """Drawn trees and lists (indented lines) and blank lines are not counted."""
    if _quoted(source):
        return
    said = ast.get_docstring(source.tree) or ""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(" ")]
    if not lines:
        why = "opens with 2 to 8 lines: what it owns, what it refuses to know, what always holds"
        yield Finding(source.path, 1, "module", why)
    if len(lines) > DOCSTRING_LINES_MAX:
        why = f"its docstring has {len(lines)} lines, at most {DOCSTRING_LINES_MAX}"
        yield Finding(source.path, 1, "module", why)


def module_name(source: Source) -> Iterator[Finding]:
    named = source.path.removeprefix(_AVRO_SHARED)
    for part in PurePosixPath(named).with_suffix("").parts:
        if part in _FORBIDDEN_NAMES:
            why = "says nothing; use a noun of the domain or of the machinery"
            yield Finding(source.path, 1, part, why)


def folder_depth(source: Source) -> Iterator[Finding]:
    depth = source.path.count("/")
    if depth > FOLDERS_MAX:
        yield Finding(source.path, 1, "module", f"{depth} folders deep, at most {FOLDERS_MAX}")


def unknown_types(source: Source) -> Iterator[Finding]:
    """`Any` switches the type checker off."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            if any(alias.name == "Any" for alias in node.names):
                why = "use object, a Protocol or a TypeVar"
                yield Finding(source.path, node.lineno, "Any", why)
        elif isinstance(node, ast.Attribute) and node.attr == "Any":
            yield Finding(source.path, node.lineno, "Any", "use object, a Protocol or a TypeVar")


def _quoted(source: Source) -> bool:
    """The scripts that the README shows whole open with their imports."""
    shown = source.path.startswith("tests/acceptance/") and not source.name.startswith("test_")
    return shown and source.text.startswith("import ")


def _counted(node: Function) -> tuple[int, int]:
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    if positional and positional[0] in {"self", "cls"}:
        positional = positional[1:]
    starred = (node.args.vararg is not None) + (node.args.kwarg is not None)
    return len(positional), len(positional) + len(node.args.kwonlyargs) + starred


def _levels(body: Iterable[ast.stmt], above: int = 0) -> int:
    return max((_levels_of(statement, above) for statement in body), default=above)


def _levels_of(statement: ast.stmt, above: int) -> int:
    if isinstance(statement, Function | ast.ClassDef):
        return above  # counted on its own
    here = above + isinstance(statement, _NESTS)
    deepest = here
    for field in ("body", "orelse", "finalbody"):
        body = getattr(statement, field, [])
        beside = field == "orelse" and len(body) == 1 and isinstance(body[0], ast.If)
        is_elif = isinstance(statement, ast.If) and beside
        deepest = max(deepest, _levels(body, above if is_elif else here))
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        deepest = max(deepest, _levels(part.body, here))
    return deepest


RULES = (
    module_length,
    function_length,
    class_length,
    parameters,
    nesting,
    module_docstring,
    module_name,
    folder_depth,
    unknown_types,
)
