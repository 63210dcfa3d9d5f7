"""How long Airflow's DAG processor takes for the DAG file, with 1 and 100 routes, and for a file with one empty DAG."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.support.results import Figure, Part, at_most
from simulation.local_airflow import PROJECT

ROUNDS = 3
EMPTY = """\
from airflow.sdk import DAG, task

with DAG("empty"):

    @task
    def nothing():
        pass

    nothing()
"""
PARSE = """\
import sys, time
began = time.perf_counter()
from airflow.dag_processing.dagbag import DagBag
imported = time.perf_counter()
bag = DagBag(dag_folder=sys.argv[1], bundle_path=sys.argv[2])
assert len(bag.dags) == int(sys.argv[3]) and not bag.import_errors, (bag.dags, bag.import_errors)
print([time.perf_counter() - imported, time.perf_counter() - began])
"""


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure each parse in a separate interpreter."""
    part = Part(
        "Parsing",
        f"Seconds to parse one DAG file in a fresh interpreter, Airflow's own imports left out and included. Median of "
        f"{ROUNDS} rounds, spread behind it.",
        ("file", "the file alone", "imports included"),
    )
    with tempfile.TemporaryDirectory() as home:
        files = {"one empty DAG": _empty(Path(home)), "1 route": _routes(Path(home), 1), "100 routes": _routes(Path(home), 100)}
        took: dict[str, list[list[float]]] = {name: [] for name in files}
        for _ in range(ROUNDS):
            for name, (file, count) in files.items():
                took[name].append(_parse(Path(home), file, count))
        say("parsing is measured")
    for name, rounds in took.items():
        parse, whole = zip(*rounds, strict=True)
        part.rows.append((name, str(Figure("", parse, "s")), str(Figure("", whole, "s"))))
    ratios = tuple(many[1] / one[1] for many, one in zip(took["100 routes"], took["1 route"], strict=True))
    part.targets.append(at_most(Figure("parsing 100 routes / parsing 1, imports included", ratios), 2))
    return [part]


def _empty(home: Path) -> tuple[Path, int]:
    folder = home / "empty"
    folder.mkdir()
    (folder / "empty.py").write_text(EMPTY, encoding="utf-8")
    return folder / "empty.py", 1


def _routes(home: Path, count: int) -> tuple[Path, int]:
    folder = home / f"routes_{count}"
    folder.mkdir()
    shutil.copy(PROJECT / "dags" / "webhook_routes.py", folder)
    routes = {f"route_{number}": {"log_types": ["f", "fp"], "webhook_conn_id": f"webhook_{number}"} for number in range(count)}
    (folder / "webhook_routes.yaml").write_text(json.dumps({"routes": routes}), encoding="utf-8")
    return folder / "webhook_routes.py", count


def _parse(home: Path, file: Path, count: int) -> list[float]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    command = [sys.executable, "-c", PARSE, str(file), str(file.parent), str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"parsing {file} failed:\n{done.stderr[-2000:]}")
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds
