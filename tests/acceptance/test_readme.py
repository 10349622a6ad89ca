"""What the README shows runs, and what it says is so.

Scripts and pictures are compared with their sources by the test of the reference; the commands
against a running company are run by the test of the wheel, which has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from orchestrator.engine.draw import mermaid
from orchestrator.saga import Compensatable, Saga, minutes
from orchestrator.sagas import FULFILMENT, onboarding
from orchestrator.testing import drive
from schemas import analytics, billing, customers
from schemas import orchestrator as outcomes
from services.chassis import Answer, Table, answers, done, refused
from tests.acceptance.readme import PROSE, ROOT, TEXT, block
from tests.unit.services.desk import Desk

REGISTERED = customers.CustomerRegistered(
    "c-1", "Ada", "ada@example.invalid", "France", datetime(2026, 11, 23, tzinfo=UTC)
)


def run(code: str, names: Mapping[str, object]) -> dict[str, object]:
    """A block of the README as a module would run it, after its imports."""
    space = {"__name__": __name__, **names}
    exec(compile(code, "README.md", "exec"), space)
    return space


@pytest.fixture
def desk() -> Desk:
    kit: dict[str, object] = {"dataclass": dataclass, "replace": replace, "Mapping": Mapping}
    kit |= {"answers": answers, "done": done, "refused": refused, "Answer": Answer}
    shown = run(block("python", "HANDLERS = ("), kit | vars(billing))
    row, handlers = shown["Account"], shown["HANDLERS"]
    assert isinstance(row, type)
    assert isinstance(handlers, tuple)
    return Desk(handlers, [Table(row, "account", key="customer_id")])


def test_the_service_shown_answers_and_undoes(desk: Desk) -> None:
    """It opens, refuses with a reason, closes, and closes what was never opened."""
    opened = billing.OpenAccount("c-1", "France")
    assert desk.tell(opened)[:2] == (billing.AccountOpened("c-1", "a-1"), False)
    assert desk.tell(billing.OpenAccount("c-2", "Atlantis"))[:2] == (
        billing.AccountRefused("c-2", "country_not_served"),
        True,
    )
    for customer in ("c-1", "c-3"):
        closed = desk.tell(billing.CloseAccount(customer))
        assert closed[:2] == (billing.AccountClosed(customer), False)
    assert "('c-1', 0)" in desk.written()


def test_the_saga_shown_is_driven_as_shown() -> None:
    """Its own assertions hold; it is a legal saga with the makers of onboarding."""
    kit: dict[str, object] = {"Saga": Saga, "Compensatable": Compensatable, "minutes": minutes}
    kit |= {**vars(analytics), **vars(billing), **vars(customers), **vars(outcomes)}
    kit |= {**vars(onboarding), "drive": drive, "registered": REGISTERED}
    shown = run(block("python", "WELCOME = Saga"), kit)
    assert getattr(shown["WELCOME"], "name", "") == "welcome"


def test_the_run_shown_adds_up() -> None:
    """Orders by outcome and money by what became of it."""
    shown = block("text", "The story of")
    rows = re.findall(r"^[✓↩] .*? +(\d+) +£([\d,.]+)$", shown, re.MULTILINE)
    (total,) = re.findall(r"^all +(\d+) +£([\d,.]+)$", shown, re.MULTILINE)
    assert sum(int(orders) for orders, _ in rows) == int(total[0])
    assert sum(pounds(worth) for _, worth in rows) == pounds(total[1])
    money = dict(re.findall(r"^(authorised|captured|voided) +£([\d,.]+)$", shown, re.MULTILINE))
    assert pounds(money["authorised"]) == pounds(money["captured"]) + pounds(money["voided"])
    assert pounds(money["captured"]) == pounds(rows[0][1])


def test_the_story_shown_is_a_path_of_the_saga() -> None:
    """Every line of it is an edge of the picture drawn from the definition."""
    edge = r"^\S+  (\w+) +(?:(\w+) )?→ (\w+)"
    story = re.findall(edge, block("text", "The story of"), re.MULTILINE)
    drawn = re.findall(r"^ +(\S+) --> (\S+) : (\w+)", mermaid(FULFILMENT), re.MULTILINE)
    assert len(story) == 6
    assert [(b or "[*]", a, m) for m, b, a in story if (b or "[*]", a, m) not in drawn] == []
    assert (story[0][1], story[-1][2]) == ("", "compensated")


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", TEXT, re.MULTILINE))
def test_a_command_shown_exists(target: str) -> None:
    """In the Makefile."""
    assert f"\n{target}: " in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", re.findall(r"\]\((?!http)([^)#]+)\)", PROSE))
def test_a_link_leads_somewhere(place: str) -> None:
    """To a file of the project."""
    assert (ROOT / place).is_file()


@pytest.mark.parametrize("place", re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", TEXT))
def test_a_place_named_exists(place: str) -> None:
    """From the root, or within the folder that its line is about."""
    homes = (ROOT, ROOT / "orchestrator", ROOT / "services")
    assert any((home / place).exists() for home in homes)


def test_it_is_read_in_one_go() -> None:
    """At most 200 lines."""
    assert len(TEXT.splitlines()) <= 200


def pounds(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))
