"""How long list, inbox, flow and one saga take at the server, with a long history.

Asked through ASGI, without a network; what is printed is milliseconds of the fastest of five asks
and of processor time, after the first one, which counts the history once.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent / "unit" / "operate")]

from history import TABLES  # noqa: E402  found by the line above
from website import Website, website  # noqa: E402

TIMES = 5
PAGES = (
    "/sagas",
    "/sagas?query=phase%3Dcompleted",
    "/sagas?query=stuck%3Dany",
    "/sagas?query=reason%3Dinsufficient_funds",
    "/sagas?query=state%3Dawaiting_capture",
    "/sagas?query=key%3Dold-1",
    "/sagas?query=started%3C1h",
    "/stuck",
    "/flow/fulfilment",
    "/sagas/open-1",
)


def add_finished(database: Path, sagas: int) -> None:
    """Keys and rows only: no page reads what else a finished saga leaves."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TEMP TABLE numbers (i INTEGER PRIMARY KEY)")
        numbers = ((n,) for n in range(1, sagas + 1))
        connection.executemany("INSERT INTO numbers VALUES (?)", numbers)
        connection.execute("BEGIN")
        for name in ("keys", "sagas"):
            connection.execute(TABLES[name].sql, {"sagas": sagas, "base": 0})
        connection.execute("COMMIT")
    finally:
        connection.close()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


async def ask(site: Website, path: str) -> tuple[float, float]:
    began, used = perf_counter(), process_time()
    answer = await site.http.get(path)
    assert answer.status_code == 200, answer.text
    return (perf_counter() - began) * 1000, (process_time() - used) * 1000


async def measure(sagas: int, opened: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with website(Path(folder)) as site:
            add_finished(Path(folder) / "orchestrator.db", sagas)
            await site.playing.cancel("old-1")
            for n in range(opened):
                await site.playing.place_order(f"open-{n}")
            site.playing.wait(40)
            say(f"{sagas} finished, {opened} open and stuck; ms at the clock, ms of processor")
            say(f"first ask {(await ask(site, '/sagas'))[0]:9.1f}")
            for path in PAGES:
                await ask(site, path)
                took = [await ask(site, path) for _ in range(TIMES)]
                clock_ms, used_ms = (min(each) for each in zip(*took, strict=True))
                say(f"{path:45} {clock_ms:7.1f} {used_ms:7.1f}")


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--sagas", type=int, default=1_000_000)
    given.add_argument("--open", type=int, default=500)
    asked = given.parse_args()
    asyncio.run(measure(asked.sagas, asked.open))
