"""What a collector is told beside FastAPI's own spans and metrics: docs/telemetry.md."""

import time
from collections.abc import Callable, Iterable

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider

from auth.keys import Keys
from db import Database
from live import Live

REDACTED = "REDACTED"
POOL = {"db.client.connection.pool.name": "tasks"}


class Redaction(SpanProcessor):
    """Leaves a span its route alone: the path holds the user's id, and the query what they search for."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        for name in ("url.path", "url.query"):
            if name in (span.attributes or {}):
                span.set_attribute(name, REDACTED)


def start(database: Database, live: Live, keys: Keys) -> None:
    """Add what FastAPI can't know to what it sends, wherever it was told to send it."""
    tracers = trace.get_tracer_provider()
    if isinstance(tracers, TracerProvider):
        tracers.add_span_processor(Redaction())

    meter = metrics.get_meter("task-api")
    gauge, counter = meter.create_observable_gauge, meter.create_observable_counter
    # Named as OpenTelemetry names them, where it does.
    used, turns = POOL | {"db.client.connection.state": "used"}, database.turns
    _observe(gauge, "db.client.connection.max", "{connection}", lambda: turns.places, POOL)
    _observe(gauge, "db.client.connection.count", "{connection}", lambda: turns.places - turns.free, used)
    _observe(gauge, "db.client.connection.pending_requests", "{request}", lambda: turns.waiting, POOL)
    _observe(counter, "db.client.connection.timeouts", "{timeout}", lambda: turns.refused, POOL)
    _observe(gauge, "task_api.streams", "{stream}", lambda: live.number)
    _observe(gauge, "task_api.key_set.age", "s", lambda: keys.fetched and time.monotonic() - keys.fetched)


def _observe(
    create: Callable[..., object],
    name: str,
    unit: str,
    read: Callable[[], float | None],
    attributes: dict[str, str] | None = None,
) -> None:
    def observations(_: CallbackOptions) -> Iterable[Observation]:
        value = read()
        return [] if value is None else [Observation(value, attributes)]

    create(name, [observations], unit)
