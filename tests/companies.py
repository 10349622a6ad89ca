"""Two companies, one for tests that disturb nothing, one for those that kill; and a small disk.

A plugin, so that all modules share them. With two workers (`--dist loadscope`) the modules of one
company are one worker's, so that nothing is started twice; each other module is its own scope.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from xdist.scheduler.loadscope import LoadScopeScheduling

from deploy.local.stack import PROCESSES
from tests.conftest import missing
from tests.integration.books import deliver
from tests.integration.running_company import Company, running_company

CALM = ("bad_input", "csv_import", "dlq", "one_file_one_process", "scraped", "whole_company")
DISTURBING = (
    *("interruptions", "kills", "logs_and_batches", "storage"),
    *("crashes", "lost_records", "restore", "time_away"),
)
WORLDS = {**dict.fromkeys(CALM, "company"), **dict.fromkeys(DISTURBING, "disturbed")}


class ByWorld(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return WORLDS.get(Path(module).stem.removeprefix("test_"), module)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByWorld | None:
    return ByWorld(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """The table above stays true."""
    for item in items:
        known = WORLDS.get(item.path.stem.removeprefix("test_"))
        for world in set(WORLDS.values()) - {known}:
            (*_, nearest) = item._fixtureinfo.name2fixturedefs.get(world, [None])
            ours = nearest is not None and nearest.func.__module__ == __name__
            assert not ours, f"{item.path.name} shares `{world}`: say so in tests/companies.py"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    """Shared, with its console: take ids of your own, stop nothing, compare before with after."""
    async with running_company(tmp_path_factory.mktemp("company"), only=PROCESSES) as company:
        await deliver(company)
        yield company


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def disturbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    """Shared too: whatever is killed, stopped or restored in it is well when the test ends."""
    async with running_company(tmp_path_factory.mktemp("disturbed")) as company:
        await deliver(company)
        yield company


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 MB, which root alone can make."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() != 0:
        missing("only root can mount a small disk")
    options = ("-t", "tmpfs", "-o", "size=100000000", "tmpfs", str(place))
    mounted = subprocess.run(("mount", *options), capture_output=True, text=True, check=False)
    if mounted.returncode:
        missing(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(("umount", str(place)), check=True)


def fill(place: Path, *, but: int = 0) -> Path:
    """To the last byte, or all but so many of them."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            file.truncate(file.tell() - but)
            return filler
    raise AssertionError("a disk without an end")
