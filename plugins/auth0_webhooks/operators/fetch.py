"""The task that reads the tenant's log."""

from __future__ import annotations

import logging
import time
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import SkipMixin

from auth0_webhooks.errors import WebhookRouteError
from auth0_webhooks.names import FETCH
from auth0_webhooks.operators.alarm import alarm_note
from auth0_webhooks.operators.base import RouteOperator, RunSettings, checkpoint_description
from auth0_webhooks.operators.idle import Place, end_run
from auth0_webhooks.state.xcom_batches import OPEN_BATCHES, batch_key, remove_leftovers

if TYPE_CHECKING:
    from airflow.sdk import Context

    from auth0_webhooks.hooks.auth0 import TenantHook
    from auth0_webhooks.operators.ledger import Report
    from auth0_webhooks.reading.live import Reading
    from auth0_webhooks.reading.window import Window, WindowReading

log = logging.getLogger(__name__)


class FetchOperator(RouteOperator, SkipMixin):
    """Reads the tenant's log, from the checkpoint on or a window of it, and pushes it as batches, one XCom entry each."""

    part = FETCH
    ui_color = "#e8f0fe"

    def execute(self, context: Context) -> dict[str, Any]:
        """Read; returns the manifest of what was read, with the id of this try in ``fetch``, as each batch has it, too."""
        from auth0_webhooks.hooks.auth0 import TenantHook
        from auth0_webhooks.model.batch import batches, pack
        from auth0_webhooks.operators.metrics import count_requests, describe_span
        from auth0_webhooks.operators.reporting import new_report, publish
        from auth0_webhooks.state.variables import TokenVariable

        ti, run = context["ti"], self.run_settings(context)
        remove_leftovers(context)
        conn_id = run.route.auth0_conn_id
        hook = TenantHook(conn_id, TokenVariable(conn_id), wait_for_limits=run.window is not None, waits=self.waits)
        notes: list[str] = []
        reading: Reading | WindowReading | None = None
        place: Place | None = None
        first = last = batches_end = None
        number, fetch_try = -1, uuid.uuid4().hex
        if run.window is None and not run.dry_run and (warning := alarm_note(run.route)):
            notes.append(warning)
        try:
            if run.window:
                reading = self._window(context, run, run.window, hook, notes)
            else:
                reading, place = self._live(context, run, hook, notes)
            for note in notes:
                log.warning("%s", note)
            for number, batch in enumerate(batches(reading.events())):
                if number == 0:
                    ti.xcom_push(OPEN_BATCHES, context["run_id"])
                first, last, batches_end = first or batch.events[0].date, batch.events[-1].date, batch.end
                ti.xcom_push(batch_key(number), pack(batch, made_by=fetch_try, number=number))
                log.info("read batch %d: %d events up to %s", number, len(batch.events), batch.end.date)
        except WebhookRouteError as error:
            # No batch reaches filter, so no event counts as read.
            report = new_report(context, run, outcome=f"failed: {error}", notes=notes)
            report.enter(hook.figures())
            if reading:
                _enter_place(report, reading, run.route.retention_days)
            count_requests(run.route.name, hook.figures())
            publish(context, run, report, known=bool(reading and reading.start.log_id and reading.start.date))
            raise
        fetched = {
            "batches": number + 1,
            "read": reading.read,
            "start": list(reading.start),
            "end": list(reading.end),
            "batches_end": list(batches_end or reading.start),
            "first_run": place is None or place.first_run,
            "first_event": first,
            "last_event": last,
            "stopped": reading.stopped,
            "gap": _gap(reading),
            "notes": notes,
            "dry_run": run.dry_run,
            "fetch": fetch_try,
            **hook.figures(),
        }
        count_requests(run.route.name, fetched)
        describe_span(fetched)
        if place and not run.dry_run:
            end_run(self, context, run, place, fetched)
        return fetched

    def _live(self, context: Context, run: RunSettings, hook: TenantHook, notes: list[str]) -> tuple[Reading, Place]:
        """From the checkpoint on, or from where the first run starts."""
        from auth0_webhooks.delivery.probe import NOTE, ProbeReading
        from auth0_webhooks.model.checkpoint import Checkpoint
        from auth0_webhooks.reading.live import Reading, first_position
        from auth0_webhooks.state.health import Health
        from auth0_webhooks.state.variables import CheckpointVariable

        route = run.route
        variable = CheckpointVariable(
            route.checkpoint_key,
            description=checkpoint_description(route),
            saved_by=f"{context['run_id']} (start)",
            start_from=route.start_from_text,
        )
        checkpoint = variable.load(heal=not run.dry_run)
        first_run = checkpoint is None
        if variable.note:
            notes.append(variable.note)
        if checkpoint is None:
            notes.append(f"first run: no checkpoint yet, reading starts at start_from: {route.start_from_text}")
            if route.start_from == "now" and not run.dry_run:
                # Saved before anything can fail, so that "now" stays the time of the first try.
                checkpoint = Checkpoint(first_position("now"))
                variable.save(checkpoint)
                variable.close()
        elif former := variable.former_start_from:
            notes.append(
                f"start_from was {former} and is now {route.start_from_text}: it counts for the first run only. To go back, "
                f"set Variable {route.checkpoint_key!r} to a date-time, or trigger a run with since and until"
            )
        reading = Reading(
            hook,
            checkpoint.position if checkpoint else first_position(route.start_from),
            route.max_logs_per_run,
            retention=route.retention,
            on_gap=route.on_gap,
            settle=self.waits.settle,
        )
        health = Health(route.name).load()
        if health and health.refuses_everything and not run.dry_run:
            notes.append(NOTE)
            acknowledged = frozenset(checkpoint.acknowledged if checkpoint else ())
            reading = ProbeReading.of(reading, route.selection.wants, acknowledged)
        if checkpoint and checkpoint.hold and checkpoint.hold.until > datetime.now(timezone.utc) and not run.dry_run:
            reading.stopped = "hold"
        return reading, Place(variable, checkpoint, health, first_run=first_run)

    def _window(self, context: Context, run: RunSettings, window: Window, hook: TenantHook, notes: list[str]) -> WindowReading:
        """All of a window; the checkpoint is not even read."""
        from auth0_webhooks.reading.window import WindowReading

        now = datetime.now(timezone.utc)
        if warning := window.warning(now, run.route.retention_days):
            notes.append(warning)
        if wait := window.seconds_to_settle(now, self.waits.late):
            log.info("the window %s ended just now: waiting %.0f s for late events", window, wait)
            time.sleep(wait)
        # A backfill's runs are short, and no live run waits for them.
        return WindowReading(hook, window, announce=context["dag_run"].run_type != "backfill", notes=notes)


def _gap(reading: Reading | WindowReading) -> str | None:
    return " .. ".join(reading.gap) if reading.gap else None


def _enter_place(report: Report, reading: Reading | WindowReading, retention_days: int | None) -> None:
    """Enter in the report of a failed reading its position, and how long until events are lost."""
    from auth0_webhooks.operators.ledger import age

    report.gap = _gap(reading)
    if not report.window and reading.start.log_id:
        report.lag_seconds = round(age(reading.start.date, time.time()), 1)
        report.warn_of_age(retention_days)
