"""The three dashboards: sagas for operators, services and Kafka for whoever runs them, business.

Queries only; how they are drawn is `grafana`'s. Gauges that every replica reads from one store are
taken with `max by` before they are summed. The rules of `monitoring/rules.yml` are used by name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from deploy.grafana import SAGAS, SERVICES, STUCK, Asked, Band, Dashboard, Panel, as_json

FOLDER: Final = Path(__file__).parent / "monitoring" / "grafana" / "dashboards"
_EACH = "$__rate_interval"
_OF = 'saga=~"$saga"'
_AT = 'service=~"$service"'
_BY_STATE = f"{SAGAS}?query=state%3D${{__field.labels.state}}"
_BY_REASON = f"{STUCK}?query=reason%3D${{__field.labels.reason}}"
_BY_TARGET = f"{STUCK}?query=service%3D${{__field.labels.target}}"
_ENDED = f"{SAGAS}?query=phase%3D${{__field.labels.outcome}}"
_STUCK = f"max by (saga, state, reason) (saga_stuck_instances{{{_OF}}})"
_SAGA = {"saga": "label_values(saga_started_total, saga)"}
_SERVICE = {"service": "label_values(saga_build_info, service)"}


def _p(share: float, metric: str, by: str, of: str) -> str:
    rate = f"rate({metric}_bucket{{{of}}}[{_EACH}])"
    return f"histogram_quantile({share}, sum by ({by}) ({rate}))"


def _here(expr: str) -> str:
    """Of a metric that does not name its service: the process that told it does."""
    return f"{expr} * on (job, instance) group_left (service) saga_build_info{{{_AT}}}"


def _stat(title: str, unit: str, says: str, expr: str, link: str) -> Panel:
    return Panel(title, "stat", unit, says, [Asked(expr, at_once=True)], link)


def _lines(
    title: str, unit: str, says: str, expr: str, *, name: str, link: str = SERVICES
) -> Panel:
    return Panel(title, "timeseries", unit, says, [Asked(expr, name)], link)


def _bars(title: str, says: str, expr: str, name: str, link: str) -> Panel:
    return Panel(title, "timeseries", "short", says, [Asked(expr, name)], link, stacked=True)


_NOW = Band(
    "Now",
    [
        _stat("Open", "short", "Sagas that have not ended.",
              f"sum(saga:instances:open{{{_OF}}})", SAGAS),
        _stat("Stuck", "short", "Past a deadline or stopped, for one of the seven reasons.",
              f"sum({_STUCK})", STUCK),
        _stat("Needs operator", "short", "Undos that nobody answered: only a person ends them.",
              f'sum(max by (saga, state) (saga_stuck_instances{{{_OF}, '
              'reason="compensation_failed"}))',
              f"{STUCK}?query=reason%3Dcompensation_failed"),
        _stat("Started a minute", "short", "Over the last five minutes.",
              f"60 * sum(saga:started:rate5m{{{_OF}}})", SAGAS),
        _stat("Completed, 1 h", "percentunit", "Share of the ended that were not compensated.",
              f"1 - saga:not_completed:ratio1h{{{_OF}}}", SAGAS),
        _stat("Duration p95", "s", "From start to completed, over a quarter of an hour.",
              f"saga:duration_seconds:p95_15m{{{_OF}}}", SAGAS),
        _stat("Oldest open", "s", "How long ago the oldest open saga started.",
              f"max(saga_oldest_instance_age_seconds{{{_OF}}})", SAGAS),
        _stat("Oldest stuck", "s", "How long ago the oldest stuck saga started; 0 is none.",
              f"max(saga_oldest_stuck_age_seconds{{{_OF}}})", STUCK),
    ],
    height=4,
)  # fmt: skip

OPERATIONS: Final = Dashboard(
    "baton-sagas",
    "Saga · Operations",
    "Are orders ending, how fast, and what holds up those that do not?",
    [
        _NOW,
        Band("Ends", [
            _bars("Outcomes", "Sagas that ended, by how.",
                  f"sum by (outcome) (increase(saga_finished_total{{{_OF}}}[{_EACH}]))",
                  "{{outcome}}", _ENDED),
            _bars("Stuck by reason", "The first of the seven reasons that holds.",
                  f"sum by (reason) ({_STUCK})", "{{reason}}", _BY_REASON),
        ]),
        Band("Time", [
            Panel("Duration", "timeseries", "s", "Start to end; dots are single sagas.",
                  [Asked(_p(q, "saga_duration_seconds", "le", _OF), f"p{q * 100:g}")
                   for q in (0.5, 0.95, 0.99)], SAGAS),
            Panel("Time in a state", "heatmap", "s", "How long sagas stayed before they went on.",
                  [Asked("sum by (le) (increase(saga_state_duration_seconds_bucket"
                         f"{{{_OF}}}[{_EACH}]))", "{{le}}")], SAGAS),
        ]),
        Band("States", [
            _lines("Open by state", "short", "Where open sagas stand.",
                   f'sum by (saga, state) (max by (saga, state) (saga_instances{{{_OF}, '
                   'terminal="false"}))', name="{{saga}} {{state}}", link=_BY_STATE),
            Panel("Transitions", "table", "short", "Changes of state over the time shown.",
                  [Asked("sum by (saga, from_state, to_state, trigger) "
                         f"(increase(saga_transitions_total{{{_OF}}}[$__range])) > 0",
                         at_once=True)], SAGAS),
        ]),
        Band("Commands", [
            _lines("Reply time p95 by command", "s",
                   "First sending to applied reply; timeouts count as such.",
                   _p(0.95, "saga_command_reply_seconds", "command, target, le", _OF),
                   name="{{command}} → {{target}}", link=_BY_TARGET),
            Panel("Retries and compensations by step", "timeseries", "short",
                  "Commands sent again, and undos by how they ended.",
                  [Asked(f"sum by (step, cause) (increase(saga_step_retries_total{{{_OF}}}"
                         f"[{_EACH}]))", "{{step}} again: {{cause}}"),
                   Asked(f"sum by (step, result) (increase(saga_compensations_total{{{_OF}}}"
                         f"[{_EACH}]))", "{{step}} undone: {{result}}")],
                  STUCK, stacked=True),
        ]),
        Band("Alerts", [
            Panel("Firing and pending", "alertlist", "short",
                  "Each with its section of deploy/RUNBOOK.md.", [], STUCK),
            _bars("What people did", "Actions of operators: the work that is left to them.",
                  f"sum by (action, result) (increase(saga_operator_actions_total[{_EACH}]))",
                  "{{action}} {{result}}", "/operations"),
        ]),
    ],
    _SAGA,
)  # fmt: skip

TECHNICAL: Final = Dashboard(
    "baton-services",
    "Saga · Services and Kafka",
    "Does every process read, decide and say in time?",
    [
        Band("$service", [
            _bars("Consumed by result", "Messages taken, by what became of them.",
                  f"sum by (result) (increase(saga_events_consumed_total{{{_AT}}}[{_EACH}]))",
                  "{{result}}", SERVICES),
            _lines("Handling p95", "s", "Until it was decided what a message leads to.",
                   _p(0.95, "saga_event_handle_seconds", "service, le", _AT), name="{{service}}"),
            _lines("Age p95", "s", "From a message's own time until it was committed.",
                   _p(0.95, "saga_event_age_seconds", "topic, le", _AT), name="{{topic}}"),
            _lines("Lag", "s", "How long the oldest message that is not applied has waited.",
                   f"max by (topic) (saga_consumer_lag_seconds{{{_AT}}})", name="{{topic}}"),
        ], height=7, repeat="service"),
        Band("What waits", [
            _lines("Outbox", "s", "Age of the oldest message that is not acknowledged.",
                   f"max by (service) (saga_outbox_oldest_age_seconds{{{_AT}}})",
                   name="{{service}}"),
            _lines("Dead letters", "short", "Those that nobody has settled.",
                   f"max by (service, topic) (saga_dead_letters_pending{{{_AT}}}) > 0",
                   name="{{service}} {{topic}}", link="/dead-letters"),
            _lines("Parked keys", "short", "Keys whose messages wait for a person.",
                   f"max by (service) (saga_parked_keys{{{_AT}}})",
                   name="{{service}}", link="/dead-letters"),
            _bars("Contract violations", "Payloads that break their contract.",
                  f"sum by (service, kind) (increase(saga_contract_violations_total{{{_AT}}}"
                  f"[{_EACH}]))", "{{service}} {{kind}}", "/dead-letters"),
        ]),
        Band("Process", [
            _lines("Transaction p95", "s", "One transaction of the database.",
                   "histogram_quantile(0.95, sum by (service, le) ("
                   + _here(f"rate(saga_store_operation_seconds_bucket[{_EACH}])") + "))",
                   name="{{service}}"),
            _lines("CPU", "percentunit", "Of one core.",
                   _here(f"rate(process_cpu_seconds_total[{_EACH}])"), name="{{service}}"),
            _lines("Memory", "bytes", "Resident.",
                   _here("process_resident_memory_bytes"), name="{{service}}"),
            _lines("HTTP p95", "s", "Requests to consoles and services.",
                   _p(0.95, "saga_http_request_seconds", "route, le", ""), name="{{route}}"),
            _lines("Live streams", "short", "Pages that browsers keep open.",
                   "sum by (page) (saga_console_streams) > 0", name="{{page}}"),
        ]),
    ],
    _SERVICE,
)  # fmt: skip

BUSINESS: Final = Dashboard(
    "baton-business",
    "Saga · Business",
    "How many orders end well, and what are the others refused for?",
    [
        Band("Orders", [
            _bars("Orders by outcome", "Completed are delivered, compensated are cancelled.",
                  f"sum by (outcome) (increase(saga_finished_total{{{_OF}}}[{_EACH}]))",
                  "{{outcome}}", _ENDED),
            _bars("Refusals by command", "Who said no to what, before the order was taken back.",
                  "sum by (command, target) (increase(saga_command_reply_seconds_count"
                  f'{{{_OF}, result="rejected"}}[{_EACH}]))', "{{target}}: {{command}}",
                  f"{SAGAS}?query=phase%3Dcompensated"),
            _bars("Taken back by step", "Undos that were answered.",
                  f'sum by (step) (increase(saga_compensations_total{{{_OF}, result="ok"}}'
                  f"[{_EACH}]))", "{{step}}", f"{SAGAS}?query=phase%3Dcompensated"),
        ]),
        Band("Money", [
            _bars(f"Value {outcome}",
                  f"{says}, in minor units such as pence, by currency.",
                  "sum by (currency) (increase(saga_value_minor_units_total"
                  f'{{{_OF}, outcome="{outcome}"}}[{_EACH}]))', "{{currency}}",
                  f"{SAGAS}?query=phase%3D{outcome}")
            for outcome, says in (("completed", "What orders were worth that were delivered"),
                                  ("compensated", "What cancelled orders would have been worth"))
        ]),
        Band("Over the time shown", [
            _stat("Completed", "short", "Orders delivered.",
                  f'sum(increase(saga_finished_total{{{_OF}, outcome="completed"}}[$__range]))',
                  f"{SAGAS}?query=phase%3Dcompleted"),
            _stat("Compensated", "short", "Orders cancelled, everything taken back.",
                  f'sum(increase(saga_finished_total{{{_OF}, outcome="compensated"}}[$__range]))',
                  f"{SAGAS}?query=phase%3Dcompensated"),
            _stat("Median duration", "s", "From placed to delivered.",
                  "histogram_quantile(0.5, sum by (le) (increase(saga_duration_seconds_bucket"
                  f'{{{_OF}, outcome="completed"}}[$__range])))', SAGAS),
        ], height=4),
    ],
    _SAGA,
)  # fmt: skip

BOARDS: Final = {
    "operations.json": OPERATIONS,
    "services.json": TECHNICAL,
    "business.json": BUSINESS,
}


def files() -> dict[Path, str]:
    """Each with its whole text, as it is committed."""
    return {
        FOLDER / name: json.dumps(as_json(board), indent=1, ensure_ascii=False) + "\n"
        for name, board in BOARDS.items()
    }
