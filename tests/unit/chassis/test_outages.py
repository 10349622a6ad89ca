"""An hour without anybody fires no timer for a message that stands somewhere: every case of it.

Which process is away, where the message is, and which step it belongs to are enumerated. What a
service has read and does not answer is another matter: that time is the service's, until the
command that is sent again lies unread.
"""

from __future__ import annotations

from itertools import combinations

import pytest
from order_laws import at_end
from order_world import placed
from outages import Firm

from services.chassis import timers as timers_module

FORWARD = ("stock/do", "payment/do", "shipment/do", "capture/do", "dispatch/do")
BACK = ("shipment/undo", "payment/undo", "stock/undo")
SERVICE_OF = {
    "stock": "inventory",
    "payment": "billing",
    "shipment": "shipping",
    "capture": "billing",
    "dispatch": "shipping",
}
PLACES = ("command unsent", "command unread", "reply unsent", "reply unread")
AWAY = [each for n in (1, 2, 3) for each in combinations(("kafka", "orchestrator", "service"), n)]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers_module, "_CATCH_UP_MAX_S", -1.0)
    monkeypatch.setattr(timers_module, "_LOOK_AGAIN_S", 0.0)


async def held_at(command: str, place: str, **how: dict[str, str]) -> Firm:
    """An order whose message of this command is there; the way back begins at the capture."""
    method = "tok_expired" if command in BACK else "tok_ok"
    firm = Firm(placed(payment_method=method), **how)
    message = f"fulfilment:o-1/{command}" + ("/reply" if place.startswith("reply") else "")
    if place.endswith("unsent"):
        await firm.until_unsent(message)
    else:
        await firm.until_unread(message)
    return firm


def names(away: tuple[str, ...], command: str) -> list[str]:
    service = SERVICE_OF[command.partition("/")[0]]
    return [service if each == "service" else each for each in away]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("away", AWAY, ids="+".join)
async def test_an_hour_without_them_fires_no_timer(away: tuple[str, ...], place: str) -> None:
    """For each of the eight commands: no try, no time-out, and each message is said once."""
    for command in (*FORWARD, *BACK):
        firm = await held_at(command, place)
        assert firm.fired() == []
        await firm.an_hour_without(*names(away, command))
        assert firm.fired() == [], command
        await firm.until_over()
        assert firm.fired() == [], command
        back = command in BACK
        assert firm.fate() == ("compensated" if back else "completed"), command
        at_end(firm)
        for each in (*FORWARD[: 4 if back else 5], *(BACK if back else ())):
            assert firm.said(f"fulfilment:o-1/{each}") == 1, (command, each)


@pytest.mark.parametrize("command", [*FORWARD, *BACK])
async def test_what_nobody_waits_for_is_timed_out(command: str) -> None:
    """Sensitivity: were unread commands nobody's excuse, this very hour would fire timers."""
    firm = await held_at(command, "command unread", awaited={})
    await firm.an_hour_without(*names(("service",), command))
    assert firm.fired() != []


async def test_what_a_service_had_read_is_asked_once_more_and_then_waited_for() -> None:
    """It died while it asked the bank: the second try lies unread, so no third one follows."""
    firm = Firm(placed())
    await firm.until_unread("fulfilment:o-1/payment/do")
    await firm.until("billing heard")
    assert len(firm.processes["billing"].calls) == 1
    firm.processes["billing"].say()
    await firm.an_hour_without("billing")
    assert firm.fired() == [("timer", "payment", "awaiting_payment")]
    await firm.until_over()
    assert firm.fired() == [("timer", "payment", "awaiting_payment")]
    assert firm.fate() == "completed"
    at_end(firm)
