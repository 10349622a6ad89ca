"""What a service says of itself, and how it runs: its handlers over its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from starlette.routing import BaseRoute

from services.chassis.api import ApiPort
from services.chassis.assembly import Program
from services.chassis.handlers import Handler
from services.chassis.participant import Participant, State
from services.chassis.process import run as run_program
from services.chassis.settings import Settings
from services.chassis.tables import Table


@dataclass(frozen=True)
class Service:
    """One service. `queries` is its store.sql; `gateway` opens its way to the outside world."""

    name: str
    handlers: Sequence[Handler]
    tables: Sequence[Table]
    migrations: Path
    queries: Path | None = None
    gateway: Callable[[Settings], AbstractAsyncContextManager[object]] | None = None
    routes: Callable[[ApiPort], Sequence[BaseRoute]] | None = None
    settings: type[Settings] = Settings

    def program(self) -> Program[State]:
        return Program(
            self.name,
            lambda maker, place: Participant(maker, place, self.handlers, self.tables),
            migrations={self.name: self.migrations},
            queries=self.queries,
            handlers=self.handlers,
            gateway=self.gateway,
            routes=self.routes,
            settings=self.settings,
        )


def run(service: Service) -> None:
    """Runs until SIGTERM; the exit code says how it ended."""
    run_program(service.program())
