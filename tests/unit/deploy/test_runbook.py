"""What the runbook tells people to type can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import deploy
from deploy.verbs import verbs
from schemas.topics import topic_named
from services.chassis.bus import OffsetOutside, TopicMadeAnew
from services.chassis.messages import TopicPartition
from tests.monitored import ALERTS, rules, told

RUNBOOK = (Path(deploy.__file__).parent / "RUNBOOK.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL)
LINES = [
    line.partition(" > ")[0]
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("baton ")
]


def check_line(line: str) -> None:
    """The longest verb that the line begins with takes each of its options."""
    words = shlex.split(line)
    known = {verb.name: verb for verb in verbs()}
    (name, *_) = sorted(
        (each for each in known if " ".join(words).startswith(f"{each} ") or line == each),
        key=len,
        reverse=True,
    )
    assert name != "baton", line
    taken = {option for each in known[name].options for option in each.names}
    assert {word for word in words if word.startswith("--")} <= taken, line
    if "--topic" in words:
        topic_named(words[words.index("--topic") + 1])


@pytest.mark.parametrize("line", LINES)
def test_every_command_of_the_runbook_exists_with_its_options(line: str) -> None:
    check_line(line)


def test_a_command_that_does_not_exist_is_found_out() -> None:
    """The check itself can fail: an unknown option, an unknown topic, an unknown verb."""
    for line in (
        "baton restore --serviec x",
        "baton outbox republish --topic nobodys.topic.v1",
        "baton mend --all",
    ):
        with pytest.raises((AssertionError, KeyError)):
            check_line(line)


def test_the_three_disasters_stand_there() -> None:
    headings = re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE)

    assert headings[:3] == [
        "Database restored from a backup",
        "Topic truncated",
        "Log shorter than stored offset",
    ]


def test_every_alert_stands_there_once_and_whole() -> None:
    """What it means, how it shows, what to type, when to worry."""
    parts = dict(re.findall(r"^## (Saga\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))

    assert list(parts) == list(dict.fromkeys(rule["alert"] for rule in rules(ALERTS)))
    for name, text in parts.items():
        for word in ("**Means.**", "**Shows.**", "**Type.**", "**Worry**", "```sh\nbaton "):
            assert word in text, (name, word)


def test_every_metric_of_the_runbook_is_exported() -> None:
    """By its whole name, in backquotes."""
    names = set(re.findall(r"`(saga_[a-z_]+|saga:[a-z0-9_:]+)", RUNBOOK))

    assert len(names) > 15
    known = {name.removesuffix("_count") for name in told()}
    assert {name.removesuffix("_count") for name in names} - known == set()


def test_the_alarm_of_a_position_outside_the_log_says_what_to_type() -> None:
    """Whole, with commands that exist."""
    place = TopicPartition("billing.replies.v1", 2)
    said = str(OffsetOutside(place, 5, 12, 20))

    assert said == (
        "billing.replies.v1[2] stands still at 5, nothing is skipped: the stored position is"
        " outside the log (12..20), whose records are gone or whose topic was made anew. Let its"
        " readers read on: baton offsets accept --topic billing.replies.v1 --partition 2"
        " --reason WHY; then say again what our services had said: baton outbox republish"
        " --topic billing.replies.v1 --partition 2 --reason WHY   (deploy/RUNBOOK.md)"
    )
    for line in re.findall(r"baton [^;(]*WHY", said):
        check_line(line)


def test_the_alarm_of_a_topic_made_anew_says_what_to_type() -> None:
    said = str(TopicMadeAnew(TopicPartition("billing.replies.v1", 2), 5))

    assert said == (
        "billing.replies.v1[2] stands still at 5, nothing is skipped: that position is of another"
        " topic of this name, which was made anew since. Let its readers read on: baton offsets"
        " accept --topic billing.replies.v1 --reason WHY; then say again what our services had"
        " said: baton outbox republish --topic billing.replies.v1 --reason WHY  "
        " (deploy/RUNBOOK.md)"
    )
    for line in re.findall(r"baton [^;(]*WHY", said):
        check_line(line)
