"""The payment provider over HTTP: four calls, each under the operation's idempotency key.

What the provider says for certain becomes a result: its words, or `{"refused": reason}`. All else
is `Unknown` and asked again. Knows no rule of money and keeps nothing.
"""

from __future__ import annotations

import httpx
from pydantic import Field

from services.chassis.handlers import Call, Result
from services.chassis.keyed_http import REFUSED, KeyedHttp, amount, segment, text
from services.chassis.settings import Settings


class GatewaySettings(Settings):
    """Billing does not start without its provider."""

    payment_url: str = Field(
        pattern=r"^https?://[^\s/]+[^\s]*$",
        description="the payment provider",
        json_schema_extra={"allowed": "a URL, http:// or https://"},
    )


def open_gateway(
    settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None
) -> KeyedHttp:
    """Used as an async context manager."""
    assert settings.payment_url is not None
    return KeyedHttp(settings.payment_url, transport=transport)


async def authorise(provider: KeyedHttp, call: Call, key: str) -> Result:
    said = await provider.post("/authorisations", call.body, key, yes=201, no=(402, 409))
    if REFUSED in said:
        return said
    return {"authorisation_id": text(said, "authorisation_id", max_length=128)}


async def void(provider: KeyedHttp, call: Call, key: str) -> Result:
    """There is no refusal: an order without an authorisation gives back 0."""
    return _amount(await provider.post(_path(call), {}, key, yes=200))


async def capture(provider: KeyedHttp, call: Call, key: str) -> Result:
    body = {"amount_minor": call.body["amount_minor"]}
    return _amount(await provider.post(_path(call), body, key, yes=200, no=(409,)))


async def refund(provider: KeyedHttp, call: Call, key: str) -> Result:
    body = {"amount_minor": call.body["amount_minor"]}
    return _amount(await provider.post(_path(call), body, key, yes=200, no=(409,)))


def _path(call: Call) -> str:
    return f"/authorisations/{segment(str(call.body['order_id']))}/{call.name}"


def _amount(said: Result) -> Result:
    return said if REFUSED in said else {"amount_minor": amount(said, "amount_minor")}
