"""Tells a person when a route goes bad, once a day while it stays bad, and when it is well again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from auth0_webhooks.errors import DeliveryStoppedError, EndpointHeldError, WebhookRouteError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from auth0_webhooks.health import Change
    from auth0_webhooks.route import Route

log = logging.getLogger(__name__)


def note_success(context: Context) -> None:
    """Callback after the success of ``deliver``: take down how the live run ended, and tell whom it concerns."""
    _note_run(context, failed=False)


def note_failure(context: Context) -> None:
    """Callback after the last failure of a task, as :func:`note_success`; also where the task was killed and says nothing.

    A task that a person has ended, or that a later one has taken over from, says nothing about the route.
    """
    if not isinstance(context.get("exception"), DeliveryStoppedError):
        _note_run(context, failed=True)


def _note_run(context: Context, *, failed: bool) -> None:
    task: Any = context["task"]
    try:
        run = task.run_settings(context)
    except WebhookRouteError:
        return  # a form filled in wrong is told to the person who did it
    if run.window or run.dry_run:
        return
    try:
        report = context["ti"].xcom_pull(task_ids="deliver", key="report") or {}
        problem = _failure(context.get("exception")) if failed else _problem(report, task.route)
        _note(task.route, str(context["run_id"]), problem, report, context)
    except Exception:
        log.exception("the state of route %s could not be noted, or nobody could be told", task.route.name)


def _failure(exception: Any) -> str:
    if isinstance(exception, EndpointHeldError):
        return f"held: {exception}"
    if isinstance(exception, WebhookRouteError):
        return f"failed: {exception}"
    return f"failed: {type(exception).__name__ if isinstance(exception, BaseException) else 'its task was killed'}"


def _problem(report: dict[str, Any], route: Route) -> str | None:
    """What is wrong with a route after a run that succeeded; None when it is well."""
    if str(report.get("outcome", "")).startswith("held"):
        return str(report["outcome"])
    if report.get("lag_seconds", 0) > route.alarm_lag_seconds:
        return f"events have been waiting for {report['lag_seconds']:,.0f} s"
    return None


def _note(route: Route, run_id: str, problem: str | None, report: dict[str, Any], context: Context) -> None:
    from airflow.sdk.observability import stats

    from auth0_webhooks.health import Health

    if report.get("gap"):
        _tell(route, "gap", f"events of this time can no longer be read: {report['gap']}", run_id, context)
    if problem:
        stats.incr("auth0_webhooks.failed_runs", tags={"route": route.name})
    health = Health(route.name)
    before = health.load()
    change = health.note(problem, run_id)
    if change:
        told = _tell(route, change, problem or (before.problem if before else ""), run_id, context)
        if not told and problem:
            health.forget_telling()


def _tell(route: Route, change: Change | str, problem: str, run_id: str, context: Context) -> bool:
    """Send it by Airflow's HTTP notifier; False when it could not be sent."""
    from airflow.providers.http.notifications import HttpNotifier

    text = f"{route.name} is {change}: {problem}" if change != "gap" else f"{route.name} has a gap: {problem}"
    if change == "well":
        text = f"{route.name} is well again. It was bad: {problem}"
    log.warning("%s", text)
    if not route.alarm_conn_id:
        return True
    payload = {"text": text, "route": route.name, "state": change, "problem": problem, "run_id": run_id}
    try:
        HttpNotifier(http_conn_id=route.alarm_conn_id, json=payload, extra_options={"timeout": 20}).notify(context)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next run tries again
        log.error("the alarm could not be sent by connection %r: %s", route.alarm_conn_id, type(error).__name__)  # noqa: TRY400
        return False
    return True
