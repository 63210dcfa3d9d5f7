"""The metrics that the code sends, and an exporter that receives them as Airflow's StatsD and OpenTelemetry send them.

It does what statsd_exporter, and OpenTelemetry's collector with monitoring/collector.yaml, do with the project's metrics. Neither
PyPI nor Debian has them.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from tests.conftest import PROJECT
from tests.support.telemetry.otlp import OtlpServer

if TYPE_CHECKING:
    from typing_extensions import Self

Series = tuple[str, tuple[tuple[str, str], ...]]
MONITORING = PROJECT / "monitoring"
RULES = MONITORING / "alerts.yaml"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
INSTALL = "is not installed (Debian: apt-get install prometheus)"
SENT = re.compile(r'stats\.(incr|gauge)\("auth0_webhooks\.(\w+)"')


def sent_metrics() -> dict[str, str]:
    """Each metric that the code sends, and its kind."""
    kinds = {"incr": "counter", "gauge": "gauge"}
    files = (PROJECT / "plugins" / "auth0_webhooks").rglob("*.py")
    return {name: kinds[kind] for file in files for kind, name in SENT.findall(file.read_text(encoding="utf-8"))}


def rules() -> dict[str, str]:
    """The alerts and their expressions."""
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def targets() -> Iterator[str]:
    """The queries of the dashboard, over all routes."""
    variables = {"$route": ".*", "$__rate_interval": "1h"}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query: str = target["expr"]
            for name, value in variables.items():
                query = query.replace(name, value)
            assert "$" not in query
            yield query


def queries() -> list[str]:
    """Every query of the project."""
    return [*rules().values(), *targets()]


class Exporter(OtlpServer):
    """Receives metrics by OTLP over HTTP and by StatsD over UDP, and serves them to Prometheus under ``/metrics``."""

    signal = "metrics"

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[Series, float] = {}
        self.kinds: dict[str, str] = {}
        self._lock = threading.Lock()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._udp.bind(("127.0.0.1", 0))
        self.udp_port = self._udp.getsockname()[1]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve until the end of the block."""
        statsd = threading.Thread(target=self._receive, daemon=True)
        statsd.start()
        try:
            with super().running():
                yield self
        finally:
            self._udp.sendto(b"", self._udp.getsockname())
            statsd.join()
            self._udp.close()

    def value(self, name: str, **labels: str) -> float | None:
        """What a series has now; None if there is none."""
        return self.values.get((f"airflow_auth0_webhooks_{name}", tuple(sorted(labels.items()))))

    def ours(self) -> dict[str, str]:
        """The names of the project's metrics that have arrived, and their kinds."""
        mark = "airflow_auth0_webhooks_"
        return {name.removeprefix(mark): kind for name, kind in self.kinds.items() if name.startswith(mark)}

    def text(self) -> str:
        """All series in Prometheus' text format."""
        lines = []
        with self._lock:
            for name, kind in sorted(self.kinds.items()):
                lines.append(f"# TYPE {name} {kind}")
                for (of, labels), value in sorted(self.values.items()):
                    if of == name:
                        lines.append(f"{name}{{{','.join(f'{key}={chr(34)}{text}{chr(34)}' for key, text in labels)}}} {value}")
        return "\n".join(lines) + "\n"

    def export(self, body: bytes) -> None:
        """Take what Airflow's OpenTelemetry sends."""
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                kind = metric.WhichOneof("data")
                points = metric.sum.data_points if kind == "sum" else metric.gauge.data_points
                # A collector replaces a cumulative sum by the latest one, whichever process it is of.
                add = kind == "sum" and metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
                for point in points:
                    labels = {label.key: label.value.string_value for label in point.attributes}
                    value = point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)
                    self._enter(metric.name, labels, "counter" if kind == "sum" else "gauge", value, add=add)

    def _enter(self, name: str, labels: dict[str, str], kind: str, value: float, *, add: bool) -> None:
        name = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        series = name, tuple(sorted(labels.items()))
        with self._lock:
            self.kinds[name] = kind
            self.values[series] = value + (self.values.get(series, 0.0) if add else 0.0)

    def _receive(self) -> None:
        while packet := self._udp.recv(65_536):
            for line in packet.decode().splitlines():
                name, _, rest = line.rpartition(":")
                value, kind, *_ = rest.split("|")
                name, *tags = name.split(",")
                if kind in {"c", "g"}:
                    labels = dict(tag.split("=", 1) for tag in tags)
                    self._enter(name, labels, {"c": "counter", "g": "gauge"}[kind], float(value), add=kind == "c")
