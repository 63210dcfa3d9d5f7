"""The spans that Airflow sends by OpenTelemetry, as trees."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.conftest import PROJECT
from tests.support.telemetry.otlp import OtlpServer

DOCS = (PROJECT / "docs" / "tracing.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Span:
    """A span; ``start`` and ``end`` are Unix times, ``status`` is ``UNSET``, ``OK`` or ``ERROR``."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: float
    end: float
    status: str
    description: str
    attributes: dict[str, Any]
    events: list[str]
    service: str


class Traces(OtlpServer):
    """Receives spans by OTLP over HTTP. A GET answers with them as JSON, for tests in another process: :func:`received`."""

    signal = "traces"

    def __init__(self) -> None:
        super().__init__()
        self._spans: list[Span] = []

    def export(self, body: bytes) -> None:
        """Take what an exporter sends."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            self._spans += [_span(span, service) for scope in resource.scope_spans for span in scope.spans]

    @property
    def settings(self) -> dict[str, str]:
        """What docs/tracing.md says to set for Airflow, with the address of this server."""
        (block,) = re.findall(r"```\n(AIRFLOW__TRACES__.*?)```", DOCS, re.DOTALL)
        lines = (line.split("=", 1) for line in block.splitlines())
        return {name: value.replace("collector:4318", self.address) for name, value in lines}

    def text(self) -> str:
        """All spans so far as JSON."""
        return json.dumps([asdict(span) for span in self._spans])


def received(url: str) -> list[Span]:
    """The spans that the :class:`Traces` at this URL has received so far."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return [Span(**fields) for fields in json.load(answer)]


def _attributes(sent: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in sent}


def _span(span: SentSpan, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        description=span.status.message,
        attributes=_attributes(span.attributes),
        events=[event.name for event in span.events],
        service=service,
    )
