"""A Kafka in a container, for `BATON_TEST_KAFKA=container`: prints its address, then stays.

The class that testcontainers brings starts another vendor's images only, so this is Apache's own,
of the version that is embedded, or the image that `BATON_TEST_KAFKA_IMAGE` names; `kafka_image`
beside this file builds one without a registry. The container is removed when the process ends that
it was told to live as long as, so no second container (Ryuk) watches over it.
    BATON_TEST_KAFKA=container BATON_TEST_KAFKA_IMAGE=baton-kafka pytest -m kafka tests/integration
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import select
import sys
from contextlib import ExitStack, suppress

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from deploy.local import jars
from deploy.local.broker_probe import until_answered
from deploy.local.ports import FIRST, LAST, LOOPBACK

INSIDE = 9092
READY_WITHIN_S = 120
ENVIRONMENT = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{INSIDE},CONTROLLER://localhost:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_MESSAGE_MAX_BYTES": str(2 * 1024 * 1024),
}


def kafka_container(port: int) -> DockerContainer:
    """The port is chosen before the start, because the broker must advertise it."""
    apache = f"apache/kafka:{jars.read_lock().kafka}"
    container = DockerContainer(os.environ.get("BATON_TEST_KAFKA_IMAGE") or apache)
    for name, value in ENVIRONMENT.items():
        container.with_env(name, value)
    container.with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://{LOOPBACK}:{port}")
    # `with_bind_ports` would listen on every address of this machine; docker takes this pair.
    container.ports[f"{INSIDE}/tcp"] = (LOOPBACK, port)  # type: ignore[assignment]
    return container


def await_end(pid: int) -> None:
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--while", dest="keeper", type=int, required=True)
    keeper = parser.parse_args().keeper
    port = FIRST + secrets.randbelow(LAST - FIRST)
    testcontainers_config.ryuk_disabled = True
    with ExitStack() as running:
        try:
            running.enter_context(kafka_container(port))
            asyncio.run(until_answered(LOOPBACK, port, within_s=READY_WITHIN_S))
        except Exception as error:  # noqa: BLE001  whatever an engine lacks is told in one line
            told = f"no container engine gave a Kafka: {error}".splitlines()[0]
            sys.stderr.write(f"{told}\n")
            return 1
        sys.stdout.write(f"{LOOPBACK}:{port}\n")
        sys.stdout.flush()
        await_end(keeper)
    return 0


if __name__ == "__main__":
    sys.exit(main())
