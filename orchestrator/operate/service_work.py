"""What `baton services` and `baton map` print: what the processes say of themselves."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.operate.client import Server
from orchestrator.operate.output import Form, Output
from orchestrator.operate.wording import Object, objects, strings

SERVICES = ("name", "state", "lag_s", "lag_messages", "consumed_per_s", "published_per_s",
    "outbox", "dead_letters", "version", "why")  # fmt: skip
MAP = ("topic", "writers", "readers", "rate_per_s", "behind")


def services(output: Output, *, url: str) -> None:
    with Server(url=url) as server:
        output.rows(SERVICES, objects(server.get("/api/services"), "services"))


def company_map(output: Output, *, url: str) -> None:
    """Who is outside of the company is `anybody`; a rate that nobody told is none."""
    with Server(url=url) as server:
        known = {
            str(each["name"]): each for each in objects(server.get("/api/services"), "services")
        }
        topics = objects(server.get("/api/map"), "topics")
    rows = [
        {
            "topic": topic["name"],
            "writers": _those(topic, "writers", known, output),
            "readers": _those(topic, "readers", known, output),
            "rate_per_s": _rate(topic["rate_per_s"], output),
            "behind": topic["behind"],
        }
        for topic in topics
    ]
    output.rows(MAP, rows)


def _those(
    topic: Object, side: str, known: Mapping[str, Object], output: Output
) -> list[str] | str:
    """Names; for people with what is wrong with each."""
    names = strings(topic, side)
    if output.form is not Form.TABLE:
        return list(names)
    return ", ".join(_marked(name, known.get(name)) for name in names)


def _rate(told: object, output: Output) -> object:
    if output.form is not Form.TABLE or not isinstance(told, float):
        return told
    return f"{told:.1f}"


def _marked(name: str, process: Object | None) -> str:
    if process is None or process["state"] == "up":
        return name
    return f"{name} ✖ {process['state']}"
