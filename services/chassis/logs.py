"""What a process says on standard error: one line an event, identifiers and never contents.

Owns the two formats and the allow-list. The invariant: what is not allowed by name cannot be
logged. That holds for extra fields, for the arguments of other people's log calls and for the
text of exceptions that are not ours, because all of them have carried names and addresses before.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

import orjson

from services.chassis.settings import Settings

ALLOWED = frozenset(  # Words in a text: a list would take a line for each.
    """
    order_id key business_key saga_id definition step operation_id command_id message_id event_id
    request_id correlation_id causation_id traceparent topic partition offset position group
    generation type kind source stage reason state phase status trigger verb action result
    attempt tries count partitions pending bytes size seconds waited_s port address path method
    route code handler table migration version commit timer due_at pid signal variable part
    """.split()  # noqa: SIM905
)
OURS = ("services.", "orchestrator.", "schemas.", "deploy.")
# These talk about every attempt to reach a broker that is away; `bus` says it once.
QUIET = {"aiokafka": logging.CRITICAL, "httpx": logging.WARNING, "uvicorn": logging.WARNING}
TEXT_MAX = 500
CAUSES_MAX = 5

Scalar = str | int | float | bool | None
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Makes `stream` (standard error) the one destination of every logger of the process."""
    lines = JsonLines if settings.log_format == "json" else TextLines
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(lines(settings.service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    debugging = settings.log_level == "debug"
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(logging.NOTSET if debugging else least)
    logging.captureWarnings(True)
    # A line that cannot be formatted must not print its arguments instead.
    logging.raiseExceptions = False


class _Lines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """Fixed fields first, then the allowed ones, then what is known of an exception."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "event": _event(record),
        }
        extra = record.__dict__.keys() - _STANDARD
        said.update((name, _scalar(record.__dict__[name])) for name in sorted(extra & ALLOWED))
        if refused := sorted(extra - ALLOWED):
            said["not_logged"] = refused
        if record.exc_info and record.exc_info[1]:
            said["errors"] = [_error(each) for each in _chain(record.exc_info[1])]
        return said


class JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(self.fields(record)).decode()


class TextLines(_Lines):
    """For people: time, level, service, event, then name=value."""

    def format(self, record: logging.LogRecord) -> str:
        said = self.fields(record)
        time, level, service = str(said.pop("time"))[11:23], said.pop("level"), said.pop("service")
        event, _ = said.pop("event"), said.pop("logger")
        errors = said.pop("errors", [])
        rest = "".join(f" {name}={value}" for name, value in said.items())
        assert isinstance(errors, list)
        causes = "".join(
            f" <- {each['error']} at {each['at']}" + (f": {each['text']}" if "text" in each else "")
            for each in errors
        )
        return f"{time} {level:<8}{service:<14}{event}{rest}{causes}"


def _event(record: logging.LogRecord) -> str:
    """Ours is rendered; of others only the template, for their arguments may be anything."""
    return _one_line(record.getMessage() if _is_ours(record.name) else str(record.msg))


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _one_line(str(value))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:TEXT_MAX]


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it came from."""
    each: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if each is None:
            return
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _error(error: BaseException) -> dict[str, str]:
    """Class and place; the text only of our own exceptions, which carry identifiers alone."""
    kind = type(error)
    said = {"error": f"{kind.__module__}.{kind.__qualname__}", "at": _place(error.__traceback__)}
    if _is_ours(kind.__module__):
        said["text"] = _one_line(str(error))
    return said


def _place(trace: TracebackType | None) -> str:
    """The innermost frame: where it was raised."""
    frames = traceback.extract_tb(trace)
    if not frames:
        return "nowhere"
    last = frames[-1]
    return f"{last.filename.rpartition('/')[2]}:{last.lineno} in {last.name}"
