"""What the checker writes a second time says the same as the product: wiring, schemas, tables.

Only tests may look at both sides. Where one of these fails, somebody changed one of them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from made import CATALOGUE, CODEC, WHEN, small_company

from deploy.verify import bodies
from deploy.verify.collecting import samples_of
from deploy.verify.evidence import tables_of
from deploy.verify.export import prepare, read_export, write_export
from deploy.verify.paths import edges
from deploy.verify.wiring import OURS, WIRES
from deploy.verify.wiring import SAGAS as DECLARED
from orchestrator.sagas import SAGAS
from orchestrator.steps import Compensatable
from schemas.common import Item
from schemas.fingerprint import fingerprint
from schemas.inventory import GoodsReceived
from schemas.topics import TOPICS
from services.chassis import sqlite

ROOT = Path(__file__).parents[3]
CHASSIS = ROOT / "services" / "chassis" / "migrations"
ENGINE = ROOT / "orchestrator" / "engine" / "migrations"


def test_topics_writers_and_readers_are_those_of_the_company() -> None:
    """Readers as a set; ANY writer is a star."""
    ours = {name: (writer, frozenset(readers)) for name, (writer, readers) in WIRES.items()}
    assert ours == {each.name: (each.writers[0], frozenset(each.readers)) for each in TOPICS}


def test_the_declared_sagas_are_those_that_run() -> None:
    """Steps, who answers them, which can be taken back, the pivot, the events and the outcomes."""
    for saga in SAGAS:
        mine = DECLARED[saga.name]
        steps = [
            (step.name, ask.contract.owner, isinstance(step, Compensatable))
            for step, ask in zip(saga.plan.steps, saga.plan.dos, strict=True)
        ]
        assert [(each.name, each.service, each.undo) for each in mine.steps] == steps
        assert mine.pivot == saga.plan.pivot
        contract = CATALOGUE.by_type[saga.starts_on]
        assert mine.starts == (contract.topic, contract.full_name)
        assert mine.topic == saga.topics["completed"]
    assert DECLARED.keys() == {saga.name for saga in SAGAS}


def test_every_message_of_the_catalogue_is_readable_here() -> None:
    """By its fingerprint; what is read is what was written."""
    known = bodies._schemas()
    assert all(fingerprint(each.schema) in known for each in CATALOGUE.by_name.values())
    body = GoodsReceived("d-1", (Item("cup", 2),), WHEN)
    assert bodies.body_of(CODEC.encode(body)) == {
        "delivery_id": "d-1",
        "items": [{"sku": "cup", "quantity": 2}],
        "received_at": WHEN,
    }
    assert bodies.body_of(b"\xc3\x01" + b"\x07" * 8) is None
    assert bodies.body_of(CODEC.encode(body)[:-9]) is None


@pytest.mark.parametrize("process", OURS)
def test_the_tables_of_every_process_are_read_as_they_are_made(process: str) -> None:
    """Each column that is read exists in today's migrations."""
    own = ENGINE if process == "orchestrator" else ROOT / "services" / process / "migrations"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for owner, folder in (("chassis", CHASSIS), (process, own)):
            sqlite._migrate(owner, folder, database)
        database.execute("INSERT INTO keys VALUES (7, 'o-1')")
        database.execute("INSERT INTO inbox VALUES (7, 'shop', 'm-1', 5)")
        found = tables_of(process, database)
    assert {kind: [tuple(row) for row in rows] for kind, rows in found.items() if rows} == {
        kind: [("o-1", "shop", "m-1", 5)] for kind in found if kind.__name__ == "Inbox"
    }


def test_no_way_leads_back_from_behind_the_pivot_or_out_of_an_end() -> None:
    """Whatever happens: once captured an order only goes forward, but for an operator's resume."""
    for what, pairs in edges("fulfilment").items():
        for before, after in pairs:
            assert before not in {"completed", "compensated"} or before == after
            if before == "awaiting_dispatch" and what != "verb_resume":
                assert after in {"awaiting_dispatch", "completed", "needs_operator"}


def test_an_export_comes_back_as_it_was(tmp_path: Path) -> None:
    """Records and ends to the byte; a folder that is not empty is refused."""
    made = small_company().evidence()
    folder = tmp_path / "export"
    prepare(folder)
    write_export(folder, made)

    back = read_export(folder)

    assert sorted(back.records) == sorted(made.records)
    assert (back.ends, back.taken_us, back.keeps) == (made.ends, made.taken_us, made.keeps)


def test_samples_are_read_as_prometheus_writes_them() -> None:
    """Labels with quotes and commas, numbers with exponents; comments say nothing."""
    text = '# HELP a b\na_total{x="1,\\"2\\"",y="z"} 3.0\nb 1.5e+09\n'
    assert samples_of(text) == {
        ("a_total", frozenset({("x", '1,\\"2\\"'), ("y", "z")})): 3.0,
        ("b", frozenset()): 1.5e9,
    }
