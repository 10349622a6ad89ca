"""Parts that the messages of several owners are made of.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from schemas.values import CONFIG, iso4217

__all__ = [
    "Charge",
    "Item",
    "Line",
    "Money",
    "Overtaken",
]


@dataclass(frozen=True, config=CONFIG)
class Money:
    """An amount of money: a whole number of minor units and the currency they are of.

    amount_minor: Minor units, for example pence.
    currency: ISO 4217 code, for example `GBP`.
    """

    avro_name: ClassVar[str] = "baton.common.Money"

    amount_minor: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
    currency: Annotated[str, Field(strict=True), AfterValidator(iso4217)]


@dataclass(frozen=True, config=CONFIG)
class Charge:
    """An amount of an order that is not goods: postage, a discount, a fee. It takes no stock.

    code: What the charge is for, for example `POST`.
    amount_minor: Minor units of the order's currency; negative for a discount.
    """

    avro_name: ClassVar[str] = "baton.common.Charge"

    code: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    amount_minor: Annotated[int, Field(strict=True, ge=-1_000_000_000, le=1_000_000_000)]


@dataclass(frozen=True, config=CONFIG)
class Item:
    """Goods without a price: a product and how many of it.

    sku: The product; named once in a list that Baton makes.
    quantity: Pieces; 2,000 lines of 100,000 of one product still fit.
    """

    avro_name: ClassVar[str] = "baton.common.Item"

    sku: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    quantity: Annotated[int, Field(strict=True, ge=1, le=200_000_000)]


@dataclass(frozen=True, config=CONFIG)
class Line:
    """One line of an order: a product, how many, and what one of them costs.

    sku: The product; several lines may name the same one.
    quantity: Pieces.
    unit_price_minor: Price of one piece in minor units of the order's currency.
    name: What the shop calls the product; empty where unknown.
    """

    avro_name: ClassVar[str] = "baton.common.Line"

    sku: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    quantity: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    unit_price_minor: Annotated[int, Field(strict=True, ge=0, le=100_000_000)]
    name: Annotated[str, Field(strict=True, max_length=200)] = ""


@dataclass(frozen=True, config=CONFIG)
class Overtaken:
    """The command came after its own undo: nothing was done and nothing will be. An implicit
    refusal of every command that has an undo.

    key: The business key of the refused command.
    """

    avro_name: ClassVar[str] = "baton.common.Overtaken"

    key: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
