"""Log lines carry identifiers and never contents, whoever wrote the log call."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import orjson
import pytest

from services.chassis import logs
from services.chassis.bus import TopicsWrong
from services.chassis.settings import Settings

CANARY = "Ada Lovelace <ada@example.org>"
OURS = "services.billing.handlers"


@pytest.fixture
def lines() -> Iterator[Callable[..., list[str]]]:
    """Configures logging into memory, and returns what was written since."""
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    stream = io.StringIO()

    def written(**options: str) -> list[str]:
        if options:
            environment = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:1", **options}
            logs.configure(Settings.read(environment, service="billing"), stream)
        said = stream.getvalue().splitlines()
        stream.seek(0)
        stream.truncate()
        return said

    written(BATON_LOG_FORMAT="json")
    yield written
    root.handlers[:], logging.raiseExceptions = before, raising
    root.setLevel(level)
    logging.captureWarnings(False)
    for name in logs.QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


def one(written: list[str]) -> dict[str, object]:
    (line,) = written
    said: dict[str, object] = orjson.loads(line)
    return said


def test_an_event_is_one_line_of_json(lines: Callable[..., list[str]]) -> None:
    """Fixed fields, then the identifiers given as extra."""
    logging.getLogger(OURS).warning(
        "payment unknown", extra={"order_id": "order-1", "attempt": 3, "seconds": 0.5}
    )
    said = one(lines())
    assert str(said.pop("time")).endswith("+00:00")
    assert said == {
        "level": "warning",
        "service": "billing",
        "logger": OURS,
        "event": "payment unknown",
        "order_id": "order-1",
        "attempt": 3,
        "seconds": 0.5,
    }


def test_a_field_that_is_not_allowed_is_named_and_not_shown(
    lines: Callable[..., list[str]],
) -> None:
    logging.getLogger(OURS).info("mailed", extra={"email": CANARY, "order_id": "o"})
    (line,) = lines()
    assert CANARY not in line
    said = orjson.loads(line)
    assert (said["order_id"], said["not_logged"]) == ("o", ["email"])


def test_an_exception_of_others_is_told_without_its_text(lines: Callable[..., list[str]]) -> None:
    """Class and place of every cause; text only of our own exceptions."""

    def handler() -> None:
        raise ValueError(CANARY)

    def wrapper() -> None:
        try:
            handler()
        except ValueError as error:
            raise TopicsWrong(["a.b"], "missing") from error

    try:
        wrapper()
    except TopicsWrong:
        logging.getLogger(OURS).exception("failed")
    (line,) = lines()
    assert CANARY not in line
    ours, theirs = orjson.loads(line)["errors"]
    assert ours["error"] == "services.chassis.bus.TopicsWrong"
    assert ours["text"].startswith("a.b: missing")
    assert ours["at"].startswith("test_logs.py:")
    assert (theirs["error"], theirs["at"].split(" in ")[1]) == ("builtins.ValueError", "handler")
    assert "text" not in theirs


def test_of_a_library_only_the_template_is_logged(lines: Callable[..., list[str]]) -> None:
    """Their arguments may be anything, a whole payload included."""
    logging.getLogger("somelib.client").error("cannot send %r", CANARY)
    assert one(lines())["event"] == "cannot send %r"
    logging.getLogger(OURS).error("stopped after %d s", 3)
    assert one(lines())["event"] == "stopped after 3 s"


def test_the_kafka_client_is_quiet_unless_debugging(lines: Callable[..., list[str]]) -> None:
    logging.getLogger("aiokafka.client").error("Unable connect to node")
    assert lines() == []
    lines(BATON_LOG_LEVEL="debug")
    logging.getLogger("aiokafka.client").error("Unable connect to node")
    assert one(lines())["event"] == "Unable connect to node"


def test_a_line_that_cannot_be_formatted_shows_nothing(
    lines: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The standard library would print the arguments with a traceback."""
    logging.getLogger(OURS).error("takes a number: %d", CANARY)
    assert CANARY not in "".join(lines()) + capsys.readouterr().err


def test_text_is_for_people(lines: Callable[..., list[str]]) -> None:
    """One line, even if a field has several."""
    lines(BATON_LOG_FORMAT="text")
    try:
        dict[str, str]()[CANARY]
    except KeyError:
        logging.getLogger(OURS).exception("not\nhandled", extra={"reason": "a\nb", "key": "o-1"})
    (line,) = lines()
    assert line[12:].startswith(" error   billing       not handled key=o-1 reason=a b <- builtins")
    assert CANARY not in line


def test_debug_is_not_written_at_info(lines: Callable[..., list[str]]) -> None:
    logging.getLogger(OURS).debug("details")
    assert lines() == []
