"""Where the tree may leave a rule, each with its reason. An exception nobody needs is a failure.

Keys are the rule, the path, and what the finding names.
"""

from __future__ import annotations

Place = tuple[str, str, str]

EXCEPTIONS: dict[Place, str] = {
    ("class_length", "services/chassis/intake.py", "Intake"): (
        "the one writer with its queue; each half would hold the other's lock"
    ),
    ("class_length", "services/chassis/transaction.py", "Transaction"): (
        "the steps of one transaction over one set of loaded rows, in their order"
    ),
    ("parameters", "services/chassis/handlers.py", "asks"): (
        "every word of a handler's line in the table has its own name"
    ),
    ("parameters", "services/chassis/housekeeping.py", "Housekeeping.__init__"): (
        "put together once, by the composition root"
    ),
    ("parameters", "services/chassis/reading.py", "Reading.__init__"): (
        "put together once, by the composition root"
    ),
    ("parameters", "services/chassis/envelope.py", "Maker.message"): (
        "called for every message: names cost time there"
    ),
    ("parameters", "services/chassis/participant.py", "Participant._ask"): (
        "called for every message: names cost time there"
    ),
    ("parameters", "orchestrator/engine/shell.py", "Shell._decide"): (
        "called for every message: names cost time there"
    ),
    ("parameters", "orchestrator/engine/shell.py", "Shell._outgoing"): (
        "called for every message: names cost time there"
    ),
    ("parameters", "orchestrator/engine/shell.py", "_effect"): (
        "called for every message: names cost time there"
    ),
    ("nesting", "services/chassis/bus_admin.py", "Tail.records"): (
        "a generator that yields inside the loop over partitions of a poll"
    ),
    ("nesting", "orchestrator/operate/reading.py", "Reading.page"): (
        "one pass over rows with its filters, read top to bottom"
    ),
    ("module_docstring", "services/chassis/bus.py", "module"): (
        "what no user of the bus may forget of the client behind it"
    ),
    ("module_docstring", "services/chassis/codec.py", "module"): (
        "the attacks that decoding must survive stand where decoding is"
    ),
    ("module_docstring", "services/chassis/store.py", "module"): (
        "the port's promises, which each adapter must keep"
    ),
    ("module_docstring", "orchestrator/engine/__init__.py", "module"): (
        "each of its modules says it for itself"
    ),
    ("module_docstring", "deploy/local/faults.py", "module"): (
        "the tree of faults with what mends each"
    ),
    ("unknown_types", "services/chassis/codec.py", "Any"): (
        "Avro's values have no type until their schema is known"
    ),
    ("banned_calls", "services/chassis/metrics.py", "time.time"): (
        "Prometheus compares the heartbeat with its own wall clock"
    ),
    ("dead_modules", "orchestrator/testing.py", "orchestrator.testing"): (
        "the kit for users' own sagas"
    ),
    ("dead_modules", "deploy/local/lock_jars.py", "deploy.local.lock_jars"): (
        "run by hand when Kafka's version changes"
    ),
    ("dead_modules", "deploy/local/sandboxes/carrier.py", "deploy.local.sandboxes.carrier"): (
        "started by the supervisor, which puts the name together"
    ),
    ("dead_modules", "deploy/local/sandboxes/mail.py", "deploy.local.sandboxes.mail"): (
        "started by the supervisor, which puts the name together"
    ),
    ("dead_modules", "deploy/local/sandboxes/payment.py", "deploy.local.sandboxes.payment"): (
        "started by the supervisor, which puts the name together"
    ),
    ("dead_names", "deploy/local/broker_probe.py", "until_answered"): (
        "waits for the container that tests may use as their Kafka"
    ),
    ("dead_names", "schemas/releases.py", "schemas_by_fingerprint"): (
        "for readers of topics that hold records of an earlier release"
    ),
    ("classes_twice", "deploy/local/sandboxes/store.py", "Reply"): (
        "what a sandbox stored; the other is what a supervisor answers"
    ),
    ("unused_statements", "services/analytics/store.sql", "not_placed"): (
        "its tests read the table by it"
    ),
    ("unused_statements", "services/inventory/store.sql", "reservation_of"): (
        "its tests read the table by it"
    ),
    ("unused_statements", "services/orders/store.sql", "count_by_status"): (
        "its tests read the table by it"
    ),
}
