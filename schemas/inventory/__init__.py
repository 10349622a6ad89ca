"""Messages that inventory owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field
from pydantic.dataclasses import dataclass

from schemas.common import Item
from schemas.values import CONFIG

__all__ = [
    "GoodsReceived",
    "OutOfStock",
    "ReleaseStock",
    "ReserveStock",
    "StockLow",
    "StockReleased",
    "StockReserved",
]


@dataclass(frozen=True, config=CONFIG)
class GoodsReceived:
    """A delivery arrived in the warehouse.

    delivery_id: The delivery; received once, however often it is told.
    items: What arrived.
    received_at: When it arrived, UTC.
    """

    avro_name: ClassVar[str] = "baton.inventory.GoodsReceived"

    delivery_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=2_000)]
    received_at: AwareDatetime


@dataclass(frozen=True, config=CONFIG)
class OutOfStock:
    """Not all goods of the order are there, so none were set aside.

    order_id: The order; chosen by whoever placed it.
    short: The products of which too few are free.
    """

    avro_name: ClassVar[str] = "baton.inventory.OutOfStock"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    short: Annotated[
        tuple[Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")], ...],
        Field(min_length=1, max_length=2_000),
    ]


@dataclass(frozen=True, config=CONFIG)
class ReleaseStock:
    """Put back what was set aside for the order.

    order_id: The order; chosen by whoever placed it.
    """

    avro_name: ClassVar[str] = "baton.inventory.ReleaseStock"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class ReserveStock:
    """Set the goods of an order aside: all of them, or none.

    order_id: The order; chosen by whoever placed it.
    items: The goods.
    """

    avro_name: ClassVar[str] = "baton.inventory.ReserveStock"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=2_000)]


@dataclass(frozen=True, config=CONFIG)
class StockLow:
    """The free stock of a product fell to its threshold or below.

    sku: The product.
    free: Pieces neither reserved nor gone.
    threshold: Pieces at which this is told.
    """

    avro_name: ClassVar[str] = "baton.inventory.StockLow"

    sku: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    free: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000_000_000)]
    threshold: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000_000_000)]


@dataclass(frozen=True, config=CONFIG)
class StockReleased:
    """Nothing is set aside for the order any more.

    order_id: The order; chosen by whoever placed it.
    """

    avro_name: ClassVar[str] = "baton.inventory.StockReleased"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class StockReserved:
    """The goods of the order are set aside.

    order_id: The order; chosen by whoever placed it.
    """

    avro_name: ClassVar[str] = "baton.inventory.StockReserved"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
