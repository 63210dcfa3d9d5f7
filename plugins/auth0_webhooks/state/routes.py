"""The routes that Airflow knows, whichever DAG files they come from, as a task sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import AssetResult, ErrorResponse, GetAssetByName

from auth0_webhooks.errors import AirflowUnavailableError, SettingError
from auth0_webhooks.names import checkpoint_key, new_events_name
from auth0_webhooks.settings.in_airflow import from_extra
from auth0_webhooks.settings.route import Route


def known_routes() -> list[Route]:
    """Every route that has a checkpoint and whose DAG is there, by name.

    Airflow lets a task list Variables, not DAGs; a route without a checkpoint has not run.

    :raises AirflowUnavailableError: when Airflow does not say.
    """
    suffix = checkpoint_key("")
    try:
        names = sorted(key.removesuffix(suffix) for key in Variable.keys() if key.endswith(suffix))  # noqa: SIM118 - no dict
    except AirflowRuntimeError as error:
        raise AirflowUnavailableError(f"the Variables cannot be listed: {error.error.error}") from None
    return [route for route in map(known_route, names) if route]


def routes_asked_for(name: str | None, own: Iterable[Route]) -> list[Route]:
    """The route of this name, or all: those of the DAG file, as it says, and those of other files, as Airflow knows them.

    :param own: the routes of the DAG file.
    :raises SettingError: when there is no route of this name.
    :raises AirflowUnavailableError: when Airflow does not say.
    """
    here = {route.name: route for route in own}
    if name in here:
        return [here[name]]
    if name is None:
        return [*({route.name: route for route in known_routes()} | here).values()]
    route = known_route(name)
    if route is None:
        known = sorted({route.name for route in known_routes()} | here.keys())
        raise SettingError(f"param 'route': there is no route {name!r}; there are {', '.join(known) or 'none'}")
    return [route]


def known_route(name: str) -> Route | None:
    """The route of this name; None where there is none.

    :raises AirflowUnavailableError: when Airflow does not say.
    """
    # Airflow's public way to an asset's extra begins with a task's inlets, and these would have to be named beforehand.
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer: Any
    try:
        answer = SUPERVISOR_COMMS.send(GetAssetByName(name=new_events_name(name)))
    except AirflowRuntimeError as error:
        answer = error.error
    if isinstance(answer, ErrorResponse):
        if answer.error == ErrorType.ASSET_NOT_FOUND:
            return None
        raise AirflowUnavailableError(f"the settings of route {name!r} cannot be read: {answer.error}")
    route = from_extra(answer.extra) if isinstance(answer, AssetResult) else None
    return route if route and route.name == name else None
