"""Two companies: one for the tests that disturb nothing, one for those that kill and stop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.books import deliver
from tests.integration.running_company import Company, running_company


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    """Shared: take ids of your own, stop nothing, and compare before with after."""
    async with running_company(tmp_path_factory.mktemp("company")) as company:
        await deliver(company)
        yield company


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def disturbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    """Shared too: whatever is killed or stopped in it is back when the test ends."""
    async with running_company(tmp_path_factory.mktemp("disturbed")) as company:
        await deliver(company)
        yield company
