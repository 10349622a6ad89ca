"""Builds a Kafka image where no image registry can be reached: `… kafka_image.build NAME BASE`.

Copies the locked jars and the wheel's Java beside the Dockerfile, so that the container runs the
very bytes that `baton up` runs. BASE is any image with a shell and glibc, for example
    mmdebstrap --variant=minbase bookworm base.tar && docker import base.tar base
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import docker

from deploy.local import jars
from deploy.local.kafka import Broker

HERE = Path(__file__).parent


def build(name: str, base: str) -> None:
    with tempfile.TemporaryDirectory(prefix="baton-kafka-image-") as folder:
        context = Path(folder)
        for file in ("Dockerfile", "entrypoint.sh"):
            shutil.copy(HERE / file, context)
        paths = jars.class_path()
        java, *_ = Broker(context, 0, 0).argv(paths)
        shutil.copytree(Path(java).parents[1], context / "java")
        (context / "jars").mkdir()
        for jar in paths:
            shutil.copy(jar, context / "jars")
        engine = docker.from_env()
        engine.images.build(path=folder, tag=name, buildargs={"BASE": base}, rm=True)


if __name__ == "__main__":
    build(*sys.argv[1:])
