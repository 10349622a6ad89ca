"""The line between an answer and the unknown, which must never be crossed towards a refusal."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from services.chassis.handlers import Unknown
from services.chassis.keyed_http import KeyedHttp, amount, segment, text

Respond = Callable[[httpx.Request], httpx.Response]


def provider(respond: Respond) -> KeyedHttp:
    return KeyedHttp("http://provider.invalid", transport=httpx.MockTransport(respond))


def says(status: int, body: object) -> Respond:
    return lambda _: httpx.Response(status, json=body)


def breaks(fault: type[httpx.TransportError]) -> Respond:
    def respond(request: httpx.Request) -> httpx.Response:
        raise fault("the wire is cut", request=request)

    return respond


async def test_a_yes_is_the_body_and_a_no_its_reason() -> None:
    """Only the statuses that the caller names are answers."""
    async with provider(says(201, {"name": "x"})) as http:
        assert await http.post("/things", {}, "k", yes=201, no=(409,)) == {"name": "x"}
    async with provider(says(409, {"error": "taken"})) as http:
        assert await http.post("/things", {}, "k", yes=201, no=(409,)) == {"refused": "taken"}


async def test_the_request_carries_its_key_and_its_body() -> None:
    """The idempotency key travels as the header of that name."""
    seen: list[tuple[str, str, bytes]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers["idempotency-key"], request.content))
        return httpx.Response(200, json={})

    async with provider(respond) as http:
        await http.post("/a/b", {"n": 1}, "saga/step/do", yes=200)
    assert seen == [("http://provider.invalid/a/b", "saga/step/do", b'{"n":1}')]


@pytest.mark.parametrize(
    "respond",
    [
        says(500, {"error": "broken"}),
        says(503, {"error": "unavailable"}),
        says(401, {"error": "no right"}),
        says(404, {"error": "no such page"}),
        says(409, {"detail": "a no without a reason"}),
        says(409, ["a no in another shape"]),
        says(409, {"error": "idempotency_key_reused"}),
        says(201, "a yes in another shape"),
        says(200, {"name": "a yes of another kind"}),
        lambda _: httpx.Response(201, content=b"<html>"),
        breaks(httpx.ReadTimeout),
        breaks(httpx.ConnectTimeout),
        breaks(httpx.ConnectError),
        breaks(httpx.ReadError),
        breaks(httpx.RemoteProtocolError),
    ],
)
async def test_all_else_is_unknown(respond: Respond) -> None:
    """A timeout, a broken wire, a 5xx, a wrong page and a garbled answer refuse nothing."""
    async with provider(respond) as http:
        with pytest.raises(Unknown, match=r"POST http://provider\.invalid/things: "):
            await http.post("/things", {}, "k", yes=201, no=(409,))


async def test_a_long_reason_is_cut_to_what_a_reply_can_carry() -> None:
    """A refusal is never lost because its reason is too long or empty."""
    async with provider(says(409, {"error": "x" * 300})) as http:
        assert await http.post("/t", {}, "k", yes=201, no=(409,)) == {"refused": "x" * 200}
    async with provider(says(409, {"error": ""})) as http:
        assert await http.post("/t", {}, "k", yes=201, no=(409,)) == {"refused": "refused"}


async def test_an_id_of_dots_stays_one_segment() -> None:
    """An order called `..` must not climb to another resource of the provider."""
    seen: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    async with provider(respond) as http:
        await http.post(f"/authorisations/{segment('..')}/void", {}, "k", yes=200)
    assert seen == ["/authorisations/%2E%2E/void"]


@pytest.mark.parametrize("value", [None, 7, "", "x" * 9])
def test_an_answer_without_its_text_is_unknown(value: object) -> None:
    """A yes that lacks what it must carry is not a yes."""
    with pytest.raises(Unknown, match="no usable name"):
        text({"name": value}, "name", max_length=8)  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [None, "7", -1, True, 1.5])
def test_an_answer_without_its_amount_is_unknown(value: object) -> None:
    """Money that is not a whole number of minor units is not believed."""
    with pytest.raises(Unknown, match="no usable amount_minor"):
        amount({"amount_minor": value}, "amount_minor")  # type: ignore[dict-item]
