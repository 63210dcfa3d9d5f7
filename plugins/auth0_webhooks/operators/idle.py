"""A live run that read nothing ends after ``fetch``: for ``filter`` and ``deliver`` Airflow starts no process.

Only where ``deliver`` would do nothing but store the position of a healthy route. Everything else is left to it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from auth0_webhooks.errors import WebhookRouteError
from auth0_webhooks.names import DELIVER, FILTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from auth0_webhooks.model.checkpoint import Checkpoint
    from auth0_webhooks.operators.base import RouteOperator, RunSettings
    from auth0_webhooks.operators.fetch import FetchOperator
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.state.health import State
    from auth0_webhooks.state.variables import CheckpointVariable

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """What ``fetch`` found when it began: the checkpoint and its Variable, and what is noted of the route's health, if anything.

    ``first_run``: there was no checkpoint. It may have stored one since, where the route starts at ``now``.
    """

    variable: CheckpointVariable
    checkpoint: Checkpoint | None
    health: State | None
    first_run: bool


def end_run(fetch: FetchOperator, context: Context, run: RunSettings, place: Place, fetched: dict[str, Any]) -> None:
    """End a run that read nothing, if nothing else is left to do; else return, and all three tasks run.

    It stores the checkpoint and pushes what the other two tasks would have pushed, and what ``fetch`` returns: Airflow drops the
    result of a task that skips others.

    :param fetched: what ``fetch`` returns.
    :raises DownstreamTasksSkipped: which Airflow takes for the success of ``fetch``.
    """
    others = _others(fetch)
    if not others or not _is_idle(place, fetched) or not _could_deliver(run.route) or not _store(place, fetched):
        return
    from auth0_webhooks.model.events import Position
    from auth0_webhooks.operators.reporting import outcome_of_delivery, publish, report_of_reading, shown

    report = report_of_reading(context, run, fetched, {})
    report.checkpoint_after = shown(Position(*fetched["end"]))
    report.outcome = outcome_of_delivery(report, None)
    context["ti"].xcom_push("return_value", fetched)
    publish(context, run, report)
    fetch.skip(context["ti"], others)


def _others(fetch: FetchOperator) -> Sequence[RouteOperator]:
    """The route's tasks after ``fetch``; none where a person's tasks or callbacks wait for them in a DAG of their own."""
    from auth0_webhooks.operators.alarm import note_success
    from auth0_webhooks.state.xcom_batches import remove_batches

    if not fetch.has_dag():  # type: ignore[no-untyped-call]
        return ()
    later: list[Any] = [task for task in fetch.get_flat_relatives(upstream=False) if getattr(task, "part", None)]
    if sorted(task.part for task in later) != sorted((FILTER, DELIVER)):
        return ()
    ours = {task.task_id for task in later}
    waited_for = any(task.downstream_task_ids - ours for task in later)
    told = any(set(task.on_success_callback or ()) - {remove_batches, note_success} for task in later)
    return () if waited_for or told else later


def _is_idle(place: Place, fetched: dict[str, Any]) -> bool:
    """Whether nothing was read, and nothing is open from earlier runs."""
    checkpoint = place.checkpoint
    plain = checkpoint is None or not (checkpoint.acknowledged or checkpoint.hold)
    return not fetched["read"] and not fetched["stopped"] and not fetched["gap"] and plain and place.health is None


def _could_deliver(route: Route) -> bool:
    """Whether the settings of the webhook are usable; if not, ``deliver`` says so before an event waits for it."""
    from auth0_webhooks.hooks.webhook import endpoint_of, payload_of, redaction_of

    try:
        endpoint_of(route, payload_of(route))
        redaction_of(route)
    except WebhookRouteError as error:
        log.info("deliver runs to report it: %s", error)
        return False
    return True


def _store(place: Place, fetched: dict[str, Any]) -> bool:
    """Store where reading ended, as ``deliver`` does; False if somebody else has stored a checkpoint, or it cannot be stored."""
    from auth0_webhooks.delivery.checkpoint_keeper import CheckpointMovedError
    from auth0_webhooks.model.checkpoint import Checkpoint
    from auth0_webhooks.model.events import Position

    end = Position(*fetched["end"])
    before = place.checkpoint
    after = replace(before, position=end) if before else Checkpoint(end)
    if after == before:
        return True
    try:
        place.variable.save(after)
    except (CheckpointMovedError, WebhookRouteError) as error:
        log.info("deliver goes on: %s", error)
        return False
    place.variable.close()
    return True
