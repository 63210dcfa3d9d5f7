"""Runs a separate real Airflow for this project: SQLite, LocalExecutor, free ports, its own home.

Run as a program (``make airflow``) it keeps its state in .airflow and serves until Ctrl-C.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from typing_extensions import Self

PROJECT = Path(__file__).resolve().parent.parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
START_SECONDS = 120.0
PATIENCE = 5.0
"""How many times longer a busy machine may take than an idle one."""
LOCKED_SECONDS = 120.0
"""How long to retry after SQLite's error "database is locked"."""


SPEED = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
    "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": "airflow,auth0_webhooks.preload",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}
"""Settings for short runs; docs/tuning.md explains them."""


class LocalAirflow:
    """Four Airflow processes on one SQLite database below ``home``. Use it in a with block, or ``start`` and ``stop``.

    The running components are recorded in ``home/running.json``, so that other processes can use them: :meth:`attach`.

    :param dags: the DAG folder; the project's by default.
    :param environment: more environment variables, such as ``AIRFLOW_CONN_*``.
    """

    def __init__(self, home: Path, *, dags: Path = PROJECT / "dags", environment: dict[str, str] | None = None) -> None:
        self.home, self.dags, self._attached = home, dags, False
        self.port = _free_port()
        self._token = ""
        # The user's own Airflow settings and home must not affect this Airflow.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        database = home / "airflow.db"
        self.environment = {
            **clean,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            **_keys(home),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}?timeout={LOCKED_SECONDS:.0f}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            **SPEED,
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }

    @classmethod
    def attach(cls, home: Path) -> Self:
        """The Airflow that another process started in ``home``, and looks after until it stops it."""
        known = json.loads((home / "running.json").read_text(encoding="utf-8"))
        airflow = cls(home, dags=Path(known["dags"]))
        airflow.port, airflow.environment, airflow._attached = known["port"], known["environment"], True
        return airflow

    @property
    def url(self) -> str:
        """Address of the UI and the API."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Create or migrate the database, start every component, wait until each reports that it is healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "running.json").unlink(missing_ok=True)
        self.cli("db", "migrate")
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db", timeout=LOCKED_SECONDS)) as database:
            database.execute("pragma journal_mode = wal")  # readers and a writer do not lock each other out
        for name in COMPONENTS:
            self.start_component(name)
        self.wait_until(self.is_healthy, "Airflow is up", START_SECONDS)

    def start_component(self, name: str) -> None:
        """Start one component in a process group of its own, its output in ``home/NAME.out``."""
        with (self.home / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", name],
                env=self.environment | self._database_of(name),
                cwd=self.home,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._note({**self.pids(), name: process.pid})

    def _database_of(self, name: str) -> dict[str, str]:
        """How a component waits for SQLite: for long, as a scheduler exits that finds it locked; see ``sqlite_connection``."""
        if name != "api-server":
            return {}
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "simulation.sqlite_connection.CONNECT_ARGS",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), self.environment.get("PYTHONPATH")))),
        }

    def stop(self) -> None:
        """Stop every process group that was started: first with SIGTERM, then with SIGKILL."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids().values():
                _signal_group(pid, how)
            deadline = time.monotonic() + 10
            while any(map(_is_alive, self.pids().values())) and time.monotonic() < deadline:
                time.sleep(0.1)
        self._note({})

    def pids(self) -> dict[str, int]:
        """The process id of each component, which is also its process group id."""
        try:
            known: dict[str, int] = json.loads((self.home / "running.json").read_text(encoding="utf-8"))["pids"]
        except FileNotFoundError:
            return {}
        return known

    def _note(self, pids: dict[str, int]) -> None:
        known = {"port": self.port, "dags": str(self.dags), "environment": self.environment, "pids": pids}
        temporary = self.home / "running.tmp"
        temporary.touch(mode=0o600)  # the environment holds keys
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(self.home / "running.json")

    def ended(self) -> list[str]:
        """The components that have ended by themselves."""
        return [name for name, pid in self.pids().items() if not _is_alive(pid) and self.pids().get(name) == pid]

    def kill_component(self, name: str) -> None:
        """Kill one component and all its descendants."""
        pids = self.pids()
        pid = pids.pop(name)
        self._note(pids)
        family = psutil.Process(pid).children(recursive=True)
        _signal_group(pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        while _is_alive(pid):
            time.sleep(0.05)

    def rest(self, method: str, path: str, **body: Any) -> Any:
        """Call Airflow's public API as admin, like the UI does; None if the answer is empty."""
        if not self._token:
            admin = json.dumps({"username": "admin", "password": self.passwords["admin"]}).encode()
            asked = urllib.request.Request(f"{self.url}/auth/token", admin, {"Content-Type": "application/json"})
            self._token = ask(asked)["access_token"]
        request = urllib.request.Request(
            f"{self.url}/api/v2{path}",
            json.dumps(body).encode() if body else None,
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        return ask(request)

    @property
    def passwords(self) -> dict[str, str]:
        """The password of each user, as Airflow's simple auth manager stored them."""
        path = self.home / "simple_auth_manager_passwords.json.generated"
        users: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return users

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``airflow ...``; a failure raises with what it printed."""
        deadline = time.monotonic() + LOCKED_SECONDS
        while True:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", *arguments],
                env=self.environment,
                cwd=self.home,
                capture_output=True,
                text=True,
                check=False,
            )
            locked = done.returncode and "database is locked" in done.stdout + done.stderr
            if not (check and locked and time.monotonic() < deadline):
                break
        if check and done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query on the database."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query, values).fetchall()

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """State of a DAG run, or None."""
        rows = self.rows("select state from dag_run where dag_id = ? and run_id = ?", dag_id, run_id)
        return rows[0][0] if rows else None

    def runs(self, dag_id: str) -> list[tuple[str, str]]:
        """(run id, state) of a DAG's runs in the order in which they started."""
        return [
            (run_id, state)
            for run_id, state in self.rows("select run_id, state from dag_run where dag_id = ? order by id", dag_id)
        ]

    def xcom(self, dag_id: str, run_id: str, key: str, task_id: str = "deliver") -> Any:
        """An XCom of a run, or None."""
        rows = self.rows(
            "select value from xcom where dag_id = ? and run_id = ? and task_id = ? and key = ?", dag_id, run_id, task_id, key
        )
        value = json.loads(rows[0][0]) if rows else None
        return json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value

    def report(self, dag_id: str, run_id: str) -> Any:
        """The report of a route's run: of ``deliver``, or of ``fetch`` where the run ended there; None if there is none."""
        return self.xcom(dag_id, run_id, "report") or self.xcom(dag_id, run_id, "report", "fetch")

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Everything that a task of a run logged."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.log")))

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
        """Start a run as a person does: ``airflow dags trigger``."""
        self.cli("dags", "trigger", dag_id, "--run-id", run_id, *(["--conf", json.dumps(conf)] if conf else []))

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 180.0) -> str:
        """Wait until a run has ended; returns its state."""
        self.wait_until(lambda: self.run_state(dag_id, run_id) in {"success", "failed"}, f"run {run_id} ends", seconds)
        return str(self.run_state(dag_id, run_id))

    def wait_until(self, condition: Any, what: str, seconds: float) -> None:
        """Wait for a condition that an idle machine meets within ``seconds``; raise as soon as a component exits.

        Not where another process looks after the components.
        """
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition():
            for name in () if self._attached else self.ended():
                raise RuntimeError(f"airflow {name} exited unexpectedly:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds * PATIENCE:.0f} s: {what}\n{self.tail('scheduler')}")
            time.sleep(0.2)

    def tail(self, name: str) -> str:
        """The end of what a component has printed."""
        return (self.home / f"{name}.out").read_text(encoding="utf-8", errors="replace")[-3000:]

    def is_healthy(self) -> bool:
        """Whether each component reports that it is healthy."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except OSError:
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor", "triggerer"))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_group(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, how)


def _keys(home: Path) -> dict[str, str]:
    """The keys that the components share; Airflow 3.3 generates none. They are stored, so that encrypted data stays readable."""
    path = home / "keys.json"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        made = {
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        }
        path.write_text(json.dumps(made), encoding="utf-8")
    stored: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return stored


def ask(request: urllib.request.Request) -> Any:
    """The JSON answer of Airflow's API; retries while it is down or answers 500, as it does while SQLite is locked."""
    deadline = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=LOCKED_SECONDS) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > deadline:
                raise
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def login(airflow: LocalAirflow) -> str:
    """User and password of the UI, as Airflow's simple auth manager stored them."""
    return ", ".join(f"user {name}, password {password}" for name, password in airflow.passwords.items())


def main() -> None:
    """Serve until Ctrl-C."""
    connections = {key: value for key, value in os.environ.items() if key.startswith(("AIRFLOW_CONN_", "AIRFLOW__SECRETS__"))}
    airflow = LocalAirflow(PROJECT / ".airflow", environment=connections)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    print(f"Starting Airflow; its state is in {airflow.home} ...", flush=True)
    try:
        with airflow:
            print(f"Airflow is up at {airflow.url} ({login(airflow)})")
            for name in ("auth0_default", "webhook_default"):
                variable = f"AIRFLOW_CONN_{name.upper()}"
                where = f"from {variable}" if variable in connections else f"set it under Admin > Connections, or in {variable}"
                print(f"  connection {name}: {where}")
            print("Then enable the DAG auth0_log_webhooks. Ctrl-C stops Airflow; its state is kept.", flush=True)
            while True:
                time.sleep(3600)
    except (KeyboardInterrupt, SystemExit):
        print("\nAirflow has stopped.")


if __name__ == "__main__":
    main()
