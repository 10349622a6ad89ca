"""Contexts to HTML: the templates, and how times, numbers and states are said in them.

Everything is escaped. A state is a glyph and words, never a colour alone; a time is relative with
the exact one in its element. A name that a template lacks is an error, not an empty place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as Names
from markupsafe import Markup

from orchestrator.operate import wording
from services.chassis.clock import Clock
from services.chassis.envelope import timestamp

STATIC = files("orchestrator.operate.pages") / "static"
NAVIGATION = (
    ("/", "Overview"),
    ("/stuck", "Stuck"),
    ("/sagas", "Sagas"),
    ("/flow", "Flow"),
    ("/map", "Map"),
    ("/topics", "Topics"),
    ("/dead-letters", "Dead letters"),
    ("/services", "Services"),
    ("/operations", "Operations"),
    ("/learn", "Learn"),
)


class Rendering:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._templates = Environment(
            loader=PackageLoader("orchestrator.operate.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            state=wording.state,
            reason=wording.reason,
            age=wording.duration,
            money=wording.money,
            count=count,
            words=words,
            coded=coded,
            when=self.when,
            moment=self.moment,
            link=link,
            many=many,
            fine=fine,
            per_second=per_second,
            seconds=seconds,
        )
        self._templates.globals.update(navigation=NAVIGATION, static=static, now=self.now)
        # A global, because a block that is rendered alone sees no imports of its page.
        self._templates.globals["ui"] = self._templates.get_template("ui.html").module

    def page(self, template: str, names: Mapping[str, object]) -> str:
        return self._templates.get_template(f"{template}.html").render(names)

    def region(self, template: str, block: str, names: Mapping[str, object]) -> str:
        """One block as `/live` sends it, without the page around it."""
        found = self._templates.get_template(f"{template}.html")
        return "".join(found.blocks[block](found.new_context(dict(names))))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / 1_000_000, UTC)

    def when(self, iso: str | None) -> Markup:
        """`12 s ago`, with the exact time in `datetime` and beside the pointer."""
        if not iso:
            return Markup('<span class="none">-</span>')
        seconds = round((self.now() - datetime.fromisoformat(iso)).total_seconds())
        shown = f"{wording.spell(seconds)} ago" if seconds >= 0 else f"in {wording.spell(-seconds)}"
        return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(iso, shown)

    def moment(self, us: int) -> Markup:
        return self.when(timestamp(us))


def fine(us: int) -> str:
    """`14:50:28.104` of a moment in microseconds."""
    return f"{datetime.fromtimestamp(us / 1_000_000, UTC):%H:%M:%S}.{us // 1000 % 1000:03}"


def count(number: int) -> str:
    """12431 as `12 431`, with a space that does not break."""
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def words(name: str) -> str:
    """`awaiting_payment` as people read it."""
    return name.replace("_", " ")


def coded(text: str) -> str:
    """A text that may begin with a code, as `unknown_schema: deadbeef` does: that in words."""
    code, colon, rest = text.partition(": ")
    return f"{words(code)}{colon}{rest}" if re.fullmatch("[a-z_]+", code) else text


def many(number: int, one: str, more: str = "") -> str:
    """`1 saga`, `12 sagas`."""
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def per_second(rate: float | None) -> str:
    return "?" if rate is None else f"{rate:.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def seconds(number: float | None) -> str:
    """`40 ms`, `2.5 s`, `12m`; a question mark for what nobody knows."""
    return "?" if number is None else wording.brief(number)


@pass_context
def link(names: Names, path: str, **changed: object) -> str:
    """`path` with the page's query and what is changed of it; None drops a parameter."""
    query: Iterable[tuple[str, str]] = names.get("query", ())
    kept = [(key, value) for key, value in query if key not in changed]
    new = [(key, str(value)) for key, value in changed.items() if value is not None]
    return f"{path}?{urlencode(kept + new)}" if kept or new else path


def static(name: str) -> str:
    """The address of a file that may be kept for ever: its content is part of it."""
    return f"/static/{name}?v={_DIGESTS[name]}"


_DIGESTS = {
    each.name: sha256(each.read_bytes()).hexdigest()[:12]
    for each in STATIC.iterdir()
    if each.name.endswith((".css", ".js", ".svg"))
}
