"""The routes of a DAG file in Python, for ``check`` and ``show``: the file is run as Airflow runs it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow.sdk import DAG

# Not public: a DAG that is made by "with DAG(...):" need not have a name in the file, and Airflow finds it here.
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.utils.file import might_contain_dag
from pydantic import ValidationError

from auth0_webhooks.settings.route import Route, describe
from auth0_webhooks.settings.routes_file import Mistake, RoutesFile

_MODULE = "auth0_webhooks_dag_file"


def read_dag_file(path: Path, name: str) -> RoutesFile:
    """The routes whose tasks are in the DAGs of the file, and why it cannot be run, if so.

    :param name: what the mistakes call the file.
    """
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None or not path.is_file():
        return RoutesFile([], {}, [Mistake(name, None, "", "there is no such file: correct the name")], [])
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.modules[_MODULE], sys.path[:0] = module, [str(path.absolute().parent)]
    DagContext.current_autoregister_module_name = _MODULE
    try:
        spec.loader.exec_module(module)
        routes = _routes(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the file raises is what is wrong with it
        return RoutesFile([], {}, [Mistake(name, _line(error, path), "", text) for text in _problems(error)], [])
    finally:
        DagContext.current_autoregister_module_name = None
        DagContext.autoregistered_dags.clear()
        del sys.modules[_MODULE]
        sys.path[:] = before
    notes = []
    if not might_contain_dag(str(path), safe_mode=True):
        notes.append("note: Airflow ignores this file, because it does not contain the words 'airflow' and 'dag': add a comment")
    if not routes:
        notes.append("note: no DAG of this file is a route")
    lines = dict.fromkeys((route.name for route in routes), None)
    return RoutesFile(routes, lines, [], [Mistake(name, None, "", note) for note in notes])


def _routes(module: ModuleType) -> list[Route]:
    dags = [value for value in vars(module).values() if isinstance(value, DAG)]
    dags += sorted((dag for dag, _ in DagContext.autoregistered_dags), key=lambda dag: dag.dag_id)
    found: dict[str, Any] = {}
    for dag in dags:
        for task in dag.tasks:
            route = getattr(task, "route", None)
            if isinstance(route, Route):
                found.setdefault(route.name, route)
    return list(found.values())


def _line(error: BaseException, path: Path) -> int | None:
    """The line of the file that raised the error, directly or in what it called."""
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == path.absolute()), None)


def _problems(error: BaseException) -> list[str]:
    if isinstance(error, ValidationError) and error.title == Route.__name__:
        return [describe(detail) for detail in error.errors()]
    return [f"{type(error).__name__}: {error}"]
