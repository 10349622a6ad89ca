"""Five sagas, each stated once more as a table of whole messages, by hand and without the engine.

The tests compare what `decide` sends with what follows from these tables by the rules of
`saga_walks`: forward position by position, back in reverse. Nothing here is derived from a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestrator.saga import (
    Compensatable,
    Parallel,
    Pivot,
    Retriable,
    Saga,
    hours,
    minutes,
    seconds,
)
from orchestrator.sagas import fulfilment
from orchestrator.sagas.fulfilment import FULFILMENT, Order
from orchestrator.sagas.onboarding import ONBOARDING
from orchestrator.testing import Run, drive
from schemas.analytics import EraseProfile, ProfileErased, ProfileStarted, StartProfile
from schemas.billing import (
    AccountClosed,
    AccountOpened,
    AccountRefused,
    AuthorisePayment,
    CapturePayment,
    CaptureRefused,
    CloseAccount,
    OpenAccount,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from schemas.common import Charge, Item, Line, Money
from schemas.crm import (
    CloseCustomerRecord,
    CustomerRecordClosed,
    CustomerRecordOpened,
    OpenCustomerRecord,
)
from schemas.customers import CustomerRegistered
from schemas.inventory import OutOfStock, ReleaseStock, ReserveStock, StockReleased, StockReserved
from schemas.orchestrator import (
    CustomerOnboarded,
    CustomerRefused,
    OrderCancelled,
    OrderFulfilled,
)
from schemas.orders import OrderPlaced
from schemas.shipping import (
    BookShipment,
    CancelShipment,
    DispatchShipment,
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
)

AT = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
PAID = Money(4_700, "GBP")
ITEMS = (Item("22633", 3),)
ORDER = OrderPlaced(
    order_id="o-1",
    customer_id="17850",
    currency="GBP",
    lines=(Line("22633", 2, 1_500), Line("22633", 1, 1_500)),
    country="United Kingdom",
    placed_at=AT,
    charges=(Charge("POST", 200),),
)
CUSTOMER = CustomerRegistered("17850", "Ada", "ada@example.invalid", "United Kingdom", AT)


@dataclass(frozen=True)
class Row:
    """One step: what is asked, and what each answer looks like. `no` None: cannot be refused."""

    step: str
    do: object
    yes: object
    no: object | None = None
    why: str = ""
    undo: object | None = None
    undone: object | None = None
    within: int = minutes(2)
    keeps: bool = False


@dataclass(frozen=True)
class Case:
    name: str
    saga: Saga[object]
    start: object
    positions: tuple[tuple[Row, ...], ...]
    pivot: str | None
    completed: object
    cancelled: Callable[[str, str], object]

    def begin(self) -> Run[object]:
        return drive(self.saga, self.start, message_id="evt-1")

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for position in self.positions for row in position)

    def place_of(self, step: str) -> int:
        return next(i for i, p in enumerate(self.positions) if step in {row.step for row in p})


def _cancelled(reason: str, detail: str) -> object:
    return OrderCancelled("o-1", "17850", "evt-1", reason, detail)


def _refused(reason: str, detail: str) -> object:
    del detail
    return CustomerRefused("17850", reason)


def _start_profile(order: Order) -> StartProfile:
    return StartProfile(order.customer_id or "guest", order.country)


def _saga(
    name: str, *steps: Compensatable[Order] | Pivot[Order] | Retriable[Order] | Parallel[Order]
) -> Saga[Order]:
    return replace(FULFILMENT, name=name, steps=steps)


STOCK_STEP = Compensatable(
    "stock", fulfilment.reserve_stock, undo=fulfilment.release_stock, within=seconds(30)
)
PAYMENT_STEP = Compensatable(
    "payment",
    fulfilment.authorise_payment,
    undo=fulfilment.void_payment,
    within=minutes(2),
    keep=fulfilment.authorisation,
)
SHIPMENT_STEP = Compensatable(
    "shipment",
    fulfilment.book_shipment,
    undo=fulfilment.cancel_shipment,
    within=minutes(2),
    keep=fulfilment.tracking,
)
CAPTURE_STEP = Pivot("capture", fulfilment.capture_payment, within=minutes(2))
DISPATCH_STEP = Retriable("dispatch", fulfilment.dispatch_shipment, within=hours(1))
PROFILE_STEP = Retriable("profile", _start_profile, within=minutes(1))

WIDE = _saga(
    "wide",
    Parallel(STOCK_STEP, PAYMENT_STEP, SHIPMENT_STEP),
    CAPTURE_STEP,
    Parallel(DISPATCH_STEP, PROFILE_STEP),
)
UNTURNED = _saga("unturned", STOCK_STEP, Parallel(PAYMENT_STEP, SHIPMENT_STEP))
PIVOTLESS = _saga("pivotless", STOCK_STEP, PAYMENT_STEP, SHIPMENT_STEP, DISPATCH_STEP)

_STOCK = Row(
    "stock",
    ReserveStock("o-1", ITEMS),
    StockReserved("o-1"),
    OutOfStock("o-1", ("22633",)),
    "out_of_stock",
    ReleaseStock("o-1"),
    StockReleased("o-1"),
    within=seconds(30),
)
_PAYMENT = Row(
    "payment",
    AuthorisePayment("o-1", "17850", PAID, "tok_ok"),
    PaymentAuthorised("o-1", "auth-7", PAID),
    PaymentDeclined("o-1", "insufficient_funds"),
    "insufficient_funds",
    VoidPayment("o-1", PAID),
    PaymentVoided("o-1", PAID),
    keeps=True,
)
_SHIPMENT = Row(
    "shipment",
    BookShipment("o-1", "United Kingdom", ITEMS),
    ShipmentBooked("o-1", "track-9"),
    ShipmentRefused("o-1", "country_not_served"),
    "country_not_served",
    CancelShipment("o-1"),
    ShipmentCancelled("o-1"),
    keeps=True,
)
_CAPTURE = Row(
    "capture",
    CapturePayment("o-1", PAID, "auth-7"),
    PaymentCaptured("o-1", "auth-7", PAID),
    CaptureRefused("o-1", "expired"),
    "expired",
)
_DISPATCH = Row(
    "dispatch",
    DispatchShipment("o-1", "track-9"),
    ShipmentDispatched("o-1", "track-9"),
    within=hours(1),
)
_PROFILE = Row(
    "profile", StartProfile("17850", "United Kingdom"), ProfileStarted("17850"), within=minutes(1)
)
_FULFILLED = OrderFulfilled("o-1", "17850", "evt-1", PAID, "track-9")

CASES = (
    Case(
        "fulfilment",
        FULFILMENT,
        ORDER,
        ((_STOCK,), (_PAYMENT,), (_SHIPMENT,), (_CAPTURE,), (_DISPATCH,)),
        "capture",
        _FULFILLED,
        _cancelled,
    ),
    Case(
        "onboarding",
        ONBOARDING,
        CUSTOMER,
        (
            (
                Row(
                    "account",
                    OpenAccount("17850", "United Kingdom"),
                    AccountOpened("17850", "acc-1"),
                    AccountRefused("17850", "sanctioned"),
                    "sanctioned",
                    CloseAccount("17850"),
                    AccountClosed("17850"),
                ),
                Row(
                    "record",
                    OpenCustomerRecord("17850", "United Kingdom", "Ada"),
                    CustomerRecordOpened("17850"),
                    None,
                    "",
                    CloseCustomerRecord("17850"),
                    CustomerRecordClosed("17850"),
                ),
                Row(
                    "profile",
                    StartProfile("17850", "United Kingdom"),
                    ProfileStarted("17850"),
                    None,
                    "",
                    EraseProfile("17850"),
                    ProfileErased("17850"),
                ),
            ),
        ),
        None,
        CustomerOnboarded("17850"),
        _refused,
    ),
    Case(
        "wide",
        WIDE,
        ORDER,
        ((_STOCK, _PAYMENT, _SHIPMENT), (_CAPTURE,), (_DISPATCH, _PROFILE)),
        "capture",
        _FULFILLED,
        _cancelled,
    ),
    Case(
        "unturned",
        UNTURNED,
        ORDER,
        ((_STOCK,), (_PAYMENT, _SHIPMENT)),
        None,
        _FULFILLED,
        _cancelled,
    ),
    Case(
        "pivotless",
        PIVOTLESS,
        ORDER,
        ((_STOCK,), (_PAYMENT,), (_SHIPMENT,), (_DISPATCH,)),
        None,
        _FULFILLED,
        _cancelled,
    ),
)
