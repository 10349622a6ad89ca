"""A program given a second process while it works, and then one again: nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.books import check_books, many_orders, placed
from tests.integration.running_company import WITHOUT_CONSOLE, baton
from tests.integration.shared_company import company_on, own_server

pytestmark = [
    pytest.mark.stack,
    pytest.mark.costly,  # a PostgreSQL, a whole company, and groups that share out anew
]
TWO = ("orchestrator-2", "billing-2")


async def test_programs_are_scaled_while_orders_flow(tmp_path: Path) -> None:
    """Both processes of each take partitions of their own, and every book agrees."""
    with own_server() as server:
        url = server.url_of("billing")
        async with company_on(url, tmp_path, WITHOUT_CONSOLE) as company:
            first = many_orders("one", 20)
            await company.publish(*placed(*first))
            await baton(company, "scale", "orchestrator=2", "billing=2")
            assert set(TWO) <= company.keepers.keys()
            assert [company.keeper(name).status().is_ready for name in TWO] == [True, True]
            second = many_orders("two", 20)
            await company.publish(*placed(*second))
            await baton(company, "scale", "orchestrator=1", "billing=1")
            assert company.keepers.keys() == set(WITHOUT_CONSOLE)
            third = many_orders("three", 20)
            await company.publish(*placed(*third))

            found = await check_books(company, [*first, *second, *third])

    assert (found["fulfilled"], found["cancelled"]) == (42, 18)
