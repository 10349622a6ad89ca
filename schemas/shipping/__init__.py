"""Messages that shipping owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.common import Item
from schemas.values import CONFIG

__all__ = [
    "BookShipment",
    "CancelShipment",
    "DispatchShipment",
    "ShipmentBooked",
    "ShipmentCancelled",
    "ShipmentDispatched",
    "ShipmentRefused",
]


@dataclass(frozen=True, config=CONFIG)
class BookShipment:
    """Book the order's transport with the carrier.

    order_id: The order; chosen by whoever placed it.
    country: Country as the shop writes it, for example `United Kingdom`; not an ISO code.
    items: What is to be carried.
    """

    avro_name: ClassVar[str] = "baton.shipping.BookShipment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    country: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=2_000)]


@dataclass(frozen=True, config=CONFIG)
class CancelShipment:
    """Take back the booking with the carrier.

    order_id: The order; chosen by whoever placed it.
    """

    avro_name: ClassVar[str] = "baton.shipping.CancelShipment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class DispatchShipment:
    """Hand the goods of the order to the carrier.

    order_id: The order; chosen by whoever placed it.
    tracking: The carrier's tracking number.
    """

    avro_name: ClassVar[str] = "baton.shipping.DispatchShipment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    tracking: Annotated[str, Field(strict=True, min_length=1, max_length=128)]


@dataclass(frozen=True, config=CONFIG)
class ShipmentBooked:
    """The carrier will carry the order.

    order_id: The order; chosen by whoever placed it.
    tracking: The carrier's tracking number.
    """

    avro_name: ClassVar[str] = "baton.shipping.ShipmentBooked"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    tracking: Annotated[str, Field(strict=True, min_length=1, max_length=128)]


@dataclass(frozen=True, config=CONFIG)
class ShipmentCancelled:
    """The carrier has no booking for the order.

    order_id: The order; chosen by whoever placed it.
    """

    avro_name: ClassVar[str] = "baton.shipping.ShipmentCancelled"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class ShipmentDispatched:
    """The carrier has the goods.

    order_id: The order; chosen by whoever placed it.
    tracking: The carrier's tracking number.
    """

    avro_name: ClassVar[str] = "baton.shipping.ShipmentDispatched"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    tracking: Annotated[str, Field(strict=True, min_length=1, max_length=128)]


@dataclass(frozen=True, config=CONFIG)
class ShipmentRefused:
    """The carrier does not carry the order.

    order_id: The order; chosen by whoever placed it.
    reason: The carrier's reason, for example `country_not_served`.
    """

    avro_name: ClassVar[str] = "baton.shipping.ShipmentRefused"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
