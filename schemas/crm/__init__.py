"""Messages that crm owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from dataclasses import field
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.values import CONFIG

__all__ = [
    "CloseCustomerRecord",
    "CustomerRecordClosed",
    "CustomerRecordOpened",
    "OpenCustomerRecord",
]


@dataclass(frozen=True, config=CONFIG)
class CloseCustomerRecord:
    """End the record of a customer.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.crm.CloseCustomerRecord"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class CustomerRecordClosed:
    """The customer has no open record.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.crm.CustomerRecordClosed"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class CustomerRecordOpened:
    """The customer has a record.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.crm.CustomerRecordOpened"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class OpenCustomerRecord:
    """Begin the record of a customer.

    customer_id: The customer.
    country: Country as the shop writes it, for example `United Kingdom`; not an ISO code.
    name: How the customer is addressed.
    """

    avro_name: ClassVar[str] = "baton.crm.OpenCustomerRecord"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    country: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    name: Annotated[str, Field(strict=True, max_length=200)] = field(repr=False)
