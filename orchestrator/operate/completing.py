"""What a shell offers after Tab: ids and states, from the console. Quick, and silent when it fails.

Imported with every verb, so it imports nothing heavy itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

OFFERED_MAX = 50
_WITHIN_S = 1.0
_TERMS = ("state=", "phase=", "reason=", "definition=", "key=", "service=", "age>", "age<")


def saga_names(incomplete: str) -> list[str]:
    """Keys of the newest sagas that begin so."""
    return _offered(incomplete, lambda: _asked("/api/sagas", "sagas", "key"))


def operations(incomplete: str) -> list[str]:
    return _offered(incomplete, lambda: _asked("/api/operations", "operations", "id"))


def terms(incomplete: str) -> list[str]:
    """Terms of a filter; after `state=` the states that sagas are in."""
    if incomplete.startswith("state="):
        return _offered(incomplete, _states)
    return [term for term in _TERMS if term.startswith(incomplete)]


def _states() -> list[str]:
    return [f"state={each}" for each in _asked("/api/counts", "states", "state", states="1")]


def _asked(path: str, name: str, column: str, **given: str) -> list[str]:
    from orchestrator.operate.client import Server  # noqa: PLC0415  keeps `--help` quick

    with Server(within_s=_WITHIN_S) as server:
        found = server.get(path, limit=OFFERED_MAX, **given)[name]
    assert isinstance(found, list)
    return [str(each[column]) for each in found if isinstance(each, Mapping)]


def _offered(incomplete: str, ask: Callable[[], list[str]]) -> list[str]:
    try:
        known = ask()
    except Exception:  # noqa: BLE001  whoever presses Tab is told nothing rather than a fault
        return []
    return [each for each in dict.fromkeys(known) if each.startswith(incomplete)]
