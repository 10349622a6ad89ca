"""The test values of the sandboxes, once: what they do is read from here, and so is the reference.

A value that stands in no row behaves as the plain ones do: an unknown payment method is refused,
an unknown country is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, slots=True)
class SandboxValue:
    """One value of one field. All that is not set is what the sandbox does anyway.

    `silent` and `failing` count requests with one idempotency key: the first `silent` take
    effect but are never answered, the first `failing` take no effect and get a 503.
    """

    sandbox: str
    field: str
    value: str
    meaning: str
    refusal: str = ""
    refusal_of_capture: str = ""
    delay_s: float = 0.0
    silent: int = 0
    failing: int = 0


_method = partial(SandboxValue, "payment", "payment_method")

TEST_VALUES: tuple[SandboxValue, ...] = (
    _method("tok_ok", "authorised and captured at once"),
    _method("tok_declined", "refused with 402", refusal="insufficient_funds"),
    _method("tok_expired", "refused with 402", refusal="card_expired"),
    _method("tok_slow", "authorised, answered after 2 s", delay_s=2.0),
    _method(
        "tok_silent_once", "authorised, the first request is never answered, the next is", silent=1
    ),
    _method("tok_error", "503 three times without effect, then authorised", failing=3),
    _method(
        "tok_capture_refused",
        "authorised, its capture refused with 409",
        refusal_of_capture="capture_refused",
    ),
    SandboxValue("carrier", "country", "EIRE", "refused with 422", refusal="country_not_served"),
)


def values_of(sandbox: str, field: str) -> dict[str, SandboxValue]:
    rows = (each for each in TEST_VALUES if (each.sandbox, each.field) == (sandbox, field))
    return {each.value: each for each in rows}
