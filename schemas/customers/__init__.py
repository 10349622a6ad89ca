"""Messages that customers owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from dataclasses import field
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field
from pydantic.dataclasses import dataclass

from schemas.values import CONFIG

__all__ = [
    "CustomerRegistered",
]


@dataclass(frozen=True, config=CONFIG)
class CustomerRegistered:
    """A person became a customer. The first one applied starts the onboarding.

    customer_id: The customer.
    name: How the customer is addressed.
    email: Where mail to the customer goes.
    country: Country as the shop writes it, for example `United Kingdom`; not an ISO code.
    registered_at: When the customer registered, UTC.
    """

    avro_name: ClassVar[str] = "baton.customers.CustomerRegistered"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    name: Annotated[str, Field(strict=True, max_length=200)] = field(repr=False)
    email: Annotated[
        str,
        Field(strict=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"),
    ] = field(repr=False)
    country: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    registered_at: AwareDatetime
