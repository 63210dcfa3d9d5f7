"""The trace of a run, as a real OTLP receiver gets it from a real Airflow with the settings of docs/tracing.md."""

from __future__ import annotations

import re

import pytest

from auth0_webhooks.operators.metrics import SPAN
from simulation.tenant import CLIENT_SECRET
from tests.support.telemetry.traces import DOCS, received

TASKS = ("fetch", "filter", "deliver")
OURS = "auth0_webhooks."


@pytest.fixture
def trace(airflow):
    """The spans of a route's only run, by name, once that of the run, and each that a task ends with, has arrived."""

    def of(route):
        ((run_id, _),) = route.runs()
        names = {f"dag_run.{route.name}", *(f"{side}.{task}" for side in ("task_run", "worker") for task in TASKS)}

        def found():
            spans = received(airflow.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
            run = {"airflow.dag_id": route.name, "airflow.dag_run.run_id": run_id}
            return {span.name: span for span in spans if run.items() <= span.attributes.items()}

        airflow.wait_until(lambda: found().keys() == names, "the trace has arrived", 60)
        return run_id, found()

    return of


def ours(span):
    """The attributes that this project sets."""
    return {name.removeprefix(OURS): value for name, value in span.attributes.items() if not name.startswith("airflow.")}


def assert_shown(number, spans):
    """A trace in docs/tracing.md is what has arrived, but for the route and for the seconds."""
    example = re.findall(r"```\n(dag_run\..*?)```", DOCS, re.DOTALL)[number]
    root = next(span for span in spans.values() if not span.parent_id)
    assert f"dag_run.{root.attributes['airflow.dag_id']}" == root.name
    lines = example.replace("auth0_log_webhooks", root.attributes["airflow.dag_id"]).splitlines()
    path, names = {-1: ""}, set()
    for line in lines:
        blanks, name, status, attributes = re.fullmatch(r"( *)(\S+) +[\d.]+ s +([A-Z]+) *(.*)", line).groups()
        depth, span = len(blanks) // 2, spans[name]
        assert (span.status, span.parent_id) == (status, path[depth - 1])
        shown = {key: str(value) for key, value in ours(span).items()}
        assert dict(pair.split("=") for pair in attributes.split()).items() <= shown.items()
        path[depth] = span.span_id
        names.add(name)
    assert names == spans.keys()


def test_a_run_is_one_trace_with_a_span_for_the_process_of_each_task_that_has_its_counts(route, trace):
    traced = route("traced")
    for kind in ("f", "s", "sapi"):
        traced.tenant.add(kind)
    run_id, spans = trace(traced.enabled())
    assert_shown(0, spans)
    assert {(span.trace_id, span.service) for span in spans.values()} == {(spans["dag_run.traced"].trace_id, "airflow")}
    report = traced.report(run_id)
    assert ours(spans["worker.deliver"]) == {
        **{key: report[key] for key in SPAN if report[key] is not None},
        **{f"answers.{status}": count for status, count in report["answers"].items()},
    }


def test_the_span_of_a_delivery_that_failed_has_the_answer_and_the_error_and_no_secret(route, trace):
    failing = route("traced_failure")
    # To wait for longer than a task tries: the task fails at once.
    failing.receiver.behave = lambda _post: (500, {"Retry-After": "600"})
    failing.tenant.add("f")
    _, spans = trace(failing.enabled())
    assert_shown(1, spans)
    assert spans["worker.deliver"].description == "EndpointHeldError"
    ((log_id, _, event),) = failing.tenant.log()
    for secret in (failing.receiver.url, failing.tenant.url, CLIENT_SECRET, log_id, event):
        assert secret not in str(spans)
