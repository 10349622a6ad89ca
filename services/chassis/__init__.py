"""What every process stands on. A service needs only the names below.

Handlers return `done`, `refused`, `changed`, `accepted` or `declined`; a table of `answers`,
`asks`, `reacts`, `requests` and `sends` says which message goes where; `Table` says how rows are
kept. `services.chassis.service` makes a process of them; only that imports Kafka and the web.
"""

from services.chassis.handlers import (
    Answer,
    Call,
    Change,
    Handler,
    Json,
    Response,
    Result,
    Rows,
    Unknown,
    accepted,
    answers,
    asks,
    changed,
    declined,
    done,
    reacts,
    refused,
    requests,
    sends,
)
from services.chassis.tables import Table

__all__ = [
    "Answer",
    "Call",
    "Change",
    "Handler",
    "Json",
    "Response",
    "Result",
    "Rows",
    "Table",
    "Unknown",
    "accepted",
    "answers",
    "asks",
    "changed",
    "declined",
    "done",
    "reacts",
    "refused",
    "requests",
    "sends",
]
