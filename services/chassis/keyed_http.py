"""HTTP to the outside world under an idempotency key: what is an answer, and what is unknown.

A caller says which statuses mean yes and which mean no. Everything else is `Unknown`: a timeout,
a broken connection, a 5xx, and also a 401 or a 404, because a wrong address or a missing right
says nothing about the order. Knows no provider and no body beyond its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self
from zlib import crc32

import httpx
import orjson

from services.chassis.handlers import Json, Result, Unknown

ANSWER_WITHIN_S = 5.0
# A pool walks all its connections for every request: one of 256 took 12 ms of CPU a call when all
# were busy, 32 of 8 take under 2.
POOLS = 32
CONNECTIONS_A_POOL = 8
REFUSED = "refused"
REASON_MAX = 200
_KEY_REUSED = "idempotency_key_reused"  # our own mistake, never a refusal


class KeyedHttp:
    """One provider. `post` gives the body of a yes, or `{"refused": <reason>}`."""

    def __init__(
        self,
        url: str,
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        verify = httpx.create_ssl_context()
        limits = httpx.Limits(
            max_connections=CONNECTIONS_A_POOL, max_keepalive_connections=CONNECTIONS_A_POOL
        )
        self._pools = tuple(
            httpx.AsyncClient(
                base_url=url,
                timeout=answer_within_s,
                limits=limits,
                transport=transport,
                verify=verify,
                trust_env=False,
            )
            for _ in range(POOLS)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in self._pools:
            await pool.aclose()

    async def post(
        self,
        path: str,
        body: Mapping[str, Json],
        key: str,
        *,
        yes: int,
        no: tuple[int, ...] = (),
    ) -> Result:
        where = f"POST {self._url}{path}"
        try:
            pool = self._pools[crc32(key.encode()) % POOLS]
            answer = await pool.post(
                path,
                content=orjson.dumps(body),
                headers={"Idempotency-Key": key, "Content-Type": "application/json"},
            )
        except httpx.TransportError as fault:
            raise Unknown(f"{where}: {type(fault).__name__}") from fault
        said = _object(answer.content)
        if answer.status_code == yes and said is not None:
            return said
        error = said.get("error") if said else None
        if answer.status_code in no and isinstance(error, str) and error != _KEY_REUSED:
            return {REFUSED: error[:REASON_MAX] or "refused"}
        raise Unknown(f"{where}: status {answer.status_code} is neither a yes nor a no")


def _object(content: bytes) -> dict[str, Json] | None:
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def segment(name: str) -> str:
    """An outside id as one segment of a path; `.` and `..` would otherwise climb."""
    return name.replace(".", "%2E")


def text(said: Result, name: str, *, max_length: int) -> str:
    """A text that a yes must carry; an answer without it is no answer."""
    value = said.get(name)
    if isinstance(value, str) and 0 < len(value) <= max_length:
        return value
    raise Unknown(f"the provider's answer has no usable {name}")


def amount(said: Result, name: str) -> int:
    """A number of minor units that a yes must carry."""
    value = said.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise Unknown(f"the provider's answer has no usable {name}")
