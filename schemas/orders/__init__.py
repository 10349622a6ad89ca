"""Messages that orders owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime, Field
from pydantic.dataclasses import dataclass

from schemas.common import Charge, Line
from schemas.values import CONFIG, iso4217

__all__ = [
    "OrderCancellationRequested",
    "OrderPlaced",
]


@dataclass(frozen=True, config=CONFIG)
class OrderCancellationRequested:
    """Somebody asks that the order be cancelled. It is answered by OrderCancelled or
    OrderCancellationRefused.

    order_id: The order; chosen by whoever placed it.
    request_id: This request; a refusal names it.
    reason: Why, in the words of whoever asks.
    requested_at: When it was asked, UTC.
    """

    avro_name: ClassVar[str] = "baton.orders.OrderCancellationRequested"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    request_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    requested_at: AwareDatetime


@dataclass(frozen=True, config=CONFIG)
class OrderPlaced:
    """A customer ordered. The first one applied for an order starts its saga.

    order_id: The order; chosen by whoever placed it.
    customer_id: The customer; null for a guest.
    currency: ISO 4217 code of every amount of the order.
    lines: What was ordered, in the order it was written down.
    country: Country as the shop writes it, for example `United Kingdom`; not an ISO code.
    placed_at: When the customer placed it, UTC.
    charges: Amounts beside the goods.
    payment_method: The payment provider's token for how the customer pays.
    """

    avro_name: ClassVar[str] = "baton.orders.OrderPlaced"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None
    currency: Annotated[str, Field(strict=True), AfterValidator(iso4217)]
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=2_000)]
    country: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    placed_at: AwareDatetime
    charges: Annotated[tuple[Charge, ...], Field(max_length=200)] = ()
    payment_method: Annotated[str, Field(strict=True, min_length=1, max_length=64)] = "tok_ok"

    @property
    def total_minor(self) -> int:
        """The sum of lines and charges in minor units of the currency."""
        goods = sum(line.quantity * line.unit_price_minor for line in self.lines)
        return goods + sum(charge.amount_minor for charge in self.charges)

    def __post_init__(self) -> None:
        if not 0 <= self.total_minor <= 1_000_000_000:
            raise ValueError("total of lines and charges is outside 0..1_000_000_000 minor units")
