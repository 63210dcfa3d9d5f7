"""Reads Airflow connections; errors distinguish a missing connection from an unreachable API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook, Variable
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

from auth0_webhooks.connections.fields import how_to_set
from auth0_webhooks.errors import AirflowUnavailableError, SettingError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def get_connection(conn_id: str) -> Connection:
    """Read a connection.

    Airflow answers "isn't defined" also when its API server cannot be reached. Listing the Variables
    does raise then, so that shows whether "isn't defined" is true.

    :raises SettingError: when there is no such connection, or its extra is not a JSON object.
    :raises AirflowUnavailableError: when Airflow's API server does not answer.
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        try:
            list(Variable.keys(prefix=conn_id))
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(
                f"connection {conn_id!r} cannot be read: Airflow's API server does not answer ({error.error.error})"
            ) from None
        except ImportError:
            # Outside a task (``check --connections``) there is no API server to ask.
            pass
        raise SettingError(f"connection {conn_id!r} is missing: {how_to_set(conn_id)}") from None
    if connection.extra and not isinstance(connection.extra_dejson, dict):
        raise SettingError(f"connection {conn_id!r}: its extra is not a JSON object: {how_to_set(conn_id)}")
    return connection
