"""What may not stand in a file of text: leftovers, decoration, boasts, places of one machine.

The names of package registries and of folders on somebody's machine are put together here, so
that this file may be looked at by its own rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.tidy.tree import Finding, Source

README_LINES_MAX = 200

_HERE = "tests/tidy/"
_LEFTOVER = re.compile(r"\b(TODO|FIXME|HACK)\b")
_BOAST = re.compile(r"\b(robust|enterprise|blazing|seamless)", re.IGNORECASE)
_BANNER = re.compile(r"^\s*(#|--|//)\s*[-=#*~_]{4,}")
_EMOJI = re.compile("[\U0001f000-\U0001faff\ufe0f\u2705\u274c\u2728\u2b50\u26a1\u2757\u2753]")
_REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("npmjs", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("anaconda", "org"),
        ("sonatype", "org"),
    )
)
_REGISTRY = re.compile("|".join(re.escape(host) for host in _REGISTRIES), re.IGNORECASE)
_MACHINE = re.compile(r"(?<![\w./<{}$~*-])/(home|root|Users|work|mnt|media)/[\w.<-]")


def leftovers(source: Source) -> Iterator[Finding]:
    """Work that is not done belongs to the list of issues."""
    if not source.path.startswith(_HERE):
        yield from _lines(source, _LEFTOVER, "do it, or write it down where work is planned")


def boasts(source: Source) -> Iterator[Finding]:
    if not source.path.startswith(_HERE):
        yield from _lines(source, _BOAST, "say what it does, with a number")


def banners(source: Source) -> Iterator[Finding]:
    yield from _lines(source, _BANNER, "a module that needs dividers is two modules")


def emoji(source: Source) -> Iterator[Finding]:
    yield from _lines(source, _EMOJI, "words, or a glyph with a word beside it")


def registries(source: Source) -> Iterator[Finding]:
    """Where packages come from is the business of whoever installs them."""
    yield from _lines(source, _REGISTRY, "leave the registry to the tool's own settings")


def machine_paths(source: Source) -> Iterator[Finding]:
    yield from _lines(source, _MACHINE, "name it from the root of the project")


def readme_length(source: Source) -> Iterator[Finding]:
    lines = len(source.text.splitlines())
    if source.path == "README.md" and lines > README_LINES_MAX:
        why = f"{lines} lines, at most {README_LINES_MAX}"
        yield Finding(source.path, README_LINES_MAX, "README", why)


def _lines(source: Source, pattern: re.Pattern[str], why: str) -> Iterator[Finding]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := pattern.search(line):
            yield Finding(source.path, number, found.group().strip(), why)


RULES = (leftovers, boasts, banners, emoji, registries, machine_paths, readme_length)
