"""What is written about the code is written by the code, and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.markdown import between, table
from deploy.pictures import processes
from deploy.reference import README, REFERENCE, pictured, reference
from deploy.verbs import verbs
from orchestrator.metrics import SAGAS
from orchestrator.operate.metrics import CONSOLE
from orchestrator.sagas import FULFILMENT, ONBOARDING
from schemas.catalogue import load_catalogue
from schemas.topics import TOPICS
from services.chassis.metrics import CHASSIS
from services.chassis.settings import Settings


def test_the_committed_reference_is_what_the_code_says() -> None:
    """Nobody has to remember to write it."""
    assert reference() == REFERENCE.read_text(encoding="utf-8"), "run `make reference`"


def test_the_pictures_of_the_readme_are_what_the_code_says() -> None:
    """A new topic or step shows."""
    readme = README.read_text(encoding="utf-8")
    assert pictured(readme) == readme, "run `make reference`"


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([row.variable for row in Settings.describe()], id="settings"),
        pytest.param([each.name for each in (*CHASSIS, *SAGAS, *CONSOLE)], id="metrics"),
        pytest.param([topic.name for topic in TOPICS], id="topics"),
        pytest.param([each.name for each in verbs()[1:]], id="verbs"),
        pytest.param(
            [n for n, each in load_catalogue().by_name.items() if each.kind], id="messages"
        ),
    ],
)
def test_nothing_is_left_out(names: list[str]) -> None:
    """Every setting, metric, topic, verb and message is found by searching for its name."""
    said = reference()
    assert names
    assert [name for name in names if f"`{name}" not in said] == []


def test_the_reference_describes_the_whole_command_line() -> None:
    """A verb says what it takes and what it does."""
    found = {verb.name: verb for verb in verbs()}
    up = found["baton up"]
    assert up.does.startswith("Start everything and stay.")
    assert [option.names for option in up.options] == [("--detach", "-d"), ("--only",)]
    assert all(option.meaning for verb in verbs()[1:] for option in verb.options)
    assert found["baton sagas show"].arguments == ("NAME",)
    assert found["baton stock show"].arguments == ("[SKU]",)


def test_the_picture_holds_every_process_and_every_way_between_them() -> None:
    """Who commands, who only listens, what reaches the outside."""
    lines = [line.strip() for line in processes().splitlines()]
    assert lines[0] == "flowchart LR"
    commanded = "inventory & billing & shipping & crm & analytics"
    assert f"orchestrator <== commands, replies ==> {commanded}" in lines
    assert (
        'anyone & orders --> orders_order_events_v1[/"orders.order.events.v1"/] '
        "--> orchestrator & orders & crm & analytics & notifications"
    ) in lines
    assert [line for line in lines if "-.->" in line] == [
        'billing -.-> billing_gateway(["payment provider"])',
        'shipping -.-> shipping_gateway(["carrier"])',
        'notifications -.-> notifications_gateway(["mail server"])',
    ]


@pytest.mark.parametrize("saga", [FULFILMENT, ONBOARDING])
def test_every_saga_is_drawn(saga: object) -> None:
    """From its definition."""
    assert f"### {getattr(saga, 'name', '')}\n\n```mermaid\nstateDiagram-v2" in reference()


def test_a_part_of_a_file_is_replaced_and_the_rest_kept() -> None:
    """Only what stands between the markers is ours."""
    text = "before\n<!-- x -->\nold\n<!-- end of x -->\nafter\n"
    assert between(text, "x", "new\n") == "before\n<!-- x -->\nnew\n<!-- end of x -->\nafter\n"


@pytest.mark.parametrize("text", ["", "<!-- x -->\n", "<!-- end of x -->"])
def test_a_missing_place_is_named(text: str) -> None:
    """With what to write there."""
    with pytest.raises(ValueError, match="no place for x: write <!-- x --> and <!-- end of x -->"):
        between(text, "x", "new\n")


def test_a_cell_can_hold_anything() -> None:
    """Bars, lines and angle brackets neither end a cell nor vanish."""
    assert table(["a"], [["x|y\nz <b> `<c|d>`"]]).splitlines()[2] == (
        "| x\\|y<br>z &lt;b> `<c\\|d>` |"
    )


def test_writing_it_changes_nothing_when_nothing_changed(tmp_path: Path) -> None:
    """The same code, the same bytes."""
    first, second = tmp_path / "first", tmp_path / "second"
    for file in (first, second):
        file.write_text(reference(), encoding="utf-8")
    assert first.read_bytes() == second.read_bytes()
