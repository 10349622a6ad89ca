"""Orders from outside through the real company: every outcome, every projection, every book."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from datetime import UTC, datetime

import httpx
import pytest

from schemas.common import Charge, Item, Line, Money
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.chassis.bus_admin import read_all
from tests.integration.books import (
    REFUSED_BY_CARRIER,
    check_books,
    deliver,
    many_orders,
    order,
    outcomes_of,
    phases,
    placed,
)
from tests.integration.running_company import (
    CODEC,
    OUTCOMES,
    Company,
    message,
    opened,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

CUSTOMER_OUTCOMES = "customers.customer.outcomes.v1"
ORDINARY = {"sku": "cup", "name": "", "quantity": 1, "unit_price_minor": 900}


def tracking(order_id: str) -> str:
    return "trk-" + hashlib.sha256(order_id.encode()).hexdigest()[:20]


def cancelled(one: OrderPlaced, reason: str, detail: str) -> OrderCancelled:
    return OrderCancelled(one.order_id, one.customer_id, f"{one.order_id}/placed", reason, detail)


def fulfilled(one: OrderPlaced) -> OrderFulfilled:
    return OrderFulfilled(
        one.order_id,
        one.customer_id,
        f"{one.order_id}/placed",
        Money(one.total_minor, one.currency),
        tracking(one.order_id),
    )


def registered(customer_id: str) -> CustomerRegistered:
    address = f"{customer_id}@example.org"
    return CustomerRegistered(customer_id, "Ada", address, "France", datetime.now(UTC))


async def test_each_order_ends_as_its_test_value_says(company: Company) -> None:
    """Whole outcomes: fulfilled though slow, silent or failing at first; refused with a reason."""
    plain = order("plain", customer_id="ada", charges=(Charge("POST", 350),))
    guest = order("guest")
    slow = order("slow", payment_method="tok_slow")
    silent = order("silent", payment_method="tok_silent_once")
    flaky = order("flaky", payment_method="tok_error")
    declined = order("declined", payment_method="tok_declined")
    expired = order("expired", payment_method="tok_expired")
    nowhere = order("nowhere", country=REFUSED_BY_CARRIER)
    sold_out = many_orders("sold-out", 7)[6]
    untaken = order("untaken", payment_method="tok_capture_refused")
    well = [plain, guest, slow, silent, flaky]
    ill = [declined, expired, nowhere, sold_out, untaken]
    await company.publish(*placed(*well, *ill))
    assert await check_books(company, [*well, *ill]) == {"fulfilled": 5, "cancelled": 5}
    assert await outcomes_of(company, [each.order_id for each in [*well, *ill]]) == {
        **{each.order_id: fulfilled(each) for each in well},
        "declined": cancelled(declined, "insufficient_funds", "payment"),
        "expired": cancelled(expired, "card_expired", "payment"),
        "nowhere": cancelled(nowhere, "country_not_served", "shipment"),
        "sold-out-6": cancelled(sold_out, "out_of_stock", "stock"),
        "untaken": cancelled(untaken, "capture_refused", "capture"),
    }


async def test_money_stock_and_parcels_add_up_over_a_hundred_orders(company: Company) -> None:
    """authorised = captured + voided, received = on hand + gone, and the bank says the same."""
    orders = many_orders("sum", 100)
    before = await company.sandbox("payment", "/ledger")
    await company.publish(*placed(*orders))
    assert await check_books(company, orders) == {"fulfilled": 70, "cancelled": 30}
    ledger = await company.sandbox("payment", "/ledger")
    grown = difference(before, ledger)
    price = order("any").total_minor
    assert grown == {
        "authorised_minor": 80 * price,
        "captured_minor": 70 * price,
        "voided_minor": 10 * price,
        "refunded_minor": 0,
        "authorisations": 80,
        "captures": 70,
        "voids": 10,
        "refunds": 0,
    }


def difference(before: dict[str, object], after: dict[str, object]) -> dict[str, int]:
    """By how much the pounds of a ledger grew."""
    pounds = [each["currencies"].get("GBP", {}) for each in (before, after)]  # type: ignore[attr-defined]
    return {name: value - pounds[0].get(name, 0) for name, value in pounds[1].items()}


async def test_who_follows_the_orders_saw_the_same_and_told_the_customer_once(
    company: Company,
) -> None:
    """Points, the day's numbers and letters come from the same events, with nobody commanding."""
    good = order("told-good", customer_id="bob", charges=(Charge("POST", 350),))
    bad = order("told-bad", customer_id="bob", payment_method="tok_declined")
    await company.publish(message(registered("bob"), "bob/registered"), *placed(good, bad))
    assert await check_books(company, [good, bad]) == {"fulfilled": 1, "cancelled": 1}
    (bob,) = company.rows(
        "crm",
        "SELECT record, orders, fulfilled, cancelled, points, captured, refunded FROM customer"
        " WHERE customer_id = 'bob'",
    )
    assert bob == ("open", 2, 1, 1, 26, '{"GBP":2600}', "{}")
    rows = company.rows(
        "analytics",
        "SELECT order_id, outcome ->> 'kind', outcome ->> 'reason', dispatched FROM order_facts"
        " WHERE order_id LIKE 'told-%' ORDER BY order_id",
    )
    assert rows == [
        ("told-bad", "cancelled", "insufficient_funds", 0),
        ("told-good", "fulfilled", "", 1),
    ]
    letters = mails_about(company, "told-good", "told-bad", "bob")
    assert letters["told-good/fulfilled"] == ("bob@example.org", "Order told-good: complete", 1)
    assert letters["told-bad/cancelled"] == ("bob@example.org", "Order told-bad: cancelled", 1)
    assert letters["bob/welcome"] == ("bob@example.org", "Welcome", 1)
    assert {count for *_, count in letters.values()} == {1}


def mails_about(company: Company, *names: str) -> dict[str, tuple[object, ...]]:
    """By order or customer and kind: to whom, subject, how often."""
    rows = company.rows("mail", "SELECT message_id, recipients, subject, count FROM mail")
    found = {str(key)[1:].partition("@")[0]: tuple(rest) for key, *rest in rows}
    return {key: rest for key, rest in found.items() if key.partition("/")[0] in names}


async def test_a_customer_becomes_known_everywhere_or_nowhere(company: Company) -> None:
    """One is onboarded; one that billing refuses is taken back wherever else it was known."""
    refused, welcome = "13747", "carla"
    await company.publish(
        *(message(registered(each), f"{each}/registered") for each in (refused, welcome))
    )
    query = (
        "SELECT keys.name, phase FROM sagas JOIN keys ON keys.id = sagas.key"
        " WHERE definition = 'onboarding' AND phase IN ('completed', 'compensated')"
    )
    await until(
        lambda: {refused, welcome} <= {key for key, _ in company.rows("orchestrator", query)},
        "both onboardings have ended",
    )
    await until(company.drained, "nothing is under way")
    said = {}
    for record in await read_all(company.kafka, [CUSTOMER_OUTCOMES]):
        body = CODEC.decode(record.value or b"")
        said[(record.key or b"").decode()] = (type(body).__name__, getattr(body, "reason", ""))
    assert said[welcome] == ("CustomerOnboarded", "")
    assert said[refused] == ("CustomerRefused", "refused_test_customer")
    both = (refused, welcome)
    accounts = "SELECT customer_id, status FROM account WHERE customer_id IN (?, ?)"
    records = "SELECT customer_id, record, name FROM customer WHERE customer_id IN (?, ?)"
    profiles = "SELECT customer_id, state, onboarding FROM profile WHERE customer_id IN (?, ?)"
    assert company.rows("billing", accounts, *both) == [(welcome, "open")]
    assert sorted(company.rows("crm", records, *both)) == [
        (refused, "closed", ""),
        (welcome, "open", "Ada"),
    ]
    assert sorted(company.rows("analytics", profiles, *both)) == [
        (refused, "erased", "refused"),
        (welcome, "started", "onboarded"),
    ]
    assert set(mails_about(company, *both)) == {f"{refused}/declined", f"{welcome}/welcome"}


def cancellation(order_id: str, request_id: str) -> OrderCancellationRequested:
    return OrderCancellationRequested(order_id, request_id, "changed my mind", datetime.now(UTC))


async def test_a_cancellation_before_the_pivot_takes_everything_back(company: Company) -> None:
    """The money is being authorised when it comes; what was done is undone, and that is the end."""
    one = order("regretted", payment_method="tok_slow")
    await company.publish(*placed(one))
    status = (
        "SELECT step.value ->> 'status' FROM sagas, json_each(sagas.steps) AS step"
        " WHERE saga_id = 'fulfilment:regretted' AND step.value ->> 'name' = 'payment'"
    )
    await until(lambda: company.rows("orchestrator", status) == [("sent",)], "it is being paid")
    await company.publish(message(cancellation("regretted", "r-1"), "regretted/r-1"))
    assert await check_books(company, [one]) == {"cancelled": 1}
    assert await outcomes_of(company, ["regretted"]) == {
        "regretted": cancelled(one, "cancelled", "changed my mind")
    }
    assert company.rows(
        "payment", "SELECT authorised, voided FROM payment WHERE order_id = 'regretted'"
    ) == [(one.total_minor, one.total_minor)]


async def test_a_cancellation_that_comes_too_late_is_refused_aloud(company: Company) -> None:
    one = order("gone")
    await company.publish(*placed(one))
    assert await check_books(company, [one]) == {"fulfilled": 1}
    await company.publish(message(cancellation("gone", "r-2"), "gone/r-2"))
    await until(company.drained, "nothing is under way")
    refusals = [
        CODEC.decode(record.value or b"")
        for record in await read_all(company.kafka, [OUTCOMES])
        if dict(record.headers)["ce_id"] == b"fulfilment:gone/cancellation/r-2"
    ]
    assert [(each.request_id, each.reason) for each in refusals] == [("r-2", "finished")]  # type: ignore[attr-defined]
    assert await check_books(company, [one]) == {"fulfilled": 1}
    shown = company.rows("orders", "SELECT cancellations FROM placed_order WHERE order_id = 'gone'")
    known = opened(shown[0][0])
    assert isinstance(known, dict)
    assert known["r-2"]["refused"] == "finished"


async def test_an_order_cancelled_before_it_came_ends_at_once(company: Company) -> None:
    one = order("hasty")
    await company.publish(message(cancellation("hasty", "r-3"), "hasty/r-3"))
    await until(lambda: phases(company).get("hasty") == "cancelled_early", "it is remembered")
    await company.publish(*placed(one))
    assert await check_books(company, [one]) == {"cancelled": 1}
    assert await outcomes_of(company, ["hasty"]) == {
        "hasty": cancelled(one, "cancelled", "changed my mind")
    }
    assert company.rows("payment", "SELECT * FROM payment WHERE order_id = 'hasty'") == []


async def test_fifty_orders_for_the_last_ten_pieces(company: Company) -> None:
    """Exactly ten are served, whoever they are, and no shelf is ever negative."""
    body = GoodsReceived("rare", (Item("rarity", 10),), datetime.now(UTC))
    await company.publish(message(body, "rare/received"))
    query = "SELECT 1 FROM shelf WHERE sku = 'rarity'"
    await until(lambda: company.rows("inventory", query), "the rare ones are there")
    orders = [order(f"race-{at}", lines=(Line("rarity", 1, 100),)) for at in range(50)]
    await company.publish(*placed(*orders))
    assert await check_books(company, orders) == {"fulfilled": 10, "cancelled": 40}


class Shop:
    """Orders' own HTTP interface, with the token of the state folder."""

    def __init__(self, company: Company) -> None:
        token = company.home.token_file.read_text().strip()
        self._client = httpx.AsyncClient(
            base_url=company.addresses["orders"],
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )

    async def __aenter__(self) -> httpx.AsyncClient:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


def posted(**fields: object) -> dict[str, object]:
    return {"currency": "GBP", "country": "France", "lines": [ORDINARY], **fields}


async def test_an_order_posted_over_http_is_fulfilled_and_shown(company: Company) -> None:
    async with Shop(company) as shop:
        answer = await shop.post(
            "/orders", json=posted(order_id="http-1"), headers={"Idempotency-Key": "http-1"}
        )
        assert answer.status_code == 202
        assert answer.json() == {"order_id": "http-1", "link": "/orders/http-1"}
        sent = order("http-1", lines=({**ORDINARY},))  # the same content, for the books
        assert await check_books(company, [sent]) == {"fulfilled": 1}
        shown = (await shop.get("/orders/http-1")).raise_for_status().json()
    assert (shown["status"], shown["outcome"]["kind"]) == ("fulfilled", "fulfilled")
    assert shown["outcome"] == {
        "kind": "fulfilled",
        "amount_minor": 900,
        "currency": "GBP",
        "tracking": tracking("http-1"),
    }
    assert shown["placed"]["lines"] == [ORDINARY]
    assert "payment_method" not in shown["placed"]


async def test_a_key_used_twice_is_the_same_order_or_refused(company: Company) -> None:
    """The same body is the same order; another body under the key is 422 and changes nothing."""
    key = {"Idempotency-Key": "twice"}
    async with Shop(company) as shop:
        first = await shop.post("/orders", json=posted(), headers=key)
        again = await shop.post("/orders", json=posted(), headers=key)
        other = await shop.post("/orders", json=posted(country="Spain"), headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert first.json() == again.json()
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert other.json()["type"] == "/problems/idempotency_key_reused"


async def test_a_cancellation_is_asked_for_over_http(company: Company) -> None:
    """An order that is unknown is 404; one under way is cancelled; one that ended is 409."""
    one = order("http-2", payment_method="tok_slow")
    reason = {"reason": "changed my mind"}
    async with Shop(company) as shop:
        unknown = await shop.post(
            "/orders/nobodys/cancellation", json=reason, headers={"Idempotency-Key": "c-1"}
        )
        await company.publish(*placed(one))
        known = "SELECT 1 FROM placed_order WHERE order_id = 'http-2' AND status = 'placed'"
        await until(lambda: company.rows("orders", known), "orders has heard of it")
        asked = await shop.post(
            "/orders/http-2/cancellation", json=reason, headers={"Idempotency-Key": "c-2"}
        )
        assert await check_books(company, [one]) == {"cancelled": 1}
        late = await shop.post(
            "/orders/http-2/cancellation", json=reason, headers={"Idempotency-Key": "c-3"}
        )
        shown = (await shop.get("/orders/http-2")).json()
    assert [each.status_code for each in (unknown, asked, late)] == [404, 202, 409]
    assert [each.json()["type"] for each in (unknown, late)] == [
        "/problems/unknown_order",
        "/problems/finished",
    ]
    assert (shown["status"], shown["outcome"]["reason"]) == ("cancelled", "cancelled")
    assert [each["request_id"] for each in shown["cancellations"]] == ["c-2"]


async def test_nobody_posts_without_the_token(company: Company) -> None:
    address = company.addresses["orders"]
    async with httpx.AsyncClient(base_url=address, trust_env=False) as stranger:
        answers = [
            await stranger.post("/orders", json=posted(order_id="stolen")),
            await stranger.get("/orders/gone", headers={"Authorization": "Bearer guess"}),
        ]
    assert [each.status_code for each in answers] == [401, 401]
    assert company.rows("orders", "SELECT * FROM placed_order WHERE order_id = 'stolen'") == []


async def test_a_hundred_posts_at_once_under_one_key_are_one_order(company: Company) -> None:
    key = {"Idempotency-Key": "stampede"}
    async with Shop(company) as shop:
        answers = await asyncio.gather(
            *(shop.post("/orders", json=posted(), headers=key) for _ in range(100))
        )
    assert Counter(each.status_code for each in answers) == {202: 100}
    (order_id,) = {each.json()["order_id"] for each in answers}
    sent = order(order_id, lines=({**ORDINARY},))
    assert await check_books(company, [sent]) == {"fulfilled": 1}
    rows = company.rows(
        "orders", "SELECT order_id FROM submission WHERE idempotency_key = ?", "stampede"
    )
    assert rows == [(order_id,)]


async def test_a_delivery_told_twice_is_received_once(company: Company) -> None:
    """The same GoodsReceived again, under the same and under another message id."""
    query = "SELECT sum(on_hand + reserved + gone) FROM shelf"
    await deliver(company, "twice")
    before = company.rows("inventory", query)
    await deliver(company, "twice")
    await until(company.drained, "nothing is under way")
    assert company.rows("inventory", query) == before


async def test_the_metrics_count_what_the_database_holds(company: Company) -> None:
    """Nothing crashed here, so the counters of sagas are the rows of sagas."""
    await until(company.drained, "nothing is under way")
    counted: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in (await company.metrics("orchestrator")).items():
        if name == "saga_finished_total":
            told = dict(labels)
            counted[told["saga"], told["outcome"]] += int(value)
    rows = company.rows(
        "orchestrator",
        "SELECT definition, phase, count(*) FROM sagas"
        " WHERE phase IN ('completed', 'compensated') GROUP BY definition, phase",
    )
    assert +counted == {(saga, phase): n for saga, phase, n in rows}
