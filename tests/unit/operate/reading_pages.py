"""What a reader of a page sees, and the forms that he could send."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


class Text(HTMLParser):
    """White space squeezed; the tags met; every form's fields as a browser would send them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.links: list[str] = []
        self._parts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "input" and self.forms and "name" in given:
            unchosen = given.get("type") in ("radio", "checkbox") and "checked" not in given
            if not unchosen:
                self.forms[-1][given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        self._parts.append(data)

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self._parts).split())

    def form_with(self, name: str) -> dict[str, str]:
        (found,) = [form for form in self.forms if name in form]
        return found
