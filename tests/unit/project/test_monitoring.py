"""Metrics, alert rules, the dashboard and docs/monitoring.md agree, and spans and docs/tracing.md.

tests/runs/test_metrics.py and tests/live/test_tracing.py try them.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from auth0_webhooks.operators.ledger import Report
from auth0_webhooks.operators.metrics import SPAN
from tests.conftest import PROJECT
from tests.support.telemetry import traces
from tests.support.telemetry.metrics import DASHBOARD, INSTALL, MONITORING, queries, rules, sent_metrics

DOCS = (PROJECT / "docs" / "monitoring.md").read_text(encoding="utf-8")
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason=f"promtool {INSTALL}")
NAME = re.compile(r"airflow_auth0_webhooks_(\w+)")


def test_the_table_in_the_docs_has_each_metric_that_is_sent_and_its_kind():
    table = dict(re.findall(r"(?m)^\| `auth0_webhooks\.(\w+)` \| (\w+) \|", DOCS))
    assert table == sent_metrics()


def test_each_metric_is_in_a_query_and_each_query_is_of_metrics_that_are_sent():
    assert {name for query in queries() for name in NAME.findall(query)} == set(sent_metrics())


def test_the_panels_of_the_dashboard_are_apart_and_have_a_title_and_an_explanation():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["title"]
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_table_in_the_docs_has_each_attribute_of_a_span_and_the_report_has_each_of_them():
    assert re.findall(r"(?m)^\| `auth0_webhooks\.(\w+)` \|", traces.DOCS) == list(SPAN)
    assert {*SPAN, "answers"} <= vars(Report("", "")).keys()


def test_each_alert_is_explained_in_the_docs():
    assert re.findall(r"(?m)^\| `(Auth0Webhook\w+)` \|", DOCS) == list(rules())


@needs_promtool
def test_the_alerts_are_raised_when_they_should_be():
    done = subprocess.run(
        ["promtool", "test", "rules", MONITORING / "alerts_test.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = (MONITORING / "alerts_test.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)", tested)) == set(rules())


@needs_promtool
def test_prometheus_takes_the_settings_of_the_stack():
    command = ["promtool", "check", "config", MONITORING / "prometheus.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
