"""What a process is told by its environment, read once, before anything else happens.

Owns the names, bounds and meanings of every variable; refuses to know who set them. The
invariant: a process either starts with settings that all hold, or says everything that is wrong
with them in one message. A variable `BATON_…` nobody knows is wrong, too: it is a typing error.
A secret is never shown: neither in an error nor in what `describe` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, SecretStr, ValidationError
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.chassis.access import Role
from services.chassis.failpoints import SPEC

PREFIX = "BATON_"
OIDC = ("oidc_issuer", "oidc_audience", "oidc_keys_url", "oidc_roles")
# Read by other programs of this project; a process passes over them.
ELSEWHERE = frozenset(
    {
        "BATON_POSTGRES",
        "BATON_URL",
        "BATON_TOKEN",
        "BATON_PROFILE",
        "BATON_TEST_KAFKA",
        "BATON_TEST_KAFKA_IMAGE",
        "BATON_REQUIRE_ALL",
        "BATON_OIDC_CLIENT_ID",
        "BATON_OIDC_CLIENT_SECRET",
        "BATON_OIDC_CLIENT_SECRET_FILE",
        "BATON_OIDC_LOGIN_URL",
        "BATON_OIDC_TOKEN_URL",
        "BATON_OIDC_CALLBACK_URL",
    }
)


def _place(given: object) -> object:
    """A URL is a secret, because a password may stand in it."""
    if isinstance(given, str) and given.startswith(("postgresql://", "postgres://")):
        return SecretStr(given)
    if isinstance(given, str) and "://" in given:
        raise ValueError(given.partition(":")[0])
    return Path(given) if isinstance(given, str) else given


DatabasePlace = Annotated[Path | SecretStr, BeforeValidator(_place)]
A_DATABASE = "a path, or postgresql://user:password@host:port/database"
Port = Annotated[int, Field(ge=0, le=65_535)]
_URL = r"^https?://[^\s/]+[^\s]*$"
ENCRYPTED = r"^(https://|http://(127\.0\.0\.1|localhost)[:/])\S+$"
AN_ENCRYPTED: JsonDict = {"allowed": "a URL, https:// unless on this machine"}
_A_URL: JsonDict = {"allowed": "a URL, http:// or https://"}


@dataclass(frozen=True, slots=True)
class Problem:
    variable: str
    refused: str
    reason: str

    def __str__(self) -> str:
        return f"{self.variable}{self.refused}: {self.reason}"


class SettingsError(Exception):
    """Everything that is wrong with the environment, a line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(
            f"{len(self.problems)} of the settings in the environment cannot be used:{lines}\n"
            "deploy/REFERENCE.md lists every variable, what it may be and what it means."
        )


@dataclass(frozen=True, slots=True)
class Described:
    """One row of the reference."""

    variable: str
    default: str
    allowed: str
    meaning: str


class Settings(BaseModel):
    """Of any process of this project. A service that needs more adds fields in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    # Who gives one of the first has to give all of the second.
    WHOLE: ClassVar[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = ((OIDC, OIDC),)

    service: Annotated[str, Field(exclude=True, description="given by the program itself")]

    kafka_bootstrap_servers: Annotated[
        str,
        Field(
            pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$",
            description="the addresses of Kafka",
            json_schema_extra={
                "variable": "KAFKA_BOOTSTRAP_SERVERS",
                "allowed": "host:port, more than one separated by commas",
            },
        ),
    ]
    kafka_plaintext_remote: Literal["refuse", "allow"] = Field(
        "refuse",
        description="whether a Kafka on another machine may be spoken to without encryption;"
        " only inside a network that you trust",
    )
    home: Path = Field(Path(".baton"), description="folder of all state")
    database: DatabasePlace = Field(
        default_factory=lambda known: known["home"] / "data" / f"{known['service']}.db",
        description="the SQLite file of this process, its own and no other's; or the PostgreSQL"
        " database of this program, which any number of its processes share",
        json_schema_extra={"default": "data/<service>.db in BATON_HOME", "allowed": A_DATABASE},
    )
    bind: str = Field("127.0.0.1", description="address that both HTTP ports listen on")
    ops_port: Port = Field(0, description="port of health, metrics and version; 0 means none")
    api_port: Port = Field(0, description="port of the service's own HTTP interface; 0 means none")
    tokens_file: Path | None = Field(
        None,
        description="names, roles and hashes of the tokens that the HTTP interfaces ask for, as"
        " `baton tokens` writes them; read again on change",
    )
    oidc_issuer: str | None = Field(
        None, description="an identity provider whose signed tokens are taken beside ours: its iss"
    )
    oidc_audience: str | None = Field(None, description="the aud that such a token must have")
    oidc_keys_url: str | None = Field(
        None,
        pattern=ENCRYPTED,
        description="where the provider publishes its keys (JWKS); no redirect is followed",
        json_schema_extra=AN_ENCRYPTED,
    )
    oidc_claim: str = Field("roles", description="the claim that names roles")
    oidc_roles: Json[dict[str, Role]] = Field(
        default_factory=dict,
        description="which value of that claim is which role",
        json_schema_extra={
            "default": "{}",
            "allowed": 'a JSON object such as {"shop-operators": "operator"}',
        },
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe event that is logged"
    )
    log_format: Literal["json", "text"] = Field("json", description="json for machines")
    confluent_schema_ids: Json[dict[int, str]] = Field(
        default_factory=dict,
        description="which schema id of Confluent-framed records is which Avro type",
        json_schema_extra={"default": "{}", "allowed": 'a JSON object such as {"7": "baton.x.Y"}'},
    )

    payment_url: str | None = Field(
        None, pattern=_URL, description="the payment provider", json_schema_extra=_A_URL
    )
    carrier_url: str | None = Field(
        None, pattern=_URL, description="the carrier", json_schema_extra=_A_URL
    )
    smtp_host: str | None = Field(None, description="the mail server")
    smtp_port: Port = Field(25, description="its port")

    batch_max: int = Field(1_000, ge=1, le=10_000, description="messages of one transaction")
    gateway_calls_max: int = Field(
        256, ge=1, le=4_096, description="calls to the outside at once; more are left in Kafka"
    )
    instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="static group membership: one id per process, so that a restart moves nothing",
        json_schema_extra={"allowed": "up to 64 letters, digits, dots, dashes, underscores"},
    )
    session_timeout_ms: int = Field(
        10_000, ge=6_000, le=300_000, description="silence after which Kafka gives partitions away"
    )
    fetch_max_wait_ms: int = Field(500, ge=1, le=5_000, description="longest wait of one fetch")
    timer_tick_s: float = Field(0.25, gt=0, le=10, description="how often due timers are sought")
    publish_deadline_s: float = Field(
        10, ge=0.1, le=120, description="a batch unacknowledged for so long means a new producer"
    )
    stuck_after_s: float = Field(
        30, ge=2, le=600, description="a reader behind and not moving for so long is built anew"
    )
    stop_within_s: float = Field(10, ge=1, le=300, description="time to stop in, after SIGTERM")
    inbox_days: int = Field(
        30, ge=8, description="how long applied message ids are kept; longer than topics keep them"
    )
    outbox_days: int = Field(7, ge=1, description="how long sent messages are kept")
    dead_letter_days: int = Field(90, ge=1, description="how long settled dead letters are kept")
    journal_days: int = Field(
        365, ge=1, description="how long the journal of what has ended is kept"
    )
    clock_offset_s: int = Field(
        0,
        description="shifts what this process takes for now; for rehearsing outages, never in"
        " production",
    )

    failpoint: str | None = Field(
        None,
        pattern=SPEC,
        description="where this process kills itself, for tests of crashes; refused without"
        " BATON_TEST=1",
        json_schema_extra={
            "allowed": "a name of services/chassis/failpoints.py and a count, as before_commit:3"
        },
    )
    test: Literal["1"] | None = Field(
        None, description="1 says that this environment is a test, whose processes may be killed"
    )

    @classmethod
    def read(
        cls, environment: Mapping[str, str], *, service: str, elsewhere: Iterable[str] = ()
    ) -> Self:
        """Raises SettingsError naming every variable that is wrong, each with a reason.

        `elsewhere` are variables that another program of the same environment reads.
        """
        variables = {variable: name for name, variable in cls._variables()}
        known = {*variables, *cls._files()}
        problems = list(_unknown(environment, known, {*ELSEWHERE, *elsewhere}))
        given: dict[str, object] = {"service": service}
        given.update({name: environment[v] for v, name in variables.items() if environment.get(v)})
        for variable, name in cls._files().items():
            if path := environment.get(variable):
                try:
                    given[name] = _secret(Path(path), twice=name in given)
                except ValueError as error:
                    problems.append(Problem(variable, f"={path}", str(error)))
        if given.get("api_port", "0") != "0" and "tokens_file" not in given:
            problems.append(
                Problem("BATON_TOKENS_FILE", "", "missing, and BATON_API_PORT asks for a token")
            )
        asked = {each for some, all_ in cls.WHOLE if given.keys() & set(some) for each in all_}
        problems += [
            Problem(variable, "", "missing, and other BATON_OIDC_ settings are given")
            for variable, name in variables.items()
            if name in asked and name not in given
        ]
        if given.keys() & set(OIDC) and find_spec("jwt") is None:
            more = "asks for what is not installed: pip install 'baton-saga[oidc]'"
            problems.append(Problem("BATON_OIDC_ISSUER", "", more))
        if "failpoint" in given and "test" not in given:
            problems.append(
                Problem("BATON_FAILPOINT", "", "kills this process, so it asks for BATON_TEST=1")
            )
        if far := remote_in_plaintext(environment):
            problems.append(Problem("KAFKA_BOOTSTRAP_SERVERS", "", far))
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            problems += cls._refused(error, given)
        if problems:
            raise SettingsError(problems)
        return settings

    @classmethod
    def describe(cls) -> tuple[Described, ...]:
        """Every variable with default, bounds and meaning, in the order of the fields."""
        rows = []
        for name, variable in cls._variables():
            field = cls.model_fields[name]
            rows.append(
                Described(variable, _default(field), _allowed(field), field.description or "")
            )
        return tuple(rows)

    @classmethod
    def _variables(cls) -> Iterator[tuple[str, str]]:
        for name, field in cls.model_fields.items():
            if not field.exclude:
                yield name, _extra(field).get("variable", PREFIX + name.upper())

    @classmethod
    def _files(cls) -> dict[str, str]:
        """A secret may stand in a file: `<variable>_FILE` names it."""
        return {
            f"{variable}_FILE": name
            for name, variable in cls._variables()
            if _is_secret(cls.model_fields[name])
        }

    @classmethod
    def _refused(cls, error: ValidationError, given: Mapping[str, object]) -> Iterator[Problem]:
        variables = dict(cls._variables())
        for each in error.errors(include_url=False, include_input=False):
            name = str(each["loc"][0])
            field = cls.model_fields[name]
            if each["type"] == "missing":
                yield Problem(variables[name], "", f"missing: {field.description}")
            elif name in given:
                shown = "" if _is_secret(field) else f"={given[name]}"
                yield Problem(variables[name], shown, f"allowed is {_allowed(field)}")


def remote_in_plaintext(environment: Mapping[str, str]) -> str:
    """Why the Kafka that is named may not be spoken to, or nothing. No name is looked up."""
    servers = environment.get("KAFKA_BOOTSTRAP_SERVERS", "").split(",")
    hosts = (each.rpartition(":")[0] for each in servers)
    far = next((host for host in hosts if host and not _is_loopback(host)), "")
    if not far or environment.get("BATON_KAFKA_PLAINTEXT_REMOTE") == "allow":
        return ""
    return (
        f"{far} is another machine, and Kafka is spoken to without encryption or passwords;"
        " inside a network that you trust, set BATON_KAFKA_PLAINTEXT_REMOTE=allow"
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unknown(
    environment: Mapping[str, str], known: set[str], passed_over: set[str]
) -> Iterator[Problem]:
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in known | passed_over:
            near = get_close_matches(variable, known, n=1, cutoff=0.7)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield Problem(variable, "", f"no such setting{hint}")


def _secret(path: Path, *, twice: bool) -> str:
    if twice:
        raise ValueError("the same secret is also given by value; keep one of the two")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(error.strerror) from error


def _extra(field: FieldInfo) -> dict[str, str]:
    extra = field.json_schema_extra
    return {k: str(v) for k, v in extra.items()} if isinstance(extra, dict) else {}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _default(field: FieldInfo) -> str:
    if told := _extra(field).get("default"):
        return told
    if field.default is PydanticUndefined:
        return "required"
    return "none" if field.default is None else str(field.default)


def _allowed(field: FieldInfo) -> str:
    if told := _extra(field).get("allowed"):
        return told
    choices = get_args(field.annotation)
    if get_origin(field.annotation) is Literal:
        return " or ".join(choices)
    words = {"ge": "from", "gt": "above", "le": "to"}
    bounds = [
        f" {word} {bound:g}"
        for sign, word in words.items()
        for part in field.metadata
        if (bound := getattr(part, sign, None)) is not None
    ]
    kinds = {int: "a whole number", float: "a number", Path: "a path"}
    named = (kind for of, kind in kinds.items() if of in (field.annotation, *choices))
    return next(named, "text") + "".join(bounds)
