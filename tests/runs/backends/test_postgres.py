"""Whole runs and the page once more, with XCom, Variables and everything else of Airflow's on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.backends.elsewhere import run_tests

pytestmark = pytest.mark.airflow


def programs() -> Path | None:
    """Where initdb and postgres are: on the PATH, or where Debian puts them."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "postgres").exists()), None)


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL of this test's own on a free port; yields its URL."""
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server programs here (initdb, postgres): install a postgresql server package to run this")
    # PostgreSQL refuses to run as root, and must be able to reach its folder.
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    home = Path(subprocess.run(["mktemp", "-d"], **user, check=True, capture_output=True, text=True).stdout.strip())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = home / "data"
    initdb = [folder / "initdb", "-D", data, "-U", "airflow", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run(initdb, **user, check=True, capture_output=True, cwd="/")
    server = subprocess.Popen(
        [folder / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", home],
        **user,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        deadline = time.monotonic() + 180
        while subprocess.run(
            [folder / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.1)
        yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # "fast": it waits for no client
        server.wait(120)
        shutil.rmtree(home, ignore_errors=True)


def test_runs_and_the_page_do_the_same_on_postgresql(postgres):
    run_tests("postgres", TEST_DATABASE_URL=postgres)
