"""Messages that analytics owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.values import CONFIG

__all__ = [
    "EraseProfile",
    "ProfileErased",
    "ProfileStarted",
    "StartProfile",
]


@dataclass(frozen=True, config=CONFIG)
class EraseProfile:
    """Forget what was counted of a customer.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.analytics.EraseProfile"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class ProfileErased:
    """Nothing is counted of the customer.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.analytics.ProfileErased"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class ProfileStarted:
    """What the customer does is counted.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.analytics.ProfileStarted"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class StartProfile:
    """Begin to count what a customer does.

    customer_id: The customer.
    country: Country as the shop writes it, for example `United Kingdom`; not an ISO code.
    """

    avro_name: ClassVar[str] = "baton.analytics.StartProfile"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    country: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
