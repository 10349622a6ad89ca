"""The table of what `baton up` runs: one row per process, with its ports, environment and needs.

Names services as strings and imports none of them; what they read from their environment is
written here and nowhere else. `KAFKA_BOOTSTRAP_SERVERS` set means that no broker is ours;
`BATON_POSTGRES`, a server's URL, that each program of ours has the database of its name there, and
then a program may have copies, called `billing-2` and so on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from schemas.topics import PARTITIONS_LOCAL, all_topics
from services.chassis.bus import BusError
from services.chassis.bus_admin import Admin, TopicSpec
from services.chassis.database import Place
from services.chassis.settings import remote_in_plaintext

from . import jars
from .child import ProcessSpec
from .faults import HomeUnusable, NoSuchProcess, PlaintextRefused, ProcessFailed
from .home import Home, write_whole
from .kafka import Broker
from .ports import LOOPBACK, choose_ports, read_ports
from .web_probe import answers_ok

Report = Callable[[str], None]

KAFKA: Final = "kafka"
SANDBOXES: Final = ("payment", "carrier", "mail")
SERVICES: Final = (
    "orders",
    "inventory",
    "billing",
    "shipping",
    "crm",
    "analytics",
    "notifications",
)
OURS: Final = ("orchestrator", *SERVICES, "console")
PROCESSES: Final = (KAFKA, *SANDBOXES, *OURS)
CORE: Final = (KAFKA, "orchestrator", "inventory", "billing", "shipping")
MODULES: Final[Mapping[str, str]] = {
    **{name: f"deploy.local.sandboxes.{name}" for name in SANDBOXES},
    **{name: f"services.{name}" for name in SERVICES},
    "orchestrator": "orchestrator",
    "console": "orchestrator.operate",
}
WITHOUT_API: Final = frozenset({"orchestrator"})
REPLICAS_ELSEWHERE: Final = 3
# Read by the command line; a service refuses a BATON_ variable that it does not know.
COMMAND_LINE_ONLY: Final = frozenset(
    {"BATON_URL", "BATON_PROFILE", "BATON_TOKEN", "BATON_POSTGRES"}
)
COPIED: Final = ("orchestrator", *SERVICES)


@dataclass(frozen=True, slots=True)
class Stack:
    """What is to run, and where it will be found. `addresses` are for people: name to URL.

    `copy` makes the spec of one more process of a program, also while the others run.
    """

    home: Home
    bootstrap: str
    ports: Mapping[str, int]
    specs: tuple[ProcessSpec, ...]
    addresses: Mapping[str, str]
    copy: Callable[[str], ProcessSpec]
    moved: Mapping[str, int] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, object]:
        return {"bootstrap": self.bootstrap, "addresses": dict(self.addresses)}


def given_cluster(environment: Mapping[str, str]) -> str:
    """The cluster that is named instead of ours, or "". Raises PlaintextRefused."""
    if far := remote_in_plaintext(environment):
        raise PlaintextRefused(
            f"KAFKA_BOOTSTRAP_SERVERS: {far}",
            mend="unset KAFKA_BOOTSTRAP_SERVERS   (then a Kafka is started on this machine)",
        )
    return environment.get("KAFKA_BOOTSTRAP_SERVERS", "")


def build_stack(
    home: Home,
    environment: Mapping[str, str],
    *,
    only: Collection[str] = PROCESSES,
    extra: Mapping[str, Mapping[str, str]] | None = None,
    report: Report = lambda _line: None,
) -> Stack:
    """Chooses the ports; call it while nothing runs. `extra` adds environment by process name."""
    wanted = {*only, *(extra or {})}
    unknown = sorted(name for name in wanted if name not in PROCESSES and not _is_copy(name))
    if unknown:
        raise NoSuchProcess(
            f"no process is called {', '.join(unknown)}", mend=f"choose of: {' '.join(PROCESSES)}"
        )
    given = given_cluster(environment)
    home.prepare()
    home.token()
    before = read_ports(home.ports)
    copies = sorted(filter(_is_copy, only))
    ports = choose_ports(home.ports, port_names(copies))
    bootstrap = given or f"{LOOPBACK}:{ports['kafka']}"
    base = {k: v for k, v in environment.items() if k not in COMMAND_LINE_ONLY}
    base["KAFKA_BOOTSTRAP_SERVERS"] = bootstrap
    names = [name for name in PROCESSES if name in only and not (name == KAFKA and given)]
    names += copies
    server = server_of(home, environment)
    if server:
        write_whole(home.server, f"{_shown(server)}\n")

    def made(name: str, ports: Mapping[str, int]) -> ProcessSpec:
        spec = _spec(name, home, ports, base, report)
        own = {"BATON_DATABASE": _place(home, name, server)}
        own |= {} if given else _static_member(name)
        if name == "console":
            own["BATON_ORCHESTRATOR_DATABASE"] = _place(home, "orchestrator", server)
        needs = tuple(need for need in spec.needs if need in names)
        return replace(spec, needs=needs, env={**spec.env, **own, **(extra or {}).get(name, {})})

    return Stack(
        home=home,
        bootstrap=bootstrap,
        ports=ports,
        specs=tuple(made(name, ports) for name in names),
        addresses=_addresses(names, bootstrap, ports),
        copy=lambda name: made(name, choose_ports(home.ports, _own_ports(name))),
        moved={name: port for name, port in ports.items() if before.get(name, port) != port},
    )


def _program(name: str) -> str:
    return name.partition("-")[0]


def _is_copy(name: str) -> bool:
    program, _, number = name.partition("-")
    return program in COPIED and number.isdecimal() and int(number) > 1


def port_names(copies: Sequence[str] = ()) -> tuple[str, ...]:
    own = [port for name in (*OURS, *copies) for port in _own_ports(name)]
    return ("kafka", "kafka_controller", *SANDBOXES, "smtp", *own)


def _own_ports(name: str) -> tuple[str, ...]:
    api = () if _program(name) in WITHOUT_API else (f"{name}_api",)
    return (f"{name}_ops", *api)


def embedded_broker(home: Home, ports: Mapping[str, int]) -> Broker:
    return Broker(home.kafka, ports["kafka"], ports["kafka_controller"])


def planned_topics(*, partitions: int = PARTITIONS_LOCAL, replicas: int = 1) -> list[TopicSpec]:
    """Every topic that must exist, dead letters included, as this cluster should hold it."""
    return [TopicSpec(t.name, partitions, replicas, t.settings) for t in all_topics()]


async def make_topics(bootstrap: str, *, most_replicas: int = 1) -> list[str]:
    """Creates what is missing and names it; raises ProcessFailed when Kafka will not have it."""
    try:
        async with Admin(bootstrap) as admin:
            replicas = min(most_replicas, await admin.probe()) if most_replicas > 1 else 1
            return await admin.ensure_topics(planned_topics(replicas=replicas))
    except BusError as error:
        raise ProcessFailed(
            f"the topics could not be created on {bootstrap}: {error}",
            mend="baton topics plan; baton doctor",
        ) from error


def _spec(
    name: str, home: Home, ports: Mapping[str, int], base: Mapping[str, str], report: Report
) -> ProcessSpec:
    if name == KAFKA:
        return _kafka(home, ports, base, report)
    env = dict(base)
    if name in SANDBOXES:
        env["BATON_API_PORT"] = str(ports[name])
        if name == "mail":
            env["BATON_SMTP_PORT"] = str(ports["smtp"])
        probe_port = ports[name]
    else:
        probe_port = ports[f"{name}_ops"]
        env["BATON_OPS_PORT"] = str(probe_port)
        env["BATON_PAYMENT_URL"] = base.get("BATON_PAYMENT_URL") or _url(ports["payment"])
        env["BATON_CARRIER_URL"] = base.get("BATON_CARRIER_URL") or _url(ports["carrier"])
        if not base.get("BATON_SMTP_HOST"):
            env |= {"BATON_SMTP_HOST": LOOPBACK, "BATON_SMTP_PORT": str(ports["smtp"])}
        if _program(name) not in WITHOUT_API:
            env["BATON_API_PORT"] = str(ports[f"{name}_api"])
        env["BATON_TOKENS_FILE"] = str(home.tokens_file)
        if name == "console":
            env["BATON_SURFACES_TOKEN_FILE"] = str(home.token_file)
            surfaces = {each: _url(ports[f"{each}_ops"]) for each in OURS if each != name}
            env["BATON_SURFACES"] = json.dumps(surfaces)
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", MODULES[_program(name)]),
        env=env,
        needs=() if name in SANDBOXES else (KAFKA,),
        ready=partial(answers_ok, LOOPBACK, probe_port, "/readyz"),
    )


def server_of(home: Home, environment: Mapping[str, str]) -> str:
    """`BATON_POSTGRES`, or "" where databases are files. Raises HomeUnusable where it is missing:
    files beside the databases of a server would be another company of the same name.
    """
    given = environment.get("BATON_POSTGRES", "")
    if not given and home.server.exists():
        where = home.server.read_text(encoding="utf-8").strip()
        raise HomeUnusable(
            f"the databases of {home.root} lie on {where}, and BATON_POSTGRES is not set",
            mend=f"export BATON_POSTGRES={where}   (with user and password)",
        )
    return given


def place_of(home: Home, process: str, server: str) -> Place:
    """Of the process's database: on the server each program has the one of its name."""
    program = _program(process)
    if not server or program not in COPIED:
        return home.database(program)
    parts = urlsplit(server)
    return SecretStr(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{program}")))


def _shown(server: str) -> str:
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _place(home: Home, process: str, server: str) -> str:
    place = place_of(home, process, server)
    return str(place) if isinstance(place, Path) else place.get_secret_value()


def _static_member(name: str) -> dict[str, str]:
    """On a broker of ours each process is known by its name: one that was killed is back at once.

    Otherwise its partitions would wait until the session of the one before has run out.
    """
    return {"BATON_INSTANCE_ID": name} if _program(name) in COPIED else {}


def _kafka(
    home: Home, ports: Mapping[str, int], base: Mapping[str, str], report: Report
) -> ProcessSpec:
    """Fetches its jars only now, so that a stack on another cluster never does."""
    broker = embedded_broker(home, ports)
    lock = jars.read_lock()
    folder = jars.jar_folder(lock)

    async def prepare() -> None:
        paths = await asyncio.to_thread(jars.class_path, report=report)
        await broker.prepare(paths)

    async def ready_with_topics() -> None:
        await make_topics(broker.address)

    return ProcessSpec(
        name=KAFKA,
        argv=broker.argv(tuple(folder / jar.file for jar in lock.jars)),
        env=base,
        ready=broker.is_ready,
        before=prepare,
        after=ready_with_topics,
        ready_within_s=600.0,
        stop_within_s=20.0,
    )


def _addresses(names: Collection[str], bootstrap: str, ports: Mapping[str, int]) -> dict[str, str]:
    found = {KAFKA: bootstrap}
    for name in names:
        if name in SANDBOXES:
            found[name] = _url(ports[name])
        elif _program(name) in OURS and _program(name) not in WITHOUT_API:
            found[name] = _url(ports[f"{name}_api"])
    for name in names:
        if _program(name) in OURS:
            found[f"{name} metrics"] = _url(ports[f"{name}_ops"]) + "/metrics"
    return found


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"
