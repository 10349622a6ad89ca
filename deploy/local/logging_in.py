"""The address that logs into a running console once, asked for with a token.

The console makes the code and keeps its hash only; here it is passed on, and kept nowhere. A
console that does not answer has no address: that is for `baton status` to explain.
"""

from __future__ import annotations

from typing import Final

import httpx

ANSWER_WITHIN_S: Final = 2.0


def login_address(console: str, token: str) -> str:
    """Empty where the console does not say."""
    try:
        answer = httpx.post(
            f"{console}/api/logins",
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_WITHIN_S,
            trust_env=False,
        )
        return f"{console}{answer.raise_for_status().json()['path']}"
    except (httpx.HTTPError, KeyError, ValueError):
        return ""
