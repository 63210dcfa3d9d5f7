"""The metrics, by Airflow's StatsD and OpenTelemetry into a real Prometheus, with the alert rules and the dashboard's queries."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

from tests.conftest import PROJECT
from tests.support.telemetry.metrics import INSTALL, RULES, Exporter, sent_metrics, targets

pytestmark = pytest.mark.airflow

ILL = {"route": "ill", "lag_seconds": 2_000_000.0, "dead_lettered": 1, "api_requests": 3, "api_limit": 1000, "api_remaining": 40}
WELL = {"route": "well", "delivered_now": 5, "api_requests": 2, "api_limit": 1000, "api_remaining": 900, "api_rate": 16.0}
FIRST = [
    {"report": {"route": "ill"}, "latencies": [], "failed": 0, "unaccounted": 0},
    {"report": {"route": "well"}, "latencies": [], "failed": 0, "unaccounted": 0},
]
"""The first runs of two routes, after which each metric is in Prometheus."""
LATER = [
    {"report": WELL, "latencies": [0.5, 3.0, 3.0, 3.0, 45.0], "failed": 0, "unaccounted": 0},
    {"report": WELL, "latencies": [0.5, 3.0, 3.0, 3.0, 45.0], "failed": 0, "unaccounted": 0},
    {"report": {**WELL, "delivered_now": 0}, "latencies": [], "failed": 0, "unaccounted": 0},
    {"report": ILL, "latencies": [2000.0, 90_000.0], "failed": 1, "unaccounted": 7},
]
PATHS = ["otel", "statsd"]


def environment(path, exporter):
    """What makes Airflow send its metrics to the exporter."""
    if path == "otel":
        return {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{exporter.address}",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        }
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(exporter.udp_port),
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    }


def send(exporter, path, runs, **more):
    """Let Airflow's own code send the metrics of these runs, one process each."""
    command = [sys.executable, "-m", "tests.support.programs.sends_metrics"]
    settings = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}", **environment(path, exporter), **more}
    done = subprocess.run(command, input=json.dumps(runs), env=settings, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


@pytest.fixture
def exporter():
    with Exporter().running() as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
def test_what_the_tasks_of_several_runs_send_adds_up(exporter, path):
    send(exporter, path, LATER)
    # UDP: the last packet may still be on its way.
    until(lambda: exporter.value("unaccounted", route="ill") == 7)
    until(lambda: exporter.ours() == sent_metrics())
    assert exporter.value("delivered", route="well") == exporter.value("delivery_seconds_count", route="well") == 10
    bucket = {
        bound: exporter.value("delivery_seconds_bucket", route="well", le=bound) for bound in ("1", "2", "5", "30", "60", "Inf")
    }
    assert bucket == {"1": 2, "2": 2, "5": 8, "30": 8, "60": 10, "Inf": 10}
    assert exporter.value("delivery_seconds_sum", route="well") == pytest.approx(109, abs=1)
    assert [exporter.value(name, route="ill") for name in ("failed_runs", "dead_lettered", "lag_seconds")] == [1, 1, 2_000_000.0]
    assert exporter.value("delivery_seconds_bucket", route="ill", le="86400") == 1


def test_without_delta_temporality_a_task_overwrites_the_counts_of_the_one_before(exporter):
    """Why docs/monitoring.md asks for it."""
    send(exporter, "otel", LATER, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="cumulative")
    assert exporter.value("delivered", route="well") == 0


class Prometheus:
    """A real Prometheus that scrapes an exporter and evaluates the project's alert rules."""

    def __init__(self, folder, exporter):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        # At the thresholds of the rules, but without their patience, which promtool tests.
        (folder / "alerts.yaml").write_text(re.sub(r"(?m)^ +for: .*\n", "", RULES.read_text(encoding="utf-8")), encoding="utf-8")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [{"job_name": "airflow", "static_configs": [{"targets": [exporter.address]}]}],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"]
        self.process = subprocess.Popen(
            [*command, f"--web.listen-address={self.address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def get(self, path, **parameters):
        address = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def is_up(self):
        try:
            return bool(self.get("query", query="up == 1")["result"])
        except (OSError, AssertionError):
            return False

    def query(self, query):
        """The values of an expression by route."""
        return {found["metric"].get("route"): float(found["value"][1]) for found in self.get("query", query=query)["result"]}


@pytest.fixture
def prometheus(exporter, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip(f"prometheus {INSTALL}")
    running = Prometheus(tmp_path, exporter)
    try:
        until(running.is_up)
        yield running
    finally:
        running.process.terminate()
        running.process.wait()


def until(condition, seconds=60.0):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


EXPECTED = {
    "Auth0WebhookRunFailed",
    "Auth0WebhookEventsWait",
    "Auth0WebhookEventsWillBeLost",
    "Auth0WebhookSlow",
    "Auth0WebhookDeadLetters",
    "Auth0WebhookBudgetUsedUp",
    "Auth0WebhookUnaccounted",
}
"""What is wrong with the route that is ill."""


@pytest.mark.parametrize("path", PATHS)
def test_prometheus_raises_alerts_for_the_route_that_is_ill_by_metrics_that_airflow_sent(exporter, prometheus, path):
    send(exporter, path, FIRST)
    until(lambda: prometheus.query("airflow_auth0_webhooks_unaccounted").keys() == {"ill", "well"})
    send(exporter, path, LATER)

    def raised():
        alerts = prometheus.get("alerts")["alerts"]
        assert not [alert for alert in alerts if alert["labels"].get("route") == "well"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["labels"].get("route") == "ill"}

    until(lambda: raised() == EXPECTED)
    median = "histogram_quantile(0.5, sum by (route, le) (increase(airflow_auth0_webhooks_delivery_seconds_bucket[1h])))"
    assert 2 < prometheus.query(median)["well"] < 5
    for query in targets():
        assert prometheus.get("query", query=query)["result"], query
