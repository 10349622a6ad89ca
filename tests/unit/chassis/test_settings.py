"""A process starts with settings that all hold, or says everything that is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from services.chassis.settings import Described, Settings, SettingsError

LEAST = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}


class Secretive(Settings):
    provider_key: SecretStr | None = Field(None, description="the provider's key")


def refused(environment: dict[str, str], settings: type[Settings] = Settings) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.read(environment, service="billing")
    return [str(problem) for problem in caught.value.problems]


def test_the_least_environment_gives_the_documented_defaults() -> None:
    """Only the broker's address is required; the database lies in the state folder."""
    settings = Settings.read({**LEAST, "BATON_HOME": "/srv/baton"}, service="billing")
    assert settings.model_dump(exclude_defaults=True) == {
        "kafka_bootstrap_servers": "localhost:9092",
        "home": Path("/srv/baton"),
        "database": Path("/srv/baton/data/billing.db"),
    }
    assert (settings.service, settings.batch_max, settings.bind) == ("billing", 1000, "127.0.0.1")


def test_values_are_read_as_what_they_mean() -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2",
        "BATON_KAFKA_PLAINTEXT_REMOTE": "allow",
        "BATON_DATABASE": "/data/b.db",
        "BATON_OPS_PORT": "9100",
        "BATON_API_PORT": "9000",
        "BATON_TOKENS_FILE": "/run/token",
        "BATON_CONFLUENT_SCHEMA_IDS": '{"7": "baton.orders.OrderPlaced"}',
        "BATON_TIMER_TICK_S": "0.5",
        "BATON_LOG_FORMAT": "text",
        "BATON_PAYMENT_URL": "https://pay.example/v1",
    }
    settings = Settings.read(environment, service="orders")
    assert settings.model_dump(exclude_defaults=True) == {
        "kafka_bootstrap_servers": "a:1,b:2",
        "kafka_plaintext_remote": "allow",
        "database": Path("/data/b.db"),
        "ops_port": 9100,
        "api_port": 9000,
        "tokens_file": Path("/run/token"),
        "confluent_schema_ids": {7: "baton.orders.OrderPlaced"},
        "timer_tick_s": 0.5,
        "log_format": "text",
        "payment_url": "https://pay.example/v1",
    }


def test_everything_wrong_is_told_at_once() -> None:
    """Name, refused value and what is allowed, for each; a typing error gets the nearest name."""
    assert refused(
        {
            "BATON_LOGLEVEL": "debug",
            "BATON_OPS_PORT": "99999",
            "BATON_LOG_LEVEL": "loud",
            "BATON_BATCH_MAX": "many",
            "BATON_PAYMENT_URL": "ftp://pay",
            "BATON_CONFLUENT_SCHEMA_IDS": "{",
            "BATON_TIMER_TICK_S": "0",
            "BATON_API_PORT": "8000",
        }
    ) == [
        "BATON_LOGLEVEL: no such setting; did you mean BATON_LOG_LEVEL?",
        "BATON_TOKENS_FILE: missing, and BATON_API_PORT asks for a token",
        "KAFKA_BOOTSTRAP_SERVERS: missing: the addresses of Kafka",
        "BATON_OPS_PORT=99999: allowed is a whole number from 0 to 65535",
        "BATON_LOG_LEVEL=loud: allowed is debug or info or warning or error",
        'BATON_CONFLUENT_SCHEMA_IDS={: allowed is a JSON object such as {"7": "baton.x.Y"}',
        "BATON_PAYMENT_URL=ftp://pay: allowed is a URL, http:// or https://",
        "BATON_BATCH_MAX=many: allowed is a whole number from 1 to 10000",
        "BATON_TIMER_TICK_S=0: allowed is a number above 0 to 10",
    ]


def test_the_message_has_a_line_for_each_and_says_where_to_look() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({**LEAST, "BATON_ZZZ": "1"}, service="billing")
    assert str(caught.value) == (
        "1 of the settings in the environment cannot be used:\n"
        "  BATON_ZZZ: no such setting\n"
        "deploy/REFERENCE.md lists every variable, what it may be and what it means."
    )


def test_variables_of_other_programs_are_passed_over() -> None:
    """Names without the prefix, those of the tests, and those that are named to `read`."""
    environment = {**LEAST, "PATH": "/bin", "BATON_REQUIRE_ALL": "1", "BATON_OTHER": "x"}
    assert Settings.read(environment, service="crm", elsewhere=["BATON_OTHER"]).service == "crm"


@pytest.mark.parametrize("near", ["127.0.0.1:1", "localhost:1", "127.9.9.9:1,localhost:2"])
def test_kafka_on_this_machine_may_be_spoken_to_in_plain(near: str) -> None:
    assert Settings.read({"KAFKA_BOOTSTRAP_SERVERS": near}, service="crm")


@pytest.mark.parametrize("far", ["10.0.0.7", "kafka", "localhost.example", "0.0.0.0"])
@pytest.mark.parametrize("told", [{}, {"BATON_KAFKA_PLAINTEXT_REMOTE": "refuse"}])
def test_kafka_elsewhere_is_refused_in_plain(far: str, told: dict[str, str]) -> None:
    """Whoever reads along could also write along; that somebody trusts the network is said."""
    (problem,) = refused({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:1,{far}:2", **told})
    assert problem == (
        f"KAFKA_BOOTSTRAP_SERVERS: {far} is another machine, and Kafka is spoken to without"
        " encryption or passwords; inside a network that you trust, set"
        " BATON_KAFKA_PLAINTEXT_REMOTE=allow"
    )


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.read({**LEAST, "BATON_OPS_PORT": ""}, service="crm").ops_port == 0


def test_a_secret_comes_by_value_or_by_file_and_is_never_shown(tmp_path: Path) -> None:
    """A subclass's secret: both ways give the same, and no rendering holds it."""
    file = tmp_path / "key"
    file.write_text("s3cret-canary\n", encoding="utf-8")
    by_file = {**LEAST, "BATON_PROVIDER_KEY_FILE": str(file)}
    by_value = {**LEAST, "BATON_PROVIDER_KEY": "s3cret-canary"}
    for environment in (by_file, by_value):
        settings = Secretive.read(environment, service="billing")
        assert settings.provider_key is not None
        assert settings.provider_key.get_secret_value() == "s3cret-canary"
        assert "canary" not in f"{settings!r}{settings}{settings.model_dump()}"
    (twice,) = refused({**by_file, **by_value}, Secretive)
    assert twice == (
        f"BATON_PROVIDER_KEY_FILE={file}: "
        "the same secret is also given by value; keep one of the two"
    )
    absent = f"{tmp_path}/absent"
    problems = refused({**LEAST, "BATON_PROVIDER_KEY_FILE": absent}, Secretive)
    assert problems == [f"BATON_PROVIDER_KEY_FILE={absent}: No such file or directory"]


def test_a_database_is_a_path_or_a_secret_url(tmp_path: Path) -> None:
    """The URL of a PostgreSQL holds a password: it may come from a file and is never shown."""
    url = "postgresql://baton:canary@db:5432/billing"
    file = tmp_path / "url"
    file.write_text(f"{url}\n", encoding="utf-8")
    for given in ({"BATON_DATABASE": url}, {"BATON_DATABASE_FILE": str(file)}):
        settings = Settings.read({**LEAST, **given}, service="billing")
        assert isinstance(settings.database, SecretStr)
        assert settings.database.get_secret_value() == url
        assert "canary" not in f"{settings!r}{settings}{settings.model_dump()}"
    plain = Settings.read({**LEAST, "BATON_DATABASE": "some/where.db"}, service="billing")
    assert plain.database == Path("some/where.db")
    assert Settings.read(LEAST, service="billing").database == Path(".baton/data/billing.db")
    assert refused({**LEAST, "BATON_DATABASE": "mysql://root:canary@db/billing"}) == [
        "BATON_DATABASE: allowed is a path, or postgresql://user:password@host:port/database"
    ]


def test_settings_do_not_change_after_they_were_read() -> None:
    settings = Settings.read(LEAST, service="crm")
    with pytest.raises(ValidationError):
        settings.batch_max = 5


def test_the_reference_has_a_meaning_for_every_variable() -> None:
    """What `describe` says is what the generated reference prints."""
    rows = {row.variable: row for row in Settings.describe()}
    assert len(rows) == len(Settings.model_fields) - 1
    assert all(row.meaning and row.allowed and row.default for row in rows.values())
    assert rows["BATON_OPS_PORT"] == Described(
        "BATON_OPS_PORT",
        "0",
        "a whole number from 0 to 65535",
        "port of health, metrics and version; 0 means none",
    )
    assert rows["KAFKA_BOOTSTRAP_SERVERS"].default == "required"


def test_a_provider_of_identities_is_given_whole_or_not_at_all() -> None:
    """And its keys come over an encrypted way, or from this machine."""
    far = "http://login.example/keys"
    assert refused(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "BATON_OIDC_ISSUER": "https://login.example",
            "BATON_OIDC_KEYS_URL": far,
        }
    ) == [
        "BATON_OIDC_AUDIENCE: missing, and other BATON_OIDC_ settings are given",
        "BATON_OIDC_ROLES: missing, and other BATON_OIDC_ settings are given",
        f"BATON_OIDC_KEYS_URL={far}: allowed is a URL, https:// unless on this machine",
    ]


def test_a_provider_without_its_extra_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what to type, instead of a traceback when the gate is made."""
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "BATON_OIDC_ISSUER": "https://login.example",
        "BATON_OIDC_AUDIENCE": "baton",
        "BATON_OIDC_KEYS_URL": "https://login.example/keys",
        "BATON_OIDC_ROLES": "{}",
    }
    assert Settings.read(given, service="crm").oidc_audience == "baton"
    monkeypatch.setattr("services.chassis.settings.find_spec", lambda _: None)
    assert refused(given) == [
        "BATON_OIDC_ISSUER: asks for what is not installed: pip install 'baton-saga[oidc]'"
    ]
