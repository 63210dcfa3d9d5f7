"""Sends an alarm when a route becomes unhealthy, once a day while it stays so, and when it is healthy again."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTimeout

from auth0_webhooks.connections.fields import SIGNING_PREFIX, SIGNING_SECRETS, WEBHOOK_SECRETS
from auth0_webhooks.errors import DeliveryStoppedError, EndpointHeldError, SettingError, WebhookRouteError
from auth0_webhooks.names import DELIVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from auth0_webhooks.settings.route import Route

log = logging.getLogger(__name__)


def note_success(context: Context) -> None:
    """Callback after the success of ``deliver``: note how the live run ended, and send the alarms that are due."""
    _note_run(context, failed=False)


def note_failure(context: Context) -> None:
    """Callback after the last failure of a task, as :func:`note_success`; also if the task was killed and raised nothing.

    A task that a person has ended, or that a later one has taken over from, says nothing about the route.
    """
    if not isinstance(context.get("exception"), DeliveryStoppedError):
        _note_run(context, failed=True)


def _note_run(context: Context, *, failed: bool) -> None:
    from auth0_webhooks.operators.metrics import count_failed

    task: Any = context["task"]
    try:
        try:
            run = task.run_settings(context)
        except WebhookRouteError:
            return  # the person who filled in the form sees the error
        if run.window or run.dry_run:
            return
        # Of another task's failure the report says nothing: it would be that of a former try.
        report = (context["ti"].xcom_pull(task_ids=task.task_id, key="report") or {}) if task.part == DELIVER else {}
        if failed:
            count_failed(task.route.name)
        exception = context.get("exception")
        problem = _failure(exception, task.task_id) if failed else _problem(report, task.route)
        error = exception if failed and isinstance(exception, WebhookRouteError) else None
        _note(task.route, problem, report.get("gap"), error, context)
    except Exception:
        log.exception("the state of route %s could not be noted, or its alarm could not be sent", task.route.name)


def _failure(exception: Any, task_id: str = DELIVER) -> str:
    if isinstance(exception, AirflowTaskTimeout):
        return f"failed: {task_id} did not end in its time: something that it waits for hangs, or there is too much to read"
    if isinstance(exception, EndpointHeldError):
        return f"held: {exception}"
    if isinstance(exception, WebhookRouteError):
        return f"failed: {exception}"
    return f"failed: {type(exception).__name__ if isinstance(exception, BaseException) else 'its task was killed'}"


def _problem(report: dict[str, Any], route: Route) -> str | None:
    """What is wrong with a route after a run that succeeded; None if it is healthy."""
    if str(report.get("outcome", "")).startswith("held"):
        return str(report["outcome"])
    if report.get("lag_seconds", 0) > route.alarm_lag_seconds:
        return f"events have been waiting for {report['lag_seconds']:,.0f} s"
    return None


def _note(route: Route, problem: str | None, gap: str | None, error: WebhookRouteError | None, context: Context) -> None:
    from auth0_webhooks.state.health import Health

    health, run_id = Health(route.name), str(context["run_id"])
    first, name = getattr(error, "first", None), type(error).__name__ if error else ""
    told = 0
    for change, words in health.note(problem, run_id, gap, first=first, sets_aside=route.on_reject == "dead_letter", error=name):
        if not tell(route, change, words, run_id, context):
            break
        told += 1
    health.told(told)


_TEXTS = {
    "gap": "{route} has a gap: events of this time can no longer be read: {problem}",
    "well": "{route} is healthy again. The problem was: {problem}",
    "unaccounted": "{route} has events that are not accounted for: {problem}",
    "summary": "{route}, {problem}",
}


def tell(route: Route, change: str, problem: str, run_id: str, context: Context, **more: Any) -> bool:
    """Send an alarm by Airflow's HTTP notifier, where the route has a connection for it; False when it could not be sent.

    :param change: its ``state``.
    :param more: what it says besides, by key.
    """
    from airflow.providers.http.notifications import HttpNotifier

    text = _TEXTS.get(change, "{route} is {change}: {problem}").format(route=route.name, change=change, problem=problem)
    (log.info if change == "summary" else log.warning)("%s", text)
    if not route.alarm_conn_id:
        return True
    payload = {"text": text, "route": route.name, "state": change, "problem": problem, "run_id": run_id, **more}
    try:
        check_alarm_connection(route)
        HttpNotifier(http_conn_id=route.alarm_conn_id, json=payload, extra_options={"timeout": 20}).notify(context)
    except WebhookRouteError as error:
        log.error("the alarm could not be sent: %s", error)  # noqa: TRY400 - its message says all
        return False
    except Exception as error:  # noqa: BLE001 - whatever it is, the next run tries again
        log.error("the alarm could not be sent by connection %r: %s", route.alarm_conn_id, type(error).__name__)  # noqa: TRY400
        return False
    return True


def check_alarm_connection(route: Route) -> None:
    """Make sure that no secret would go along with an alarm: Airflow's notifier sends what an extra holds as request headers.

    :raises SettingError: when the connection of alarms is missing, or holds secrets that sign or make pseudonyms, as the
        connection of a webhook does.
    :raises AirflowUnavailableError: when it cannot be read.
    """
    from auth0_webhooks.connections.lookup import get_connection

    if not route.alarm_conn_id:
        return
    found = sorted(set(secrets_in(get_connection(route.alarm_conn_id).extra_dejson)))
    if found:
        raise SettingError(
            f"route {route.name!r}: key 'alarm_conn_id': connection {route.alarm_conn_id!r} holds {' and '.join(found)}, which "
            "would be sent along with each alarm: give alarms a connection of their own, not one of a webhook. Until then no "
            "alarm of this route is sent"
        )


def _spelled(name: str) -> str:
    """A name as it is compared: a header ``X-Signing-Secret`` is what the key ``signing_secrets`` is."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("s")


_SECRETS = {_spelled(key): words for key, words in WEBHOOK_SECRETS.items()}


def secrets_in(value: Any) -> Iterator[str]:
    """Which secrets of a webhook a connection's extra holds, in words: wherever in it, and however their names are spelled."""
    if isinstance(value, dict):
        for name, inner in value.items():
            spelled = _spelled(name)
            # The form of a webhook's connection stores what was left empty, too.
            yield from (words for part, words in _SECRETS.items() if inner and part in spelled)
            yield from secrets_in(name)
            yield from secrets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner)
    elif isinstance(value, str):
        if SIGNING_PREFIX in value.lower():
            yield WEBHOOK_SECRETS[SIGNING_SECRETS]
        # A connection that is written as a URI holds what is nested as text.
        if value.lstrip().startswith(("{", "[")):
            with contextlib.suppress(ValueError, RecursionError):
                yield from secrets_in(json.loads(value))


def alarm_note(route: Route) -> str | None:
    """Why no alarm of this route can be sent, for a run's log and report; None if it can be, or if that is unknown."""
    try:
        check_alarm_connection(route)
    except SettingError as error:
        return str(error)
    except WebhookRouteError:
        pass
    return None
