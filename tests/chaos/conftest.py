"""One company for all that is killed and stopped here; whatever was is back when a test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.books import deliver
from tests.integration.running_company import Company, running_company


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def disturbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    async with running_company(tmp_path_factory.mktemp("chaos")) as company:
        await deliver(company)
        yield company
