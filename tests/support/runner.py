"""Runs a route's tasks in this process on a real Airflow database, and looks at what Airflow stored."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone

import yaml
from airflow.dag_processing.dagbag import DagBag
from sqlalchemy import text

from auth0_webhooks.model.checkpoint import parse_checkpoint
from auth0_webhooks.names import token_key
from auth0_webhooks.times import iso
from tests.conftest import PROJECT, forget


class Runner:
    """Runs a route's DAG and looks at what Airflow stored."""

    def __init__(self, home, name):
        self.home, self.name = home, name
        self.settings = {}
        self.waits = {
            "task_retry": 0.1,
            "post_retries": 0.3,
            "first_back_off": 0.02,
            "tenant_back_off": 0.01,
            "settle": 0.0,
            "late": 0.0,
        }

    def load(self):
        """The route's DAG, as its settings and waits are now."""
        folder = self.home / "dags"
        (folder / "webhook_routes.yaml").write_text(yaml.safe_dump({"routes": {self.name: self.settings}}), encoding="utf-8")
        (folder / "waits.json").write_text(json.dumps(self.waits), encoding="utf-8")
        bag = self.bag()
        assert bag.import_errors == {}
        return bag.dags[self.name]

    def bag(self):
        """The DAGs of the folder, as its files are now."""
        return DagBag(dag_folder=str(self.home / "dags"), bundle_path=self.home / "dags")

    def run(self, *, logical_date=None, **conf):
        self.last = self.load().test(logical_date=logical_date, run_conf=conf or None)
        return str(self.last.state)

    def run_dead_letters(self, **conf):
        """Run the DAG of the dead letters; returns its state and its report."""
        return self._run_shipped("webhook_dead_letters", conf)

    def run_audit(self, **conf):
        """Run the audit; returns its state and its report."""
        return self._run_shipped("webhook_audit", conf)

    def shipped(self, file):
        """The DAG of a shipped file, which is put beside the file of the routes now: it costs each later run of the test."""
        path = shutil.copy(PROJECT / "dags" / f"{file}.py", self.home / "dags")
        return next(dag for dag in self.bag().dags.values() if dag.fileloc == str(path))

    def _run_shipped(self, file, conf):
        run = self.shipped(file).test(logical_date=None, run_conf=conf)
        ((report,),) = self.rows("select value from xcom where run_id = :run and key = 'report'", run=run.run_id)
        return str(run.state), read_again(report)

    def rows(self, query, **values):
        from airflow.utils.session import create_session

        with create_session() as session:
            return [tuple(row) for row in session.execute(text(query), values)]

    def xcoms(self):
        query = "select task_id, key, value from xcom where dag_id = :dag and run_id = :run"
        return {(task, key): value for task, key, value in self.rows(query, dag=self.name, run=self.last.run_id)}

    @property
    def report(self):
        """The report of the last run: of ``deliver``, or of ``fetch`` where the run ended there."""
        xcoms = self.xcoms()
        return unpacked(xcoms.get(("deliver", "report")) or xcoms["fetch", "report"])

    @property
    def report_of_fetch(self):
        """The report of a run that read nothing, wherever it was made."""
        return next(unpacked(value) for (_, key), value in self.xcoms().items() if key == "report")

    @property
    def states(self):
        return dict(
            self.rows(
                "select task_id, state from task_instance where run_id = :run and dag_id = :dag",
                run=self.last.run_id,
                dag=self.name,
            )
        )

    @property
    def stored_checkpoint(self):
        from airflow.models import Variable

        return Variable.get(f"{self.name}_checkpoint", default_var=None)

    @property
    def checkpoint(self):
        return self.stored_checkpoint and parse_checkpoint(self.stored_checkpoint, key="k")

    def set_checkpoint(self, value):
        from airflow.models import Variable

        Variable.set(f"{self.name}_checkpoint", value)


def unpacked(value):
    """An XCom's value: SQLite gives its JSON as text, PostgreSQL as what it means."""
    return json.loads(value) if isinstance(value, str) else value


def read_again(value):
    """An XCom's value where it may be in a file, as with XCom in object storage."""
    from types import SimpleNamespace

    from airflow.sdk.execution_time.xcom import XCom

    return XCom.deserialize_value(SimpleNamespace(value=unpacked(value)))


def wanted(tenant, excluded=("sapi", "fapi")):
    return [log_id for log_id, kind, _ in tenant.log() if kind not in excluded]


def spread(tenant, count=300, hours=6):
    """Events over the last hours, none of a token request among them."""
    tenant.log_token_requests = False
    return tenant.add_many(count, spread=hours * 3600.0)


def hours_ago(hours):
    return iso(datetime.now(timezone.utc) - timedelta(hours=hours))


def in_window(tenant, since, until, excluded=("sapi", "fapi")):
    dated = ((json.loads(text)["date"], log_id, kind) for log_id, kind, text in tenant.log())
    return [log_id for date, log_id, kind in dated if since <= date < until and kind not in excluded]


def asset_events(route, name):
    """The extras of an asset's events, the oldest first."""
    query = "select e.extra from asset_event e join asset a on a.id = e.asset_id where a.name = :name order by e.id"
    return [unpacked(extra) for (extra,) in route.rows(query, name=name)]


def recovered(tenant):
    """No rate limit any more, and nothing that any machine remembers of one."""
    from airflow.models import Variable
    from airflow.utils.session import create_session

    tenant.bucket = None
    forget(tenant)
    with create_session() as session:
        session.query(Variable).filter(Variable.key == token_key("auth0_default")).delete()
