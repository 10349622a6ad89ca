"""`import`, `events publish` and `outcomes tail` as typed, as far as no Kafka is needed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from deploy.local.retail.rules import COLUMNS
from orchestrator.operate.cli import main
from orchestrator.operate.exits import Exit

HEADER = ",".join(COLUMNS)
ROW = "500001,85123A,A LAMP,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
BROKEN = "500002,85123A,A LAMP,six,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
ORDER = {
    "order_id": "web-1",
    "customer_id": None,
    "currency": "GBP",
    "lines": [{"sku": "LAMP", "quantity": 2, "unit_price_minor": 255}],
    "country": "France",
    "placed_at": "2010-12-01T08:26:00Z",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(f"{HEADER}\n{ROW}\n{BROKEN}\n")
    return path


def typed(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_dry_run_counts_rows_and_lists_the_rejected(
    home: Path, orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No Kafka is asked; what would happen is a JSON object on standard output."""
    assert typed("import", orders, "--dry-run", "-o", "json") == Exit.DONE
    said = capsys.readouterr()
    rejects = home / "data" / "imports" / "orders.rejects.csv"
    assert json.loads(said.out) == {
        "rows_read": 2,
        "rows_imported": 1,
        "rejected": {"bad_number": 1},
        "rejects_file": str(rejects),
        "orders": 1,
        "amount_minor": 1530,
        "customers": 1,
        "products": 1,
        "stock_units": 6,
        "published": False,
    }
    assert said.err == ""
    assert rejects.read_text() == (
        "line,reason,detail\n3,bad_number,Quantity 'six' is not a whole number\n"
    )


def test_a_dry_run_for_people_is_a_table_and_two_sentences(
    home: Path, orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers on standard output, the talk on standard error."""
    assert typed("import", orders, "--dry-run") == Exit.DONE
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()] == [
        ["ROWS", "COUNT"],
        ["read", "2"],
        ["imported", "1"],
        ["rejected:", "bad_number", "1"],
    ]
    assert said.err.strip().splitlines() == [
        "would publish 6 units of 1 product, 1 customer and 1 order for £15.30",
        f"rejected rows, line by line: {home}/data/imports/orders.rejects.csv",
    ]


def test_without_a_file_the_shipped_month_is_imported(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--day` and `--limit` choose of it."""
    assert home
    assert typed("import", "--dry-run", "--day", "2010-12-01", "-o", "json") == Exit.DONE
    assert json.loads(capsys.readouterr().out)["orders"] == 127
    assert typed("import", "--dry-run", "--limit", "3", "-o", "json") == Exit.DONE
    assert json.loads(capsys.readouterr().out)["orders"] == 3


FAILURES = [
    (["import", "nowhere.csv", "--dry-run"], Exit.FAILURE,
     "✖ nowhere.csv: No such file or directory; name a readable CSV"),
    (["import", "--dry-run", "--day", "2010-12-25"], Exit.FAILURE,
     "no order was placed on 2010-12-25"),
    (["import"], Exit.UNREACHABLE, "✖ no stack runs in "),
    (["import", "--day", "1 December"], Exit.USAGE, "1 December"),
    (["import", "--rate", "0"], Exit.USAGE, "--rate"),
    (["import", "--limit", "0"], Exit.USAGE, "--limit"),
    (["outcomes", "tail"], Exit.UNREACHABLE, "✖ no stack runs in "),
    (["events", "publish", "OrderPlacd"], Exit.NOT_FOUND, "did you mean OrderPlaced?"),
    (["events", "publish", "VoidPayment"], Exit.REFUSED, "written by orchestrator only"),
    (["events", "publish", "OrderPlaced", "nowhere.json"], Exit.NOT_FOUND,
     "✖ nowhere.json: No such file or directory"),
    (["events", "publish", "OrderPlaced"], Exit.REFUSED, "✖ currency: "),
    (["events", "publish", "OrderPlaced", "-", "--source", ""], Exit.REFUSED, "✖ currency: "),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "said"), FAILURES)
def test_what_cannot_be_done_is_told_with_its_exit_code(
    home: Path,
    words: list[str],
    code: Exit,
    said: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error, with nothing on standard output and never a traceback."""
    assert home
    given(monkeypatch, json.dumps({**ORDER, "currency": "GBQ"}))
    assert typed(*words) == code
    heard = capsys.readouterr()
    assert said in heard.err
    assert "Traceback" not in heard.err
    assert heard.out == ""


def test_a_file_without_orders_points_at_its_rejects(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be published, and the reason of each row is on disk."""
    path = tmp_path / "orders.csv"
    path.write_text(f"{HEADER}\n{BROKEN}\n")
    assert typed("import", path, "--dry-run") == Exit.FAILURE
    said = capsys.readouterr().err
    assert "none of 1 rows can be imported" in said
    assert f"see {home}/data/imports/orders.rejects.csv for the reason of each" in said


def test_an_event_can_be_checked_without_publishing_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Type, topic and key are told; no Kafka is asked."""
    assert home
    given(monkeypatch, json.dumps(ORDER))
    words = ["events", "publish", "OrderPlaced", "--dry-run", "--id", "a", "-o", "json"]
    assert typed(*words) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {
        "type": "baton.orders.OrderPlaced",
        "id": "a",
        "source": "baton-cli",
        "topic": "orders.order.events.v1",
        "key": "web-1",
        "published": False,
    }
