"""Billing or shipping with a gateway that answers in the process: `python -m tests.bench.stubbed`.

What is measured is then ours alone. The stub keeps what a provider must keep (what was
authorised), and the carrier refuses EIRE as its sandbox does.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from services.chassis.handlers import Json, Result
from services.chassis.service import Service, run
from services.chassis.settings import Settings


class StubProvider:
    """Answers as the sandboxes do, at once. Only for measuring: it forgets when it ends."""

    def __init__(self) -> None:
        self._authorised: dict[str, int] = {}

    async def post(
        self,
        path: str,
        body: Mapping[str, Json],
        key: str,
        *,
        yes: int,
        no: tuple[int, ...] = (),
    ) -> Result:
        del key, yes, no
        _, kind, *rest = path.split("/")
        if not rest:
            order = str(body["order_id"])
            if kind == "bookings":
                refused = body["country"] == "EIRE"
                return {"refused": "country_not_served"} if refused else {"tracking": f"t-{order}"}
            self._authorised[order] = int(str(body["amount_minor"]))
            return {"authorisation_id": f"a-{order}"}
        if kind == "bookings":
            return {"tracking": f"t-{rest[0]}"}
        return {"amount_minor": self._authorised.pop(rest[0], 0)}


@asynccontextmanager
async def open_stub(settings: Settings) -> AsyncIterator[StubProvider]:
    del settings
    yield StubProvider()


def main(name: str) -> None:
    service: Service = importlib.import_module(f"services.{name}.__main__").SERVICE
    run(dataclasses.replace(service, gateway=open_stub))


if __name__ == "__main__":
    main(sys.argv[1])
