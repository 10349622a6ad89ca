"""Ports are chosen once, kept while free, and always below what the kernel gives to clients."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from deploy.local.faults import HomeUnusable
from deploy.local.ports import FIRST, LAST, choose_ports, is_free, read_ports, taken


def test_ports_that_are_still_free_stay_what_they_were(tmp_path: Path) -> None:
    """Addresses in people's notes and scripts go on working after a restart."""
    path = tmp_path / "ports.json"
    first = choose_ports(path, ["kafka", "orders_api"])
    assert choose_ports(path, ["kafka", "orders_api"]) == first
    assert read_ports(path) == first
    assert all(FIRST <= port < LAST for port in first.values())


def test_a_port_that_somebody_took_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    """One collision moves one port."""
    path = tmp_path / "ports.json"
    path.write_text('{"kafka": 20001, "orders_api": 20002}', encoding="utf-8")
    chosen = choose_ports(path, ["kafka", "orders_api"], free=lambda port: port != 20001)
    assert chosen["orders_api"] == 20002
    assert chosen["kafka"] not in {20001, 20002}
    assert json.loads(path.read_text(encoding="utf-8")) == chosen


def test_names_never_share_a_port(tmp_path: Path) -> None:
    """Even a file in which two names were given the same."""
    path = tmp_path / "ports.json"
    path.write_text('{"a": 20001, "b": 20001}', encoding="utf-8")
    chosen = choose_ports(path, ["a", "b"], free=lambda _port: True)
    assert chosen["a"] == 20001
    assert chosen["b"] != 20001


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"kafka": "x"}'])
def test_a_broken_ports_file_counts_as_none(tmp_path: Path, content: str) -> None:
    """Ports are no state worth refusing a start for."""
    path = tmp_path / "ports.json"
    path.write_text(content, encoding="utf-8")
    assert read_ports(path) == {}
    assert set(choose_ports(path, ["kafka"])) == {"kafka"}


def test_the_file_is_private_and_leaves_no_draft(tmp_path: Path) -> None:
    """It is written beside and renamed."""
    path = tmp_path / "ports.json"
    choose_ports(path, ["kafka"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_listening_socket_makes_its_port_taken() -> None:
    """Taken is what a server could not bind."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert taken({"kafka": port}) == {"kafka": port}
    assert is_free(port)


def test_a_machine_without_free_ports_is_told_so(tmp_path: Path) -> None:
    """The message names the range, and the command that shows who listens."""
    with pytest.raises(HomeUnusable, match="between 20000 and 32000") as caught:
        choose_ports(tmp_path / "ports.json", ["kafka"], free=lambda _port: False)
    assert caught.value.mend.startswith("ss -ltnp")
