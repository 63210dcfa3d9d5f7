"""Airflow's Variables in memory, for tests without Airflow."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from auth0_webhooks.state import health


class StoredVariables:
    """Variables; ``late`` holds what a frozen process was writing."""

    def __init__(self):
        self.values, self.late = {}, []

    def get(self, key):
        if key not in self.values:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND))
        return self.values[key]

    def keys(self, prefix):
        return [key for key in self.values if key.startswith(prefix)]

    def delete(self, key):
        self.values.pop(key, None)


def health_in_memory(monkeypatch):
    """Let the health of routes be stored in the dict that is returned."""
    values = {}
    monkeypatch.setattr(health, "read_rare_variable", values.get)
    monkeypatch.setattr(health.Variable, "set", lambda key, text, **_: values.update({key: text}))
    monkeypatch.setattr(health.Variable, "delete", values.pop)
    return values
