"""What the console is told by its environment, beside what every process is told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, Json

from services.chassis.settings import A_DATABASE, DatabasePlace, Settings


class ConsoleSettings(Settings):
    orchestrator_database: DatabasePlace = Field(
        default_factory=lambda known: known["home"] / "data" / "orchestrator.db",
        description="the orchestrator's SQLite file or PostgreSQL database, which the console only"
        " reads",
        json_schema_extra={
            "default": "data/orchestrator.db in BATON_HOME",
            "allowed": A_DATABASE,
        },
    )
    surfaces: Json[dict[str, str]] = Field(
        default_factory=dict,
        description="where each process answers about its dead letters: its operations port",
        json_schema_extra={
            "default": "{}",
            "allowed": 'a JSON object such as {"billing": "http://127.0.0.1:9001"}',
        },
    )
    surfaces_token_file: Path | None = Field(
        None,
        description="file with the operator's token that the console shows to those ports; read"
        " for each question",
    )
