"""The operations ports of all processes, as the console asks them about dead letters.

Each process tells of its own rows; one that does not answer is named beside what the others said,
never left out. Knows addresses and JSON, neither verbs nor Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

Json = dict[str, object]
ANSWER_WITHIN_S = 5.0


class NotAnswered(Exception):
    """The process is silent, or not ready; says which and why."""


class NotKnown(Exception):
    """Asked for a process, a key or a verb that is not there; says which."""


class NotUnderstood(Exception):
    """The process refused the question; says what it would allow."""


class Surfaces:
    def __init__(
        self,
        addresses: Mapping[str, str],
        token_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._addresses, self._token_file = addresses, token_file
        self._client = httpx.AsyncClient(
            timeout=ANSWER_WITHIN_S, trust_env=False, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(self._addresses)

    def address(self, service: str) -> str:
        """Raises NotKnown, which names those that are."""
        address = self._addresses.get(service)
        if address is None:
            known = ", ".join(self.services) or "none: set BATON_SURFACES"
            raise NotKnown(f"no process {service}; known are {known}")
        return address

    async def every(
        self, path: str, wanted: Mapping[str, str], listed: str
    ) -> tuple[list[Json], dict[str, str]]:
        """What all processes list under that name, and why some list nothing."""
        services = [each for each in self.services if wanted.get("service", each) == each]
        given = {name: value for name, value in wanted.items() if name != "service" and value}
        asked = [self.one(each, path, given) for each in services]
        said = await asyncio.gather(*asked, return_exceptions=True)
        answers: list[Json] = []
        silent: dict[str, str] = {}
        for service, answer in zip(services, said, strict=True):
            if isinstance(answer, NotAnswered):
                silent[service] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            elif isinstance(some := answer.get(listed), list):
                answers += some
            else:
                silent[service] = f"{service} says what no process of Baton says: no {listed}"
        return answers, silent

    async def answer(
        self, service: str, path: str, given: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Whatever it says, with whatever status."""
        address = self.address(service)
        try:
            headers = self._headers()
            given = dict(given or {})
            return await self._client.get(f"{address}{path}", params=given, headers=headers)
        except httpx.TransportError as fault:
            raise NotAnswered(f"{service} does not answer ({type(fault).__name__})") from fault

    async def one(self, service: str, path: str, given: Mapping[str, str]) -> Json:
        answer = await self.answer(service, path, given)
        try:
            said = answer.json()
        except ValueError as fault:
            raise NotAnswered(f"{service} does not answer ({type(fault).__name__})") from fault
        if answer.is_success and isinstance(said, dict):
            return said
        detail = str(said.get("detail")) if isinstance(said, dict) else str(answer.status_code)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise NotKnown(detail)
        if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise NotUnderstood(detail)
        raise NotAnswered(f"{service}: {detail}")

    def _headers(self) -> dict[str, str]:
        """Read each time, so that a rotated token counts at once."""
        if self._token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        except OSError as fault:
            raise NotAnswered(f"no token to ask with: {fault.strerror}") from fault


def segment(key: str) -> str:
    return quote(key, safe="")
