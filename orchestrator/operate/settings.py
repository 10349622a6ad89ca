"""What the console is told by its environment, beside what every process is told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, Json, SecretStr

from services.chassis.settings import (
    A_DATABASE,
    AN_ENCRYPTED,
    ENCRYPTED,
    OIDC,
    DatabasePlace,
    Settings,
)

_BROWSER = ("oidc_client_id", "oidc_login_url", "oidc_token_url", "oidc_callback_url")


class ConsoleSettings(Settings):
    WHOLE = (*Settings.WHOLE, ((*_BROWSER, "oidc_client_secret"), (*OIDC, *_BROWSER)))

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
    oidc_client_id: str | None = Field(
        None, description="this console's name at the provider, for logging in there by browser"
    )
    oidc_client_secret: SecretStr | None = Field(
        None, description="its secret there, unless it is a public client"
    )
    oidc_login_url: str | None = Field(
        None,
        pattern=ENCRYPTED,
        description="where the provider lets people log in (authorization endpoint)",
        json_schema_extra=AN_ENCRYPTED,
    )
    oidc_token_url: str | None = Field(
        None,
        pattern=ENCRYPTED,
        description="where the provider gives a token for a code (token endpoint)",
        json_schema_extra=AN_ENCRYPTED,
    )
    oidc_callback_url: str | None = Field(
        None,
        pattern=r"^(https://[^\s/?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?)/login/oidc/back$",
        description="where the provider sends people back to, as it is registered there",
        json_schema_extra={
            "allowed": "the console's own address, https:// unless on this machine, and"
            " /login/oidc/back"
        },
    )
    logins_per_minute: float = Field(
        6, gt=0, le=600, description="tries to log in from one address; ten at once"
    )
