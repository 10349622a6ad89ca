"""Avro bytes to contract types and back: the one module that knows fastavro.

Writes Avro single-object encoding (C3 01, CRC-64-AVRO of the schema, body), which needs no
registry to be read. Reads that and Confluent's framing (00, schema id, body) for the ids it was
told. A fingerprint is an allow-list entry: what is not in the catalogue or among its released
versions is unknown, and nothing is ever fetched.

CodecError
├── Undecodable     the bytes are not what their schema says, or something stands behind them
├── UnknownSchema   readable perhaps, but not by this release: worth trying again later
└── OutOfBounds     decoded, but a value lies outside its contract; names the field
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import fastavro
from pydantic import ValidationError

from schemas.catalogue import Catalogue
from schemas.fingerprint import fingerprint

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
_HEAD_BYTES = 10
_CONFLUENT_HEAD_BYTES = 5


class CodecError(Exception):
    """The bytes could not become a message."""


class Undecodable(CodecError):
    """Not Avro of the schema it names."""


class UnknownSchema(CodecError):
    """Written with a schema that this release does not know."""


class OutOfBounds(CodecError):
    """A field's value lies outside its contract."""


class Codec:
    """Encodes and decodes every message of a catalogue.

    `released` are older schemas, still readable; `confluent_ids` maps registry ids to full names.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        released: Iterable[Mapping[str, Any]] = (),
        confluent_ids: Mapping[int, str] | None = None,
    ) -> None:
        self._writers: dict[type, Callable[[object], bytes]] = {}
        self._readers: dict[bytes, Callable[[io.BytesIO], object]] = {}
        parsed: dict[str, Any] = {}
        for contract in catalogue.by_name.values():
            schema = fastavro.parse_schema(dict(contract.schema), named_schemas={})
            parsed[contract.full_name] = schema
            mark = fingerprint(contract.schema)
            self._writers[contract.python] = _writer(schema, SINGLE_OBJECT + mark, contract.schema)
            self._readers[mark] = _reader(schema, None, contract.python)
        for old in released:
            name = f"{old['namespace']}.{old['name']}"
            mark = fingerprint(dict(old))
            if mark not in self._readers and name in parsed:
                past = fastavro.parse_schema(dict(old), named_schemas={})
                self._readers[mark] = _reader(past, parsed[name], catalogue.by_name[name].python)
        self._confluent = {
            number.to_bytes(4, "big"): fingerprint(catalogue.by_name[name].schema)
            for number, name in (confluent_ids or {}).items()
        }

    def encode(self, body: object) -> bytes:
        return self._writers[type(body)](body)

    def decode(self, value: bytes) -> object:
        """The typed message; raises CodecError with a reason that holds no payload."""
        head = value[:2]
        if head == SINGLE_OBJECT:
            mark, at = value[2:_HEAD_BYTES], _HEAD_BYTES
        elif head[:1] == CONFLUENT:
            number, at = value[1:_CONFLUENT_HEAD_BYTES], _CONFLUENT_HEAD_BYTES
            if number not in self._confluent:
                raise UnknownSchema(
                    f"Confluent schema id {int.from_bytes(number, 'big')} is not in"
                    " BATON_CONFLUENT_SCHEMA_IDS"
                )
            mark = self._confluent[number]
        else:
            raise Undecodable(f"neither Avro single-object nor Confluent framing: {head.hex()}")
        reader = self._readers.get(mark)
        if reader is None:
            raise UnknownSchema(f"schema fingerprint {mark.hex()} is not known to this release")
        stream = io.BytesIO(value)
        stream.seek(at)
        body = reader(stream)
        if stream.tell() != len(value):
            raise Undecodable(f"{len(value) - stream.tell()} bytes behind the message")
        return body


def _writer(schema: Any, head: bytes, raw: Mapping[str, Any]) -> Callable[[object], bytes]:
    plain = _to_record(raw)

    def write(body: object) -> bytes:
        stream = io.BytesIO()
        stream.write(head)
        fastavro.schemaless_writer(stream, schema, plain(body))
        return stream.getvalue()

    return write


def _reader(schema: Any, reader_schema: Any, python: type) -> Callable[[io.BytesIO], object]:
    def read(stream: io.BytesIO) -> object:
        try:
            record: Any = fastavro.schemaless_reader(stream, schema, reader_schema)
        except Exception as error:  # a hostile body can fail anywhere inside the decoder
            raise Undecodable(f"body is not {python.__name__}: {type(error).__name__}") from error
        try:
            return python(**record)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or python.__name__
            raise OutOfBounds(f"{place}: {first['msg']}") from error

    return read


def _to_record(schema: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """How an object becomes the dict fastavro writes; flat ones are their own `__dict__`."""
    named: dict[str, Callable[[Any], Any] | None] = {}
    convert = _converter(schema, named, str(schema.get("namespace", "")))
    return convert or (lambda body: body.__dict__)


def _converter(
    schema: Any, named: dict[str, Callable[[Any], Any] | None], space: str
) -> Callable[[Any], Any] | None:
    """None where the value can be written as it is."""
    if isinstance(schema, str):
        return named.get(schema if "." in schema else f"{space}.{schema}")
    if isinstance(schema, list):
        return _optional(
            next((found for each in schema if (found := _converter(each, named, space))), None)
        )
    if schema["type"] == "array":
        item = _converter(schema["items"], named, space)
        return None if item is None else lambda values: [item(each) for each in values]
    if schema["type"] != "record":
        return None if isinstance(schema["type"], str) else _converter(schema["type"], named, space)
    return _record(schema, named, str(schema.get("namespace", space)))


def _optional(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    return convert and (lambda value: None if value is None else convert(value))


def _record(
    schema: Mapping[str, Any], named: dict[str, Callable[[Any], Any] | None], space: str
) -> Callable[[Any], Any]:
    deep = {
        field["name"]: found
        for field in schema["fields"]
        if (found := _converter(field["type"], named, space)) is not None
    }

    def nested(body: Any) -> dict[str, Any]:
        record = dict(body.__dict__)
        for name, convert in deep.items():
            record[name] = convert(record[name])
        return record

    convert = nested if deep else lambda body: body.__dict__
    named[f"{space}.{schema['name']}"] = convert
    return convert
