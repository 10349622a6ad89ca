"""The project as the tidy rules see it: its files, parsed once, and what a rule finds in them.

A rule is a function from one `Source` to its `Finding`s and knows no other file; the rules that
need the whole tree take all sources. New files count before they are committed.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
PRODUCT = ("services", "orchestrator", "schemas", "deploy")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its path from the root, and its text."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path, self.text)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def area(self) -> str:
        """What belongs together: one service, the chassis, or one of the top folders."""
        parts = self.path.split("/")
        return "/".join(parts[:2]) if parts[0] == "services" and len(parts) > 2 else parts[0]

    @property
    def module(self) -> str:
        """Its import path."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_product(self) -> bool:
        return self.area.partition("/")[0] in PRODUCT

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")

    @property
    def is_generated(self) -> bool:
        """The types made of the .avsc files: nobody writes or reads them by hand."""
        owner = self.path.removeprefix("schemas/")
        return owner != self.path and owner.count("/") == 1 and owner.endswith("/__init__.py")


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` names the thing, so that an exception can name it too; `why` says what to do."""

    path: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}: {self.why}"


Rule = Callable[[Source], Iterable[Finding]]


@cache
def _parsed(path: str, text: str) -> ast.Module:
    return ast.parse(text, path)


@cache
def files() -> tuple[str, ...]:
    """Every file that is committed or would be."""
    listed = subprocess.run(
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(sorted(p for p in set(listed.stdout.split("\0")) if p and (ROOT / p).is_file()))


@cache
def texts() -> tuple[Source, ...]:
    """Every file that is text."""
    found = []
    for path in files():
        try:
            found.append(Source(path, (ROOT / path).read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return tuple(found)


@cache
def modules() -> tuple[Source, ...]:
    """Every Python file."""
    return tuple(source for source in texts() if source.path.endswith(".py"))


@cache
def written() -> tuple[Source, ...]:
    """Every Python file that somebody wrote."""
    return tuple(source for source in modules() if not source.is_generated)


def functions(source: Source) -> Iterator[tuple[str, Function]]:
    """Every function with its dotted name inside the module."""
    yield from _functions(source.tree.body, "")


def _functions(body: Iterable[ast.stmt], inside: str) -> Iterator[tuple[str, Function]]:
    for node in body:
        if isinstance(node, Function):
            yield f"{inside}{node.name}", node
        if isinstance(node, Function | ast.ClassDef):
            yield from _functions(node.body, f"{inside}{node.name}.")


def classes(source: Source) -> Iterator[ast.ClassDef]:
    yield from (node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef))


def imports(source: Source) -> Iterator[tuple[str, int]]:
    """Every module named by an import in full, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(source, node)
            yield origin, node.lineno
            yield from ((f"{origin}.{alias.name}", node.lineno) for alias in node.names)


def _origin(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folders = source.path.split("/")[: -node.level]
    return ".".join([*folders, *([node.module] if node.module else [])])


def height(node: ast.AST) -> int:
    """Lines from the first of a definition, decorators left out, to its last."""
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    return int(last or 0) - int(first or 0) + 1
