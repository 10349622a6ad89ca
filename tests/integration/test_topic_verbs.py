"""`baton topics …` and the events that `customer` and `stock` publish, on a real Kafka."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.operate.cli import main
from schemas.topics import all_topics

pytestmark = pytest.mark.kafka
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(
    kafka: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Typed:
    """Exit code, standard output and standard error of what is typed at this Kafka."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("BATON_HOME", str(tmp_path))

    def type_(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(words)
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return type_


def test_apply_creates_what_plan_names_and_only_once(typed: Typed) -> None:
    """Afterwards nothing is left to create, and every topic stands."""
    planned = json.loads(typed("topics", "plan", "-o", "json")[1])
    first = json.loads(typed("topics", "apply", "-o", "json")[1])
    second = typed("topics", "apply", "-o", "json")
    left = json.loads(typed("topics", "plan", "-o", "json")[1])

    assert [row["name"] for row in first] == [
        row["name"] for row in planned if row["step"] == "create"
    ]
    assert second[:2] == (0, "[]\n")
    assert {(row["name"], row["step"]) for row in left} == {
        (topic.name, "stands") for topic in all_topics()
    }
    assert typed("topics", "check")[0] == 0


def test_a_registration_is_published_and_shown_without_what_is_personal(typed: Typed) -> None:
    """Name and address stand on the topic, never on the screen."""
    customer = f"c-{uuid.uuid4().hex}"
    typed("topics", "apply")
    words = ("customer", "register", customer, "--name", "Ann Bee", "--email", "ann@example.org")
    code, out, _ = typed(*words, "-o", "json")
    tail = ("topics", "tail", "customers.customer.events.v1", "--key", customer)
    shown = typed(*tail, "-o", "jsonl")
    row = json.loads(shown[1])

    assert (code, json.loads(out)["key"]) == (0, customer)
    assert (row["type"], row["id"], row["source"]) == (
        "baton.customers.CustomerRegistered",
        f"{customer}/CustomerRegistered",
        "baton-cli",
    )
    assert (row["body"]["name"], row["body"]["email"], row["body"]["country"]) == (
        "***",
        "***",
        "United Kingdom",
    )
    assert "Ann" not in shown[1] + typed(*tail)[1]


def test_a_delivery_is_published_under_the_id_that_was_given(typed: Typed) -> None:
    """The same delivery again is the same event, so that it counts once."""
    delivery = f"d-{uuid.uuid4().hex}"
    typed("topics", "apply")
    for _ in range(2):
        typed("stock", "receive", "cup:3", "--delivery", delivery)
    lines = typed(
        "topics", "tail", "inventory.delivery.events.v1", "--key", delivery, "-o", "jsonl"
    )[1].splitlines()
    rows = [json.loads(line) for line in lines]

    assert [(row["id"], row["body"]["items"]) for row in rows] == [
        (f"{delivery}/GoodsReceived", [{"sku": "cup", "quantity": 3}])
    ] * 2


def test_an_unknown_topic_is_not_found(typed: Typed) -> None:
    """And the sentence says where the known ones are listed."""
    code, out, err = typed("topics", "tail", "orders.order.evnts.v1")

    assert (code, out) == (3, "")
    assert err == (
        "✖ orders.order.evnts.v1 is no topic of Baton. `baton topics list` names them all.\n"
    )
