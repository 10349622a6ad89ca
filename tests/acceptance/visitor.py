"""Somebody at the console without JavaScript: comes in by the address that works once, and presses
the buttons that are on the page, with every hidden field they carry.

Knows no route: what cannot be pressed by a person cannot be pressed here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape

import httpx

from tests.integration.running_company import Company

HIDDEN = r'<input type="hidden" name="(\w+)" value="([^"]*)"'


class Visitor:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def html(self, path: str) -> str:
        """Whatever leads elsewhere is followed."""
        return (await self._http.get(path, follow_redirects=True)).raise_for_status().text

    async def seen(self, path: str) -> str:
        """What a reader sees, white space squeezed."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", await self.html(path))).split())

    async def press(self, page: str, action: str, button: Mapping[str, str]) -> str:
        """Sends the one form of that page which has these values; where that leads."""
        marked = [f'name="{name}" value="{value}"' for name, value in button.items()]
        form = rf'<form[^>]* action="{re.escape(action)}".*?</form>'
        found = re.findall(form, await self.html(page), re.DOTALL)
        (form,) = [each for each in found if all(mark in each for mark in marked)]
        fields = {name: unescape(value) for name, value in re.findall(HIDDEN, form)}
        answer = await self._http.post(action, data={**fields, **button})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].partition("#")[0]


@asynccontextmanager
async def visiting(company: Company) -> AsyncIterator[Visitor]:
    """As an operator, by an address as `baton login` prints it."""
    console = company.addresses["console"]
    async with httpx.AsyncClient(
        base_url=console, headers={"Origin": console}, trust_env=False, timeout=60
    ) as http:
        token = company.home.token_file.read_text(encoding="utf-8").strip()
        made = await http.post("/api/logins", headers={"Authorization": f"Bearer {token}"})
        entered = await http.get(made.raise_for_status().json()["path"])
        assert entered.status_code == 303, entered.text
        yield Visitor(http)
