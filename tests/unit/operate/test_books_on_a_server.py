"""The checker's reading: a database on a server is as one in a file, and so is its export."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from orchestra import orchestra
from pydantic import SecretStr
from stage import free_port

from deploy.verify.books import Book, Unreadable, ask, read_books
from deploy.verify.evidence import Line, Saga, Tables
from tests.postgres_server import PostgresServer


async def read(book: Book, copies: Path | None = None) -> Tables:
    tables = (await asyncio.to_thread(read_books, {"orchestrator": book}, copies))["orchestrator"]
    return {kind: sorted(rows, key=repr) for kind, rows in tables.items()}


async def test_a_book_reads_alike_in_a_file_and_on_a_server(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Row for row, of everything that is checked of an orchestrator."""
    file, url = tmp_path / "orchestrator.db", postgres_server.make()
    for place in (file, url):
        async with orchestra(place) as playing:
            await playing.cancel("o-1")
            await playing.place_order("o-2")
    ours, theirs = await read(file), await read(SecretStr(url))

    assert theirs == ours
    assert (len(ours[Saga]), len(ours[Line])) == (2, 5)


async def test_the_export_of_a_server_is_a_file_that_reads_alike(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Whoever checks it later needs no server."""
    url = postgres_server.make()
    async with orchestra(url) as playing:
        await playing.complete("o-1")
    there = await read(SecretStr(url), tmp_path)

    assert await read(tmp_path / "orchestrator.db") == there


async def test_a_database_that_cannot_be_read_is_told_and_an_absent_one_is_absent(
    postgres_server: PostgresServer,
) -> None:
    """By its place and the fault, without the password."""
    port = free_port()
    away = f"postgresql://127.0.0.1:{port}/orchestrator"
    empty = postgres_server.make()
    told = f"postgresql://127.0.0.1:{postgres_server.port}/{empty.rpartition('/')[2]}"
    for url, why in (
        (away.replace("//", "//eve:s3cret@"), f"{away}: ConnectionRefusedError: "),
        (empty, f'{told}: UndefinedTableError: relation "keys" does not exist'),
    ):
        with pytest.raises(Unreadable) as refused:
            await read(SecretStr(url))
        assert str(refused.value).startswith(why)
        assert "s3cret" not in str(refused.value)
    nowhere = SecretStr(postgres_server.url_of("nowhere"))
    assert await asyncio.to_thread(read_books, {"orchestrator": nowhere}) == {}
    assert await asyncio.to_thread(ask, nowhere, "SELECT 1") is None
