"""What task processes are forked from: it has everything that a route's tasks import, and nothing that a fork could break."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

LOOK = """
import json, os, sys, threading
import auth0_webhooks.preload
open_files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
print(json.dumps({
    "modules": list(sys.modules),
    "threads": [thread.name for thread in threading.enumerate()],
    "sockets": [path for path in open_files if path.startswith("socket:")],
}))
"""
pytestmark = pytest.mark.airflow

NOT_FOR_TASKS = {"__main__", "audit", "cli", "dead_letter_dag", "page", "provider", "route", "watch"}
"""The parts of the library that no task of a route imports."""


@pytest.fixture(scope="module")
def preloaded():
    """What is there in a process that has preloaded."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_it_has_all_of_the_library_that_tasks_import(preloaded):
    library = PROJECT / "plugins" / "auth0_webhooks"
    parts = {name_of(path.relative_to(library)) for path in library.rglob("*.py")}
    missing = {part for part in parts if f"auth0_webhooks.{part}".removesuffix(".") not in preloaded["modules"]}
    elsewhere = {"hooks.connection_types", "settings.schema", "filtering.budget", "state.routes"}
    assert {part for part in missing if part.partition(".")[0] not in NOT_FOR_TASKS} <= elsewhere


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def test_it_has_what_airflow_and_the_http_provider_import_for_a_task(preloaded):
    assert {"requests", "airflow.providers.http.hooks.http", "airflow.dag_processing.dagbag"} <= set(preloaded["modules"])
    assert "airflow.sdk.execution_time.task_runner" in preloaded["modules"]


def test_it_starts_no_thread_and_opens_no_socket_so_that_it_can_be_forked(preloaded):
    assert preloaded["threads"] == ["MainThread"]
    assert preloaded["sockets"] == []
