"""How the parts hang together: nothing dead, nothing twice, every folder as it is promised.

These rules look at the whole tree at once. A name counts as used when it stands anywhere outside
its own definition: as a name, an attribute, a keyword, or a word of a text that is not prose.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.tidy.tree import Finding, Source, functions, imports

TOP_LEVEL = frozenset(
    {"services", "orchestrator", "schemas", "deploy", "tests", ".ci", ".gitignore"}
    | {"pyproject.toml", "requirements.lock", "Makefile", "LICENSE"}
    | {"README.md", "CHANGELOG.md", "SECURITY.md"}
)
SERVICE_FILES = ("__init__", "__main__", "domain", "handlers", "store")
RATIO = (0.8, 1.8)
_COPY_LINES_MIN = 3

_STATEMENT = re.compile(r"^-- name: (\S+)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PURE = frozenset(
    {"__future__", "collections", "dataclasses", "decimal", "enum", "functools", "hashlib"}
    | {"itertools", "json", "math", "operator", "re", "typing", "pydantic"}
)

Sources = Sequence[Source]


def dead_modules(sources: Sources, wires: Sources = ()) -> Iterator[Finding]:
    """Imported by nobody, found by no name, and not started by hand. Tests do not count.

    `wires` are other texts that start modules: the Makefile, the project file.
    """
    used = {name for source in sources if source.is_product for name, _ in imports(source)}
    texts = " ".join(_strings(source) for source in sources if source.is_product)
    texts += "".join(f"\n{wire.text}" for wire in wires)
    for source in sources:
        started = source.name in {"__main__", "__init__"} or source.name.endswith("_verbs")
        if started or not source.is_product or source.module in used:
            continue
        if not re.search(rf"(?<![\w.]){re.escape(source.module)}(?![\w.])", texts):
            yield Finding(source.path, 1, source.module, "nothing imports or starts it")


def dead_names(sources: Sources) -> Iterator[Finding]:
    """Functions, classes and constants of the product that nothing in the product mentions."""
    product = [source for source in sources if source.is_product]
    uses = Counter[str]()
    for source in product:
        uses.update(_mentions(source))
    for source in product:
        for name, line in _defined(source):
            if uses[name] == 0:
                yield Finding(source.path, line, name, "nothing uses it")


def classes_twice(sources: Sources) -> Iterator[Finding]:
    """A public class stands once in its area. Functions are read with their module's name."""
    seen: dict[tuple[str, str], str] = {}
    for source in (each for each in sources if each.is_product):
        for node in (each for each in source.tree.body if isinstance(each, ast.ClassDef)):
            first = seen.setdefault((source.area, node.name), source.path)
            if first != source.path and not node.name.startswith("_"):
                why = f"stands in {first} too; one of them is another thing and needs its name"
                yield Finding(source.path, node.lineno, node.name, why)


def copied_functions(sources: Sources) -> Iterator[Finding]:
    """The same body of more than three lines twice in an area; services share nothing but words."""
    seen: dict[tuple[str, str], str] = {}
    for source in (each for each in sources if each.is_product):
        for name, node in functions(source):
            body = node.body[ast.get_docstring(node) is not None :]
            text = "\n".join(ast.unparse(statement) for statement in body)
            first = seen.setdefault((source.area, text), source.path)
            if first != source.path and text.count("\n") >= _COPY_LINES_MIN:
                yield Finding(source.path, node.lineno, name, f"copied from {first}; share it")


def unused_statements(sql: Sources, sources: Sources) -> Iterator[Finding]:
    """Each named statement is asked for by its name, in the area of its file."""
    asked: dict[str, str] = defaultdict(str)
    for source in sources:
        asked[source.area] += _strings(source) + " "
    for file in sql:
        for found in _STATEMENT.finditer(file.text):
            name = found.group(1)
            if name not in asked[file.area].split():
                line = file.text.count("\n", 0, found.start()) + 1
                yield Finding(file.path, line, name, "no code asks for it")


def faces(sources: Sources) -> Iterator[Finding]:
    """A package that hands on names of its modules lists them, each of which it has."""
    for source in sources:
        if not source.is_product or source.name != "__init__":
            continue
        handed = {
            alias.asname or alias.name
            for node in source.tree.body
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(_top(source))
            for alias in node.names
        }
        listed = _listed(source.tree)
        if handed and listed is None:
            yield Finding(source.path, 1, "__all__", "list the names that are for others")
        for name in sorted((listed or frozenset()) - handed - _bound(source.tree)):
            yield Finding(source.path, 1, name, "stands in __all__ and nowhere else")


def service_folders(sources: Sources) -> Iterator[Finding]:
    """Learn one service, know them all: the same files, each with its one job."""
    found: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        if source.area.startswith("services/") and source.area != "services/chassis":
            found[source.area].add(source.name)
    for folder, names in found.items():
        for missing in sorted(set(SERVICE_FILES) - names):
            yield Finding(f"{folder}/{missing}.py", 1, missing, "every service has this file")


def pure_domains(sources: Sources) -> Iterator[Finding]:
    """Rules know the standard library and pydantic: no clock, no chance, no I/O, no message."""
    for source in (each for each in sources if each.is_product and each.name == "domain"):
        for name, line in imports(source):
            if name.partition(".")[0] not in _PURE:
                yield Finding(source.path, line, name, "a domain knows only what is pure")


def top_level(paths: Sequence[str]) -> Iterator[Finding]:
    for name in sorted({path.partition("/")[0] for path in paths} - TOP_LEVEL):
        yield Finding(name, 1, name, "no other name stands at the top")


def dependencies(project: Source) -> Iterator[Finding]:
    """Each of at most twenty says on its line why it is worth having."""
    block = project.text.partition("\ndependencies = [\n")[2].partition("\n]")[0]
    lines = block.splitlines()
    if len(lines) > 20 or not lines:
        yield Finding(project.path, 1, "dependencies", f"{len(lines)}, and at most 20")
    for line in lines:
        if not re.search(r'",\s+# \w', line):
            yield Finding(project.path, 1, line.strip(), "say why it is there, after a #")


def lines_of_code(sources: Sources) -> tuple[int, int]:
    """Lines that are not blank: of the product, and of its tests; bench measures, tests nothing."""
    product = tests = 0
    for source in sources:
        lines = sum(1 for line in source.text.splitlines() if line.strip())
        if source.is_product:
            product += lines
        elif not source.path.startswith("tests/bench/"):
            tests += lines
    return product, tests


def _top(source: Source) -> str:
    return source.path.partition("/")[0]


def _listed(tree: ast.Module) -> frozenset[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and "__all__" in _targets(node):
            return frozenset(ast.literal_eval(node.value))
    return None


def _bound(tree: ast.Module) -> set[str]:
    named = {getattr(node, "name", "") for node in tree.body}
    return named.union(*(_targets(node) for node in tree.body))


def _targets(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _defined(source: Source) -> Iterator[tuple[str, int]]:
    listed = _listed(source.tree) or frozenset()
    for node in source.tree.body:
        for name in {getattr(node, "name", ""), *_targets(node)} - {""}:
            if name not in listed and not name.startswith("__"):
                yield name, node.lineno


def _mentions(source: Source) -> Iterator[str]:
    """Every name a module uses. Inside its own definition a name is not used by anybody."""
    for statement in source.tree.body:
        own = getattr(statement, "name", "")
        for node in ast.walk(statement):
            yield from (name for name in _said(node) if name != own)


def _said(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.alias):
        yield node.name.rpartition(".")[2]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
        yield from _WORD.findall(node.value)


def _strings(source: Source) -> str:
    """The texts of a module, prose left out, that name things to be looked up."""
    return " ".join(
        node.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value
    )


def by_rule(sources: Sources, sql: Sources, wires: Sources) -> Mapping[str, list[Finding]]:
    """Everything that the whole tree breaks, by the name of the rule."""
    return {
        "dead_modules": list(dead_modules(sources, wires)),
        "dead_names": list(dead_names(sources)),
        "classes_twice": list(classes_twice(sources)),
        "copied_functions": list(copied_functions(sources)),
        "unused_statements": list(unused_statements(sql, sources)),
        "faces": list(faces(sources)),
        "service_folders": list(service_folders(sources)),
        "pure_domains": list(pure_domains(sources)),
    }
