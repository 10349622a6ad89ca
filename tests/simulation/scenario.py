"""What a seed means: orders, which kinds of faults may happen at all, and when which one does.

Everything is drawn here, before anything runs, so that a failing seed can be told again without
some of it: that is how it is shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Self

from services.chassis.failpoints import NAMES

SLIM = ("orchestrator", "inventory", "billing", "shipping")
FULL = (*SLIM, "orders", "crm", "analytics", "notifications")

# Chances that hold while faults last, by kind; how large, is the seed's.
RATES = {
    "refuse": 0.2,
    "unknown": 0.2,
    "late": 0.5,
    "twice": 0.2,
    "drop": 0.1,
    "delay": 0.15,
    "sparse": 0.3,
    "lost_client": 0.05,
    "gateway_failing": 0.4,
    "gateway_unheard": 0.4,
    "gateway_slow": 0.3,
}
# Single events, by kind: at most so many of a seed.
EVENTS = {
    "crash": 6,
    "power_loss": 1,
    "stop": 3,
    "zombie": 3,
    "broker_down": 2,
    "disk_full": 3,
    "gateway_silent": 2,
    "clock_jump": 2,
    "poison_record": 4,
    "poison_handler": 2,
    "cancel": 5,
    "outage": 1,
    "verb_retry": 3,
    "verb_compensate": 2,
    "verb_pause": 3,
    "verb_skip": 3,
    "verb_note": 1,
}
CLASSES = (*RATES, *EVENTS)
VERBS = tuple(kind for kind in EVENTS if kind.startswith("verb_"))
FAULTS_S = 60.0
HOUR_S = 3_600.0
SILENT_S = 400.0


@dataclass(frozen=True)
class Fault:
    number: int
    at_s: float
    kind: str
    target: str
    value: float
    moment: str = ""

    @property
    def is_long(self) -> bool:
        """A silence of the outside world in which steps are given up."""
        return self.kind == "gateway_silent" and self.value > 0.7

    @property
    def over_s(self) -> float:
        """When what it does by itself has ended, at the latest."""
        if self.kind == "outage":
            return HOUR_S + FAULTS_S
        return self.at_s + SILENT_S * self.value if self.is_long else self.at_s + 20

    def __str__(self) -> str:
        return f"#{self.number} {self.at_s:.2f} s {self.kind} {self.target} {self.moment}".rstrip()


@dataclass(frozen=True)
class Order:
    number: int
    at_s: float
    country: str
    method: str
    sku: str
    quantity: int
    customer: str | None

    @property
    def id(self) -> str:
        return f"o{self.number}"


@dataclass(frozen=True)
class Scenario:
    seed: int
    partitions: int
    services: tuple[str, ...]
    orders: tuple[Order, ...]
    customers: tuple[str, ...]
    rates: dict[str, float] = field(hash=False)
    faults: tuple[Fault, ...] = ()
    tick_s: float = 1.0
    latency_s: float = 0.02
    batch_max: int = 1_000
    guarded: int = 50
    together_s: float = 0.0

    @classmethod
    def of(cls, seed: int, orders: int = 12) -> Self:
        random = Random(f"scenario {seed}")
        services = FULL if random.random() < FULL_SHARE else SLIM
        # Mostly a few kinds together: all of them at once hide each other.
        on = [each for each in CLASSES if random.random() < random.choice((0.15, 0.35, 0.6))]
        # Some together, some alone: what comes together shares batches, and one life's end.
        waves = [random.random() * random.choice((0.2, 5, 40)) for _ in range(random.randint(1, 5))]
        placed = tuple(_order(random, number, random.choice(waves)) for number in range(orders))
        tick_s = random.choice((0.25, 2.0, 2.0, 2.0, 5.0, 5.0))
        return cls(
            seed=seed,
            partitions=random.choice((1, 2, 3, 4)),
            services=services,
            orders=placed,
            customers=("13747", "c1", "c2") if services == FULL else (),
            rates={kind: RATES[kind] * random.random() for kind in on if kind in RATES},
            faults=_faults(random, on, services, placed),
            tick_s=10.0 if "outage" in on else tick_s,
            latency_s=random.choice((0.0, 0.02, 0.1, 0.4)),
            batch_max=random.choice((1, 3, 20, 20, 1_000, 1_000, 1_000, 1_000)),
            guarded=random.choice((2, 2, 2, 50)),
            # What arrives together shares a transaction; else five of six hold one record.
            together_s=random.choice((0.0, 0.0, 0.1, 0.3, 0.3)),
        )

    def without(
        self,
        kinds: set[str] | None = None,
        orders: set[int] | None = None,
        faults: set[int] | None = None,
    ) -> Self:
        kinds, orders, faults = kinds or set(), orders or set(), faults or set()
        return replace(
            self,
            rates={kind: rate for kind, rate in self.rates.items() if kind not in kinds},
            faults=tuple(
                each for each in self.faults if each.kind not in kinds and each.number not in faults
            ),
            orders=tuple(each for each in self.orders if each.number not in orders),
        )


FULL_SHARE = 0.2


def _order(random: Random, number: int, wave_s: float) -> Order:
    """Nearly half turn back; of those about a quarter at each step that can say no to them."""
    roll = random.random()
    country, method, sku, quantity = "France", "tok_ok", "plenty", random.randint(1, 4)
    if roll < 0.13:
        country = "EIRE"
    elif roll < 0.26:
        method = "tok_declined"
    elif roll < 0.33:
        method = "tok_capture_refused"
    elif roll < 0.55:
        sku, quantity = "scarce", random.randint(1, 8)  # of six there are
    at_s = wave_s + 0.2 * random.random()
    customer = random.choice((None, "c1", "c2"))
    return Order(number, at_s, country, method, sku, quantity, customer)


def _faults(
    random: Random, on: list[str], services: tuple[str, ...], orders: tuple[Order, ...]
) -> tuple[Fault, ...]:
    found: list[Fault] = []
    for kind in on:
        if kind not in EVENTS:
            continue
        for _ in range(random.randint(1, EVENTS[kind])):
            target = random.choice(services)
            moment = random.choice(NAMES) if kind == "crash" else ""
            at_s = FAULTS_S * random.random() * random.choice((0.1, 0.4, 1.0))
            if kind in VERBS:
                target = random.choice(orders).id
            elif kind == "cancel":
                order = random.choice(orders)
                target, at_s = (
                    order.id,
                    max(0.0, order.at_s + random.choice((-1, 0, 0.5, 3, 30)) * random.random()),
                )
            elif kind in ("poison_record", "poison_handler"):
                moment = random.choice(orders).id
            elif kind == "outage" and random.random() < 0.4:
                target = "broker"
            found.append(Fault(len(found), at_s, kind, target, random.random(), moment))
    return tuple(sorted(found, key=lambda each: each.at_s))
