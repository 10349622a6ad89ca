"""The carrier over HTTP: three calls, each under the operation's idempotency key.

What the carrier says for certain becomes a result: its words, or `{"refused": reason}`. All else
is `Unknown` and asked again. Knows no rule of shipments and keeps nothing.
"""

from __future__ import annotations

import httpx
from pydantic import Field

from services.chassis.handlers import Call, Result
from services.chassis.keyed_http import REFUSED, KeyedHttp, segment, text
from services.chassis.settings import Settings


class GatewaySettings(Settings):
    """Shipping does not start without its provider."""

    carrier_url: str = Field(
        pattern=r"^https?://[^\s/]+[^\s]*$",
        description="the carrier",
        json_schema_extra={"allowed": "a URL, http:// or https://"},
    )


def open_gateway(
    settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None
) -> KeyedHttp:
    """Used as an async context manager."""
    assert settings.carrier_url is not None
    return KeyedHttp(settings.carrier_url, transport=transport)


async def book(carrier: KeyedHttp, call: Call, key: str) -> Result:
    return _tracking(await carrier.post("/bookings", call.body, key, yes=201, no=(409, 422)))


async def cancel(carrier: KeyedHttp, call: Call, key: str) -> Result:
    return await carrier.post(_path(call), {}, key, yes=200, no=(409,))


async def dispatch(carrier: KeyedHttp, call: Call, key: str) -> Result:
    return _tracking(await carrier.post(_path(call), {}, key, yes=200, no=(409,)))


def _path(call: Call) -> str:
    return f"/bookings/{segment(str(call.body['order_id']))}/{call.name}"


def _tracking(said: Result) -> Result:
    return said if REFUSED in said else {"tracking": text(said, "tracking", max_length=128)}
