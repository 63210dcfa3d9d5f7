"""The task that delivers, and reports."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from auth0_webhooks.errors import DeliveryStalledError, SettingError, WebhookRouteError
from auth0_webhooks.names import DELIVER
from auth0_webhooks.operators.base import RouteOperator, RunSettings, checkpoint_description
from auth0_webhooks.state.xcom_batches import Batches, filtered_batches
from auth0_webhooks.wording import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from auth0_webhooks.delivery.delivery import Delivery
    from auth0_webhooks.delivery.progress import State
    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.operators.ledger import Report
    from auth0_webhooks.operators.metrics import Latencies
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.state.dead_letters import DeadLetterStore

log = logging.getLogger(__name__)

_KILLED = "Airflow ended the task; what was acknowledged is saved, the next run sends the rest"


class DeliverOperator(RouteOperator):
    """POSTs the wanted events, moves the checkpoint, reports."""

    part = DELIVER
    ui_color = "#e6f4ea"
    _delivery: Delivery | None = None
    _dead_letters: DeadLetterStore | None = None
    _latencies: Latencies | None = None
    _killed = False

    def execute(self, context: Context) -> None:
        """Deliver; pushes the report as XCom ``report`` whether or not it succeeds."""
        from auth0_webhooks.operators.reporting import new_report, outcome_of_delivery, publish, report_of_reading

        run = self.run_settings(context)
        try:
            fetched, filtered, batches = filtered_batches(context)
        except WebhookRouteError as error:
            # The counts of tasks that do not belong together make no report.
            publish(context, run, new_report(context, run, outcome=f"failed: {error}"), known=False)
            raise
        report = report_of_reading(context, run, fetched, filtered["counts"])
        try:
            report.check()
            if report.dry_run:
                report.outcome = "dry run, nothing was sent and nothing moved"
            else:
                self._deliver(context, run, report, fetched, filtered, batches=batches)
                report.outcome = outcome_of_delivery(report, self._delivery.figures if self._delivery else None)
        except BaseException as error:
            report.outcome = f"failed: {error if isinstance(error, WebhookRouteError) else type(error).__name__}"
            raise
        finally:
            self._settle(report, run)
            if report.dead_lettered:
                but = ";" if report.outcome.startswith("failed") else ", except that"
                became = "became a dead letter" if report.dead_lettered == 1 else "became dead letters"
                report.outcome += f"{but} {counted(report.dead_lettered, 'event')} {became}"
            publish(context, run, report, latencies=self._latencies)
            self._note_set_aside(report, run)
        ended = self._delivery and not self._delivery.figures.held and not self._delivery.figures.moved_by_hand
        report.check(all_settled=bool(ended))
        _emit(context, run.route, report)

    def _deliver(
        self,
        context: Context,
        run: RunSettings,
        report: Report,
        fetched: dict[str, Any],
        filtered: dict[str, Any],
        *,
        batches: Batches,
    ) -> None:
        from auth0_webhooks.delivery.delivery import Delivery
        from auth0_webhooks.delivery.progress import State
        from auth0_webhooks.hooks.webhook import endpoint_of, payload_of
        from auth0_webhooks.model.events import Position
        from auth0_webhooks.operators.metrics import Latencies
        from auth0_webhooks.privacy.redaction import redaction_mark
        from auth0_webhooks.state.dead_letters import DeadLetterStore
        from auth0_webhooks.state.health import Health, KeptRefusals
        from auth0_webhooks.state.kept_hashes import KeepsHashesToo, KeptHashes
        from auth0_webhooks.state.variables import CheckpointVariable
        from auth0_webhooks.state.window_progress import WindowProgress

        route, payload = run.route, payload_of(run.route)
        if filtered.get("redaction", "") != redaction_mark(route.redact):
            raise SettingError(
                f"route {route.name!r}: key 'redact' has changed since this run's filter: nothing more of it is sent. A live run "
                "leaves its events to the next one; clear a backfill or a replay with all its tasks"
            )
        batches.check()
        keeper: WindowProgress | CheckpointVariable
        if run.window:
            store = context["task_state_store"]
            keeper = WindowProgress(store, fingerprint=filtered["fingerprint"], fetch=fetched["fetch"])
        else:
            keeper = CheckpointVariable(
                route.checkpoint_key,
                description=checkpoint_description(route),
                saved_by=f"{context['run_id']} try {context['ti'].try_number}",
                start_from=route.start_from_text,
            )
        self._dead_letters = DeadLetterStore(route) if route.on_reject == "dead_letter" else None
        health, start, end = Health(route.name), Position(*fetched["start"]), Position(*fetched["end"])
        hashes = KeptHashes(route, str(context["run_id"]), passed=None if run.window else (start, end))
        latencies = self._latencies = Latencies()

        def note(event: LogEvent, state: State) -> None:
            hashes.note(event.log_id, set_aside=state is State.DEAD_LETTERED)
            if state is State.DELIVERED_NOW:
                latencies.note(event.date)

        delivery = self._delivery = Delivery(
            endpoint_of(route, payload, timeout=self.waits.answer),
            KeepsHashesToo(keeper, hashes),
            start=start,
            end=end,
            first=fetched["first_run"],
            by_time=run.window is not None,
            payload=payload,
            concurrent_calls=route.concurrent_calls,
            max_per_second=route.max_per_second,
            dead_letters=self._dead_letters,
            refusals=None if run.window else KeptRefusals(health),
            suspect=health.suspect() if self._dead_letters and not run.window else None,
            note=note,
            waits=self.waits,
        )
        if self._killed:
            delivery.stop(_KILLED)
        hangs = False
        try:
            delivery.run(lambda: batches)
        except DeliveryStalledError:
            hangs = True  # Airflow may be what hangs: then closing the record would hang, too
            raise
        finally:
            if not hangs:
                hashes.end()
            if isinstance(keeper, CheckpointVariable):
                if not hangs:
                    keeper.close()
                report.notes += [keeper.note] if keeper.note else []
        if isinstance(keeper, WindowProgress):
            keeper.finish()

    def on_kill(self) -> None:
        """Airflow ends the task: stop, wait for the POSTs in progress, save."""
        self._killed = True
        if self._delivery:
            self._delivery.stop(_KILLED)

    def _settle(self, report: Report, run: RunSettings) -> None:
        """Enter what became of the events; without a delivery none was reached."""
        from auth0_webhooks.delivery.progress import State
        from auth0_webhooks.operators.ledger import age
        from auth0_webhooks.operators.reporting import shown

        report.not_reached = report.selected
        if self._delivery is None:
            return
        counts, figures, progress = self._delivery.progress.counts(), self._delivery.figures, self._delivery.progress
        report.delivered_now = counts[State.DELIVERED_NOW]
        report.delivered_before = counts[State.DELIVERED_BEFORE]
        report.dead_lettered = counts[State.DEAD_LETTERED]
        report.set_aside = self._dead_letters.set_aside if self._dead_letters else []
        report.refused = counts[State.REFUSED]
        done = report.delivered_now + report.delivered_before + report.dead_lettered
        report.not_reached = report.selected - done - report.refused
        report.repeated, report.retried, report.posts = progress.repeated, figures.retried, figures.posts
        report.slowest_answer, report.answers = round(figures.slowest_answer, 3), dict(figures.answers)
        if run.window:
            return
        place = self._delivery.stored
        report.checkpoint_after = shown(place) if place else None
        if report.stopped or done < report.selected:
            # A place without an id tells no age: it is where the log begins, or where somebody wants to begin.
            waits_since = place.date if place and place.log_id else report.first_event
            report.lag_seconds = round(age(waits_since, time.time()), 1)
            report.warn_of_age(run.route.retention_days)

    def _note_set_aside(self, report: Report, run: RunSettings) -> None:
        """Note set-aside events for the alarm that the callback sends after the last try, those of earlier tries included."""
        from auth0_webhooks.state.health import Health

        if run.window or not report.dead_lettered:
            return
        first = report.set_aside[0] if report.set_aside else {}
        try:
            Health(run.route.name).note_aside(
                report.dead_lettered, f"{first.get('log_id')} (type {first.get('type')!r}): {first.get('answer')}"
            )
        except WebhookRouteError as error:
            log.warning("no alarm will be sent about the events that were set aside: %s", error)


def _emit(context: Context, route: Route, report: Report) -> None:
    """Update the assets: the next run starts if there is more, and other DAGs if something was delivered.

    A run that read nothing for lack of requests starts none, which would only hold a worker slot: the watch or the schedule
    does.
    """
    from auth0_webhooks.operators.assets import delivered_alias, delivered_asset, drain_alias, new_events_asset

    more = report.stopped == "limit" or (report.stopped == "rate limit" and report.read)
    if more and not report.dry_run and not report.window:
        context["outlet_events"][drain_alias(route)].add(new_events_asset(route))
    # What an earlier try of this run delivered counts, too: that try updated no asset.
    if report.delivered_now or report.delivered_before:
        context["outlet_events"][delivered_alias(route)].add(delivered_asset(route), extra=report.as_dict())
