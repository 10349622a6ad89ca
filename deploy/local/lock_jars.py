"""Writes `jars.lock` anew: `python -m deploy.local.lock_jars`, by hand, when Kafka's version moves.

The only place that resolves dependencies. Each root is resolved by a call of its own, because a
joined call lets the second root's bill of materials override the versions of the first.
Whoever runs this trusts what the network answers; everybody after him checks against the result.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

KAFKA: Final = "org.apache.kafka:kafka_2.13:4.4.0"
LOG4J_BINDING: Final = "org.apache.logging.log4j:log4j-slf4j-impl"
LOCK: Final = Path(__file__).with_name("jars.lock")

Entry = dict[str, str | int]


def resolve(root: str) -> list[Entry]:
    import jgo  # noqa: PLC0415  a second of imports that nobody else needs

    entries: list[Entry] = []
    for artifact in jgo.resolve(root):
        path = artifact.resolve()
        entries.append(
            {
                "coordinate": f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}",
                "file": path.name,
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    return entries


def main() -> None:
    jars = {str(entry["file"]): entry for entry in resolve(KAFKA)}
    log4j = next(
        str(entry["coordinate"]).rpartition(":")[2]
        for entry in jars.values()
        if ":log4j-api:" in str(entry["coordinate"])
    )
    binding = f"{LOG4J_BINDING}:{log4j}"
    for entry in resolve(binding):
        jars.setdefault(str(entry["file"]), entry)
    content = {"roots": [KAFKA, binding], "jars": [jars[name] for name in sorted(jars)]}
    LOCK.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{LOCK}: {len(jars)} jars")


if __name__ == "__main__":
    main()
