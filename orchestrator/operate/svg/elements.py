"""The few elements that our pictures are made of, escaped, with numbers as short as they go."""

from __future__ import annotations

from html import escape

Attribute = str | float | None


def element(name: str, *children: str, **attributes: Attribute) -> str:
    """`class_` and `text_anchor` as SVG spells them; None leaves an attribute out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(children)
    return f"<{name}{told}>{inside}</{name}>" if inside else f"<{name}{told}/>"


def text(x: float, y: float, said: str, **attributes: Attribute) -> str:
    return element("text", escape(said), x=x, y=y, **attributes)


def titled(said: str) -> str:
    """What a pointer and a screen reader are told of the element it stands in."""
    return element("title", escape(said))


def link(address: str, label: str, *children: str) -> str:
    """A part of a picture that leads somewhere, with the name that says where."""
    return element("a", *children, href=address, aria_label=label)


def picture(
    width: float, height: float, label: str, *children: str, name: str = "", role: str = "group"
) -> str:
    """The whole: `label` says what it shows. In a group the links stay reachable one by one."""
    return element(
        "svg",
        titled(label),
        *children,
        class_=f"picture {name}".strip(),
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        width=width,
        height=height,
        role=role,
        aria_label=label,
        xmlns="http://www.w3.org/2000/svg",
    )


def _text(value: Attribute) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".rstrip("0").rstrip(".")
    return escape(str(value), quote=True)
