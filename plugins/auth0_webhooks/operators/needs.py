"""What a task of a route needs of the DAG that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.sdk import Asset, AssetAll, AssetAny, AssetOrTimeSchedule, CronDataIntervalTimetable

from auth0_webhooks.errors import SettingError
from auth0_webhooks.names import new_events_name
from auth0_webhooks.operators.alarm import note_failure
from auth0_webhooks.settings.in_airflow import to_extra
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.xcom_batches import remove_batches


def check_dag(task: Any, policy: type) -> None:
    """Make sure of what a route relies on, while its DAG file is parsed: without it events would get lost or be sent twice.

    :param policy: the class of the retry policy that the task should have.
    :raises SettingError: naming all that is missing.
    """
    if task.get_closest_mapped_task_group():
        raise SettingError(
            f"DAG {task.dag.dag_id!r}: task {task.task_id!r} of route {task.route.name!r} is in a task group that is mapped "
            "(expand), and each copy would send the same events: call route_tasks(route) outside of it"
        )
    missing = [*_missing_in_dag(task.dag, task.route), *_missing_in_task(task, policy)]
    if missing:
        raise SettingError(
            f"DAG {task.dag.dag_id!r} lacks what task {task.task_id!r} of route {task.route.name!r} needs: {'; '.join(missing)}"
        )


def _missing_in_dag(dag: Any, route: Route) -> Iterator[str]:
    timetable = dag.timetable
    cron = timetable.timetable if isinstance(timetable, AssetOrTimeSchedule) else timetable
    if dag.dag_id != route.name:
        yield f"the id {route.name!r}: Variables, assets and the page know a route by the id of its DAG, so both are one name"
    if not _is_cron(cron, route.schedule):
        yield (
            f"data intervals by the route's schedule {route.schedule!r} in UTC, without which it cannot be backfilled "
            "(schedule=route_schedule(route))"
        )
    if not _starts_alone(getattr(timetable, "asset_condition", None), route):
        yield (
            f"the asset {new_events_name(route.name)!r} of route_schedule(route), which on its own starts a run when there is "
            "something to read, and holds the settings for the page (schedule=route_schedule(route))"
        )
    if dag.max_active_runs != 1:
        yield "max_active_runs=1: two runs at a time would send the same events"
    if dag.catchup:
        yield "catchup=False: each interval that was missed would be a run, and the first of them reads everything"


def _missing_in_task(task: Any, policy: type) -> Iterator[str]:
    if not task.retries or not isinstance(task.retry_policy, policy):
        yield "retries, by the policy that waits as long as the other side asks (route_tasks(route) brings them)"
    if any(callback not in task.on_failure_callback for callback in (remove_batches, note_failure)):
        yield "callbacks, which remove the batches and notify people (route_tasks(route) brings them)"


def _is_cron(timetable: Any, schedule: str) -> bool:
    if not isinstance(timetable, CronDataIntervalTimetable):
        return False
    wanted = CronDataIntervalTimetable(schedule, timezone="UTC")  # it resolves @daily and the like
    zone = getattr(timetable.timezone, "name", timetable.timezone)
    return (timetable.expression, zone) == (wanted.expression, "UTC")


def _starts_alone(condition: Any, route: Route) -> bool:
    """Whether the route's asset is enough: ``Asset("a") | asset``, and not ``Asset("a") & asset``."""
    if isinstance(condition, AssetAny):
        return any(_starts_alone(one, route) for one in condition.objects)
    if isinstance(condition, AssetAll):
        return all(_starts_alone(one, route) for one in condition.objects)
    return isinstance(condition, Asset) and (condition.name, condition.extra) == (new_events_name(route.name), to_extra(route))
