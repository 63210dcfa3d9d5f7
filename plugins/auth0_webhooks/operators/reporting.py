"""How a run's report begins, and where it goes when the run ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from auth0_webhooks.operators.ledger import Report
from auth0_webhooks.operators.metrics import count_run, describe_span
from auth0_webhooks.times import iso

if TYPE_CHECKING:
    from airflow.sdk import Context

    from auth0_webhooks.model.events import Position
    from auth0_webhooks.operators.base import RunSettings
    from auth0_webhooks.operators.metrics import Latencies
    from auth0_webhooks.webhook.posting import Figures

log = logging.getLogger(__name__)


def new_report(context: Context, run: RunSettings, **counts: Any) -> Report:
    """The report of a run, with what is known of it so far."""
    return Report(
        route=run.route.name,
        run_id=str(context["run_id"]),
        mode=run.mode,
        window=str(run.window) if run.window else None,
        dry_run=run.dry_run,
        **counts,
    )


def report_of_reading(context: Context, run: RunSettings, fetched: dict[str, Any], counts: dict[str, Any]) -> Report:
    """The report of a run after its reading, before anything is delivered.

    :param fetched: what fetch returns.
    :param counts: those of the filter; empty where nothing was read.
    """
    from auth0_webhooks.model.events import Position

    checkpoint = None if run.window else shown(Position(*fetched["start"]))
    read = ("read", "first_event", "last_event", "gap", "stopped")
    report = new_report(
        context,
        run,
        checkpoint_before=checkpoint,
        checkpoint_after=checkpoint,
        notes=list(fetched["notes"]),
        **{key: fetched[key] for key in read},
        **counts,
    )
    report.enter(fetched)
    report.not_reached = report.selected
    # Whichever task had the param: a dry run never becomes a real run.
    report.dry_run = report.dry_run or fetched["dry_run"]
    return report


def shown(place: Position) -> str:
    """A checkpoint as the report shows it."""
    return f"{place.log_id or 'start'} ({place.date})"


def publish(
    context: Context, run: RunSettings, report: Report, *, known: bool = True, latencies: Latencies | None = None
) -> None:
    """Log the report, store it as XCom ``report``, and send its figures as metrics and in the task's span.

    :param known: whether the report tells how far the route is.
    :param latencies: those of the events that it says were delivered now.
    """
    count_run(report, run.route.retention_days, known=known, latencies=latencies)
    describe_span(vars(report))
    log.info("%s", report.text())
    try:
        context["ti"].xcom_push("report", report.as_dict())
    except Exception:
        # The log has the report, and this error must not hide an earlier one.
        log.exception("the report could not be stored as XCom")


def outcome_of_delivery(report: Report, figures: Figures | None) -> str:
    """How a delivery that did not fail went, in a few words."""
    if figures and figures.held:
        return f"held until {iso(figures.held.until)} ({figures.held.reason})"
    if figures and figures.moved_by_hand:
        return "checkpoint moved by hand; the next run starts from it"
    if not report.read and report.stopped == "rate limit":
        return "nothing was read: the tenant's rate limit is used up but for the reserve; a later run reads"
    if not report.read:
        return "no events in this window" if report.window else "no new events"
    return "everything wanted was delivered" if report.selected else "nothing wanted among what was read"
