"""What the documentation tells people to trigger is triggered: each command, on a real Airflow database, over real HTTP."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from airflow.cli import cli_parser

from auth0_webhooks.audit.dag import build_audit_dag
from auth0_webhooks.dead_letter_dag import build_dead_letter_dag
from auth0_webhooks.names import AUDIT_DAG_ID, DEAD_LETTER_DAG_ID
from auth0_webhooks.route_dag import build_dag
from auth0_webhooks.settings.route import Route
from tests.conftest import PROJECT
from tests.support.runner import wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]

ROUTE = "auth0_log_webhooks"


def documented():
    """(DAG, conf) of each ``airflow dags trigger`` in the documentation and in what the DAGs say about themselves."""
    texts = [path.read_text(encoding="utf-8") for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))]
    texts += [build_dag(Route(name=ROUTE)).doc_md, build_dead_letter_dag([Route(name=ROUTE)]).doc_md]
    texts.append(build_audit_dag().doc_md)
    commands = (match for text in texts for match in re.findall(r"(?<!\w)airflow dags trigger [^`\n]*(?:`null`[^`\n]*)?", text))
    found = []
    for command in commands:
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # the line ends within the quotes
            (rest,) = re.findall(re.escape(command) + r"\n([^`\n]*)", "\n".join(texts))
            words = shlex.split(f"{command} {rest.partition(')')[0]}", comments=True)
        found.append((words[3].strip(".,)"), words[5] if len(words) > 5 else "{}"))
    return sorted(set(found))


EXAMPLES = documented()
BACKFILLS = re.findall(
    r"^airflow (backfill create .*)$", (PROJECT / "docs" / "backfill.md").read_text(encoding="utf-8"), re.MULTILINE
)


def test_the_documentation_has_examples_of_every_kind_of_run():
    confs = [json.loads(conf) for dag_id, conf in EXAMPLES if dag_id == ROUTE]
    assert {key for conf in confs for key in conf} >= {"since", "until", "dry_run", "log_level", "log_types", "where"}
    assert {dag_id for dag_id, _ in EXAMPLES} == {ROUTE, DEAD_LETTER_DAG_ID, AUDIT_DAG_ID}


@pytest.mark.parametrize(("dag_id", "conf"), EXAMPLES)
def test_an_example_runs(route, tenant, receiver, monkeypatch, dag_id, conf):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.name, given = ROUTE, json.loads(conf)
    tenant.add("s")
    if dag_id in {AUDIT_DAG_ID, DEAD_LETTER_DAG_ID}:
        run = route.run_audit if dag_id == AUDIT_DAG_ID else route.run_dead_letters
        assert route.run() == "success"
        assert run(**given)[0] == "success"
        return
    assert route.run(**given) == "success"
    if given.keys() & {"since", "dry_run"}:
        assert route.stored_checkpoint is None
    else:
        assert sorted(receiver.accepted) == wanted(tenant)


@pytest.mark.parametrize("command", BACKFILLS)
def test_airflow_knows_each_option_of_a_backfill_that_is_documented(command):
    words = shlex.split(command.replace("...", "2026-11-22T10:00:00+00:00"), comments=True)
    given = cli_parser.get_parser().parse_args(words)
    assert given.from_date <= given.to_date
