"""A gateway's result that could not be recorded, as a dead letter and back.

The outside world has spoken, so its word is kept with the call that it answers: the operation stays
`calling`, the call is not made again, and a redrive records what is kept. Never to be discarded.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from services.chassis.admission import Refused
from services.chassis.codec import CodecError
from services.chassis.items import Begun, Item, Returned, TurnedAway
from services.chassis.messages import Record, unpack
from services.chassis.packing import pack_begun, unpack_begun
from services.chassis.parked import RECORD_STAGE

_CALL, _SOURCE, _OPERATION, _TYPE = "baton-call", "ce_source", "ce_operationid", "ce_type"


def refused_by(begun: Begun, reason: str, error: str) -> Refused:
    return Refused(reason, f"{error} in recording the result of {_name(begun)}", RECORD_STAGE)


def letter_of(returned: Returned, partition: int) -> Record:
    """As if it had been a record on the command's topic; it has no place in that log."""
    begun = returned.begun
    topic = "" if begun.command is None else begun.command.topic
    headers = (
        (_SOURCE, begun.source.encode()),
        (_OPERATION, begun.operation.encode()),
        (_TYPE, _name(begun).encode()),
        (_CALL, pack_begun(begun)),
    )
    value = orjson.dumps(dict(returned.result))
    return Record(topic, partition, 0, 0, begun.key.encode(), value, headers)


def returned_of(record: Record, decode: Callable[[bytes], object]) -> Item:
    headers = dict(record.headers)
    key = (record.key or b"").decode()
    source, operation = headers[_SOURCE].decode(), headers[_OPERATION].decode()
    try:
        begun = unpack_begun(headers[_CALL], key, source, operation, decode)
    except CodecError as error:
        return TurnedAway(record, Refused("unknown_schema", str(error), RECORD_STAGE, False), key)
    return Returned(begun, orjson.loads(record.value or b"{}"))


def operation_in(packed: bytes) -> tuple[str, str]:
    """Source and operation of a letter, from its headers as a column keeps them."""
    headers = dict(unpack(packed))
    return headers[_SOURCE].decode(), headers[_OPERATION].decode()


def _name(begun: Begun) -> str:
    return begun.call.name if begun.command is None else begun.command.type
