"""Breaking the product on purpose, in memory: one edit of its text before it is imported.

Refuses to touch a file. An edit whose text does not stand exactly once in its file is an error:
a mutant that changes nothing would be called a survivor, or worse, a victim.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[2]


class NotThere(Exception):
    """The text that a mutant replaces does not stand once in its file."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks`: the rule, as one would say it. `failure`: which one it invites, by number or name.

    `edits`: (text, instead) of the file, a path from the repository's root.
    """

    name: str
    breaks: str
    failure: str
    file: str
    edits: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """The whole file as the mutant has it."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        for was, instead in self.edits:
            if text.count(was) != 1:
                raise NotThere(
                    f"{self.name}: {was!r} stands {text.count(was)} times in {self.file};"
                    " bring the mutant up to date"
                )
            text = text.replace(was, instead)
        return text

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")


class _Loader(SourceFileLoader):
    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / mutant.file))
        self._text = mutant.text()

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: a cached file would be the healthy one."""
        del fullname
        return compile(self._text, self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._module, self._loader = mutant.module, _Loader(mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = self._loader
        return spec


def install(mutant: Mutant) -> None:
    """For the rest of this process; its module must not be imported yet."""
    if mutant.file.endswith(".sql"):
        _install_sql(mutant)
        return
    if mutant.module in sys.modules:
        raise RuntimeError(f"{mutant.module} is imported already: {mutant.name} comes too late")
    sys.meta_path.insert(0, _Finder(mutant))


def _install_sql(mutant: Mutant) -> None:
    text, file = mutant.text(), ROOT / mutant.file
    healthy = Path.read_text

    def read_text(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return text if self.resolve() == file else healthy(self, encoding, errors)

    Path.read_text = read_text  # type: ignore[method-assign,assignment]
