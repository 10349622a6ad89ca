"""Processes as their operations ports speak, without any: for pages and verbs that ask them."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx


@dataclass
class Spoken:
    """`lines`: its metrics, as text. `down`: it does not answer."""

    lines: list[str] = field(default_factory=list)
    not_ready: dict[str, str] = field(default_factory=dict)
    down: bool = False
    asked: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path == "/metrics":
            self.asked += 1
            return httpx.Response(200, text="\n".join(self.lines) + "\n")
        checks = [{"name": "database", "ok": True, "reason": "writable"}] + [
            {"name": name, "ok": False, "reason": why} for name, why in self.not_ready.items()
        ]
        status = "not ready" if self.not_ready else "ready"
        return httpx.Response(
            503 if self.not_ready else 200, json={"status": status, "checks": checks}
        )
