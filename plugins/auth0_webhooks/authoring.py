"""Routes in a DAG file: the DAGs of a route file or of routes written in Python, or a route's tasks in a DAG of one's own."""

from __future__ import annotations

import inspect
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, TaskGroup, get_parsing_context
from airflow.sdk.definitions.param import ParamsDict

from auth0_webhooks.errors import SettingError
from auth0_webhooks.operators.base import RouteOperator
from auth0_webhooks.route_dag import Callback, add_tasks, build_dag, route_params, route_tags
from auth0_webhooks.settings.route import Route
from auth0_webhooks.settings.routes_file import beside, load_routes, read_routes
from auth0_webhooks.waits import WAITS, Waits

log = logging.getLogger(__name__)


def build_dags(routes: Iterable[Route] | str | os.PathLike[str]) -> dict[str, DAG]:
    """Build one DAG per route, for ``globals().update(build_dags(...))`` in a DAG file.

    A task needs only its own DAG, so where Airflow parses the file for a task, only that one is read and built: what a task
    costs does not depend on the number of routes.

    :param routes: the routes, or the path of a route file; a relative path counts from the DAG file that calls.
    :returns: the DAGs by their ids, which are the names of the routes. Broken routes of a route file are left out, so that the
        others go on running; :func:`check_routes` in a DAG file of its own shows them among Airflow's import errors.
    :raises SettingError: when two routes have one name, or when a route file has no good route at all.
    """
    wanted = get_parsing_context().dag_id
    if isinstance(routes, str | os.PathLike):
        path = beside(routes, _calling_file())
        if wanted and (only := read_routes(path, path.name, wanted)).routes:
            return {route.name: build_dag(route) for route in only.routes}
        found = _good_routes(path)
    else:
        found = _checked(list(routes))
    return {route.name: build_dag(route, found) for route in [one for one in found if one.name == wanted] or found}


def check_routes(path: str | os.PathLike[str]) -> None:
    """Raise what is wrong in a route file, for a DAG file of its own: Airflow then shows it among its import errors.

    Of its own, because an import error stops every DAG of its file.

    :param path: the route file; a relative path counts from the DAG file that calls.
    :raises SettingError: naming each mistake by file, route and key.
    """
    if errors := load_routes(beside(path, _calling_file()))[1]:
        raise SettingError("\n".join(errors))


def route_tasks(route: Route, *, group_id: str = "route", waits: Waits = WAITS) -> TaskGroup:
    """Add a route's three tasks, as a TaskGroup, to the DAG of the ``with`` around the call.

    The DAG bears the route's name, has ``schedule=route_schedule(route)``, ``max_active_runs=1`` and ``catchup=False``. Retries
    and callbacks come with the tasks; callbacks in the DAG's ``default_args`` are called as well. The params of a run (replay,
    dry run and so on) are added to the DAG's own.

    :param group_id: of the TaskGroup; the tasks are ``GROUP.fetch``, ``GROUP.filter`` and ``GROUP.deliver``.
    :returns: the group, for ``before >> route_tasks(route) >> after``.
    :raises SettingError: when there is no DAG, or naming all that the DAG lacks.
    """
    try:
        group = TaskGroup(group_id, tooltip=f"{route.auth0_conn_id} to {route.webhook_conn_id}")
    except RuntimeError:
        raise SettingError(f"route_tasks(Route(name={route.name!r})) has no DAG: call it inside 'with DAG(...):'") from None
    dag = group.dag
    if held := next((task.route.name for task in dag.tasks if isinstance(task, RouteOperator)), None):
        raise SettingError(f"DAG {dag.dag_id!r} already has the tasks of route {held!r}: a DAG holds one route")
    params, own = route_params(route), {name: dag.params.get_param(name) for name in dag.params}
    if taken := sorted(params.keys() & own.keys()):
        raise SettingError(f"DAG {dag.dag_id!r} has params of its own by the names of a route's: {', '.join(taken)}")
    with group:
        add_tasks(
            route,
            waits,
            on_failure=_callbacks(dag, "on_failure_callback"),
            on_success=_callbacks(dag, "on_success_callback"),
        )
    # Only now: Airflow would copy them, texts and all, into each task.
    dag.params = ParamsDict({**own, **params})
    for tag in route_tags(route):
        dag.tags.add(tag)
    return group


def _callbacks(dag: DAG, key: str) -> Sequence[Callback]:
    given: Any = dag.default_args.get(key)
    return () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)


def _checked(routes: list[Any]) -> list[Route]:
    for route in routes:
        if not isinstance(route, Route):
            raise SettingError(f"build_dags: expected routes, or the path of a route file; got {type(route).__name__} among them")
    twice = [name for name, count in Counter(route.name for route in routes).items() if count > 1]
    if twice:
        raise SettingError(
            f"build_dags: two routes are named {', '.join(map(repr, twice))}: the name is the id of the route's DAG"
        )
    return routes


def _good_routes(path: Path) -> list[Route]:
    routes, errors = load_routes(path)
    if errors and not routes:
        raise SettingError("\n".join(errors))
    for error in errors:
        log.error("%s; the DAGs of the other routes are built", error)
    return routes


def _calling_file() -> Path:
    """The file whose code called the function that calls this."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return Path(frame.f_globals.get("__file__") or "") if frame else Path()
