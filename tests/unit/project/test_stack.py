"""docker-compose.yaml with a real engine (``make compose-test``): demo profile, two workers, one stopped, one killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import uuid
from urllib.parse import quote

import pytest

from demo.stack_demo import CONNECTIONS
from stack import write_env
from tests.conftest import PROJECT

pytestmark = pytest.mark.skipif(not os.environ.get("COMPOSE_TEST"), reason="make compose-test runs these: they take minutes")

EXCLUDED = {"sapi", "fapi"}
OWN = (".env", "airflow.env", "connections.env")
MOST_REPEATS = 500 + 5
"""What README.md promises for whatever is killed: 500 + concurrent_calls."""


class Stack:
    """A stack of this test's own: its own project name, port, keys and image, in a copy of the project."""

    def __init__(self, folder):
        self.folder, self.name = folder, f"auth0-test-{uuid.uuid4().hex[:8]}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("dags", "plugins", "demo", "simulation"):
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        copied = (line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!"))
        files = ["docker-compose.yaml", "Dockerfile", ".dockerignore"]
        files += [f"{name}.example" for name in OWN]
        files += [name for name in copied if (PROJECT / name).is_file()]
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
        (folder / "docker-compose.yaml").write_text(with_local_images((folder / "docker-compose.yaml").read_text()))
        write_env.main(folder)
        env = folder / ".env"
        env.write_text(re.sub(r"(?m)^COMPOSE_PROJECT_NAME=.*$", f"COMPOSE_PROJECT_NAME={self.name}", env.read_text()))
        # One connection comes from the environment; the demo stores the other one in the database, encrypted.
        with (folder / "connections.env").open("a", encoding="utf-8") as file:
            file.write(f"AIRFLOW_CONN_AUTH0_DEFAULT='{json.dumps(CONNECTIONS['auth0_default'])}'\n")
        # The environment goes before .env.
        self.environment = {**os.environ, "AIRFLOW_PORT": str(self.port), "AIRFLOW_IMAGE": f"{self.name}:test"}
        self.environment.pop("COMPOSE_PROJECT_NAME", None)

    @property
    def settings(self):
        """What .env holds."""
        return write_env.settings((self.folder / ".env").read_text(encoding="utf-8"))

    def compose(self, *arguments, check=True, seconds=600, folder=None):
        """Run ``docker compose``, in the stack's folder or another one; a failure shows its output. Returns the output."""
        command = ["docker", "compose", "--profile", "demo", *arguments]
        done = subprocess.run(
            command, cwd=folder or self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        assert not check or done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{(done.stdout + done.stderr)[-4000:]}"
        return done.stdout

    def containers(self, *, every=False):
        """Service -> [(container id, what docker says of it)]."""
        label = f"label=com.docker.compose.project={self.name}"
        shown = '{{.Label "com.docker.compose.service"}}\t{{.ID}}\t{{.Status}}'
        rows = docker("ps", "--filter", label, "--format", shown, *(["--all"] if every else [])).splitlines()
        found = {}
        for service, container, status in (row.split("\t") for row in rows):
            found.setdefault(service, []).append((container, status))
        return found

    def memory(self):
        """What each container uses, as docker tells it."""
        own = [container for found in self.containers().values() for container, _ in found]
        return docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.CPUPerc}}", *own)

    def health(self, service, **environment):
        """What the health check of a service's first container says: the exit code and the sentence."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        check = [self.containers()[service][0][0], "python", "/opt/airflow/stack/health.py", service]
        done = subprocess.run(["docker", "exec", *variables, *check], capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, (done.stdout + done.stderr).strip()

    def demo(self, service, order=""):
        """What a demo service tells, or does."""
        curl = ["curl", "--silent", "--fail", *(["-X", "POST"] if order else []), f"http://localhost:8090/demo{order}"]
        return json.loads(self.compose("exec", "-T", service, *curl))

    def rows(self, query):
        """Look into the database."""
        shown = self.compose("exec", "-T", "postgres", "psql", "--username=airflow", "-At", "-F", "\t", "-c", query)
        return [tuple(line.split("\t")) for line in shown.splitlines()]

    @property
    def wanted(self):
        return {log_id for log_id, kind in self.demo("tenant")["events"] if kind not in EXCLUDED}

    @property
    def all_arrived(self):
        return not self.wanted - set(self.demo("receiver")["accepted"])

    def slow_delivery(self, count):
        """Log events for a webhook that takes its time; returns the id of the container that delivers them, some arrived."""
        self.demo("receiver", "?delay=0.1")
        before = len(self.demo("receiver")["accepted"])
        self.demo("tenant", f"?add={count}")
        wait(lambda: len(self.demo("receiver")["accepted"]) > before + 100, "a delivery is under way", 90)
        ((host,),) = self.rows("select hostname from task_instance where task_id = 'deliver' and state = 'running'")
        return host

    @property
    def stored_batches(self):
        """The files in which batches lie, and what the database holds of them."""
        files = self.compose("exec", "-T", "api-server", "find", "/opt/airflow/xcom", "-type", "f").split()
        return files, self.rows("select value #>> '{}' from xcom where key like 'batch%'")

    @property
    def settled(self):
        """Whether no run is under way."""
        return not self.rows("select 1 from dag_run where state in ('queued', 'running')")


def docker(*arguments):
    """Run ``docker``; returns its output."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def with_local_images(text):
    """docker-compose.yaml without the digest of each image that the engine has under its tag only."""

    def local(found):
        tag, digest = found.groups()
        known = {
            name: not subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode
            for name in (tag, tag + digest)
        }
        return tag if known[tag] and not known[tag + digest] else tag + digest

    return re.sub(r"(?<=image: )(\S+)(@sha256:\w+)", local, text)


def wait(condition, what, seconds):
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """The stack with the demo profile and two workers; nothing of it is left afterwards."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers here: only the file was checked, the stack was not started")
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.compose("build", "init", seconds=1800)
        stack.compose("up", "-d", "--scale", "worker=2", seconds=1200)
        yield stack
    finally:
        print(stack.compose("logs", "--no-color", "--tail", "5", check=False)[-6000:])
        stack.compose("down", "--volumes", "--remove-orphans", check=False)
        subprocess.run(["docker", "image", "rm", f"{stack.name}:test"], capture_output=True, check=False)
        assert not stack.containers(every=True)
        assert not docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={stack.name}")


def test_every_service_becomes_healthy(stack):
    lasting = {"postgres", "redis", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "tenant", "receiver"}

    def healthy():
        found = stack.containers()
        return lasting <= found.keys() and all("(healthy)" in status for name in lasting for _, status in found[name])

    began = time.monotonic()
    wait(healthy, "every service is healthy", 300)
    print(f"healthy {time.monotonic() - began:.0f} s after docker compose up had returned\n{stack.memory()}")
    assert len(stack.containers()["worker"]) == 2


def test_a_copy_of_the_folder_is_the_same_stack(stack, tmp_path):
    for name in ("docker-compose.yaml", *OWN):
        shutil.copy(stack.folder / name, tmp_path)
    rows = stack.compose("ps", "--quiet", "postgres", folder=tmp_path)
    assert rows
    assert rows == stack.compose("ps", "--quiet", "postgres")


def test_each_service_knows_only_the_keys_that_it_needs(stack):
    written = stack.settings
    knows = {
        service: {key for key in write_env.FRESH if written[key] in str(json.loads(docker("inspect", found[0][0]))[0]["Config"])}
        for service, found in stack.containers(every=True).items()
    }
    assert knows == {
        "postgres": {"POSTGRES_PASSWORD"},
        "redis": {"REDIS_PASSWORD"},
        "init": {"POSTGRES_PASSWORD", "FERNET_KEY", "ADMIN_PASSWORD"},
        "api-server": {"POSTGRES_PASSWORD", "FERNET_KEY", "JWT_SECRET", "API_SECRET_KEY"},
        "scheduler": {"POSTGRES_PASSWORD", "FERNET_KEY", "JWT_SECRET", "REDIS_PASSWORD"},
        "dag-processor": {"POSTGRES_PASSWORD", "FERNET_KEY"},
        "triggerer": {"POSTGRES_PASSWORD", "FERNET_KEY"},
        "worker": {"REDIS_PASSWORD"},
        "demo": {"POSTGRES_PASSWORD", "FERNET_KEY"},
        "tenant": set(),
        "receiver": set(),
    }


def test_redis_answers_nobody_without_its_password(stack):
    assert "NOAUTH" in stack.compose("exec", "-T", "redis", "env", "--unset=REDISCLI_AUTH", "redis-cli", "ping")


def test_no_process_has_a_capability_or_can_gain_one(stack):
    for service, found in stack.containers().items():
        for container, _ in found:
            status = docker("exec", container, "cat", "/proc/1/status")
            assert re.search(r"^CapBnd:\s*0+$", status, re.MULTILINE), service
            assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE), service


def test_the_login_is_the_one_of_env_and_not_admin(stack):
    def log_in(user, password):
        body = json.dumps({"username": user, "password": password})
        call = ["curl", "--silent", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: application/json", "-d", body]
        return stack.compose("exec", "-T", "api-server", *call, "http://localhost:8080/auth/token")

    written = stack.settings
    assert log_in(written["ADMIN_USER"], written["ADMIN_PASSWORD"]) == "201"
    assert log_in("admin", "admin") == "401"


def test_the_demo_runs_the_route_and_every_event_arrives_once(stack):
    wait(lambda: "Exited" in stack.containers(every=True)["demo"][0][1], "the demo has ended", 240)
    said = stack.compose("logs", "--no-color", "demo")
    assert "Exited (0)" in stack.containers(every=True)["demo"][0][1], said
    assert "0 lost" in said


def test_the_log_of_a_task_shows_though_workers_serve_none(stack):
    ((run_id,),) = stack.rows("select run_id from dag_run where state = 'success' order by id limit 1")
    written = stack.settings
    login = json.dumps({"username": written["ADMIN_USER"], "password": written["ADMIN_PASSWORD"]})
    curl = ["exec", "-T", "api-server", "curl", "--silent", "--fail"]
    body = stack.compose(*curl, "-H", "Content-Type: application/json", "-d", login, "http://localhost:8080/auth/token")
    path = f"dags/auth0_log_webhooks/dagRuns/{quote(run_id, safe='')}/taskInstances/deliver/logs/1"
    bearer = f"Authorization: Bearer {json.loads(body)['access_token']}"
    shown = stack.compose(*curl, "-H", bearer, "-H", "Accept: application/json", f"http://localhost:8080/api/v2/{path}")
    assert "accepted" in shown or "delivered" in shown
    assert "Could not read" not in shown


def test_only_what_stands_still_is_unhealthy(stack):
    services = ("scheduler", "dag-processor", "triggerer", "worker")
    wait(lambda: all(stack.health(service)[0] == 0 for service in services), "every service is healthy", 120)
    stack.compose("exec", "-T", "triggerer", "bash", "-c", "kill -STOP -1")
    try:
        wait(lambda: stack.health("triggerer")[0] == 1, "the check sees that the triggerer stands still", 120)
        print(stack.health("triggerer")[1])
        assert [stack.health(service)[0] for service in services] == [0, 0, 1, 0]
    finally:
        stack.compose("exec", "-T", "triggerer", "bash", "-c", "kill -CONT -1")
    wait(lambda: stack.health("triggerer")[0] == 0, "the triggerer is healthy again", 120)


@pytest.mark.parametrize(
    ("frozen", "needed_by"), [("postgres", ("scheduler", "dag-processor", "triggerer")), ("redis", ("worker",))]
)
def test_no_service_is_unhealthy_because_another_does_not_answer(stack, frozen, needed_by):
    stack.compose("pause", frozen)
    try:
        said = {service: stack.health(service) for service in needed_by}
    finally:
        stack.compose("unpause", frozen)
    print(said)
    assert all(code == 0 and sentence.endswith(f"Look at {frozen}") for code, sentence in said.values()), said
    wait(lambda: all("Look at" not in stack.health(service)[1] for service in needed_by), f"{frozen} answers again", 120)


@pytest.mark.parametrize(
    ("service", "server", "variable", "value"),
    [
        (
            "scheduler",
            "PostgreSQL",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "postgresql+psycopg2://airflow:bad-key@postgres/airflow",
        ),
        ("worker", "Redis", "AIRFLOW__CELERY__BROKER_URL", "redis://:bad-key@redis:6379/0"),
    ],
)
def test_a_service_whose_password_is_refused_is_unhealthy(stack, service, server, variable, value):
    code, sentence = stack.health(service, **{variable: value})
    assert code == 1
    assert f"{server} refuses the password of the {service}" in sentence
    assert "bad-key" not in sentence


def test_a_run_triggered_by_hand_delivers(stack):
    wait(lambda: stack.settled, "the demo's runs have ended", 60)
    stack.demo("tenant", "?add=10000")
    stack.compose("exec", "-T", "scheduler", "airflow", "dags", "trigger", "auth0_log_webhooks", "--run-id", "by-hand")
    wait(lambda: stack.rows("select 1 from dag_run where run_id = 'by-hand' and state = 'success'"), "the run succeeds", 180)
    took = "round(extract(epoch from end_date - start_date), 1)"
    wait(lambda: stack.all_arrived, "every wanted event has arrived", 60)
    print(
        "10,000 events:",
        stack.rows(f"select run_id, {took} from dag_run order by id desc limit 2"),
        "seconds from start to end of a run",
    )
    print(stack.memory())
    assert stack.demo("receiver")["repeats"] == 0


def test_a_stopped_worker_ends_its_delivery_and_repeats_nothing(stack):
    stack.slow_delivery(1_500)
    files, stored = stack.stored_batches
    assert files
    assert all(value.startswith("file:///opt/airflow/xcom/") for (value,) in stored), "a batch is stored in the database"
    stack.compose("stop", "worker")
    arrived = stack.demo("receiver")
    print(f"workers stopped in mid-delivery: {arrived['repeats']} repeats")
    assert stack.all_arrived, "the delivery was cut off"
    assert arrived["repeats"] == 0
    stack.compose("start", "worker")
    wait(lambda: stack.settled, "the runs have ended", 120)
    assert stack.demo("receiver")["repeats"] == 0
    assert stack.stored_batches == ([], []), "the batches of an ended run are still there"


def test_a_killed_worker_loses_nothing_and_repeats_no_more_than_promised(stack):
    before = stack.demo("receiver")["repeats"]
    docker("kill", stack.slow_delivery(1_500))
    killed = time.monotonic()
    wait(lambda: stack.all_arrived, "the other worker delivers the rest", 240)
    repeats = stack.demo("receiver")["repeats"] - before
    print(f"worker killed in mid-delivery: everything arrived {time.monotonic() - killed:.0f} s later, {repeats} repeats")
    assert repeats <= MOST_REPEATS
    wait(lambda: stack.settled, "the runs have ended", 120)
    assert stack.stored_batches == ([], []), "the batches of an ended run are still there"
    assert not stack.demo("receiver")["problems"]
