"""Tasks cleared, marked, frozen and run again in every way, on a real Airflow database; tests/unit does more of it in memory."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from auth0_webhooks.model import batch
from auth0_webhooks.operators.deliver import DeliverOperator
from auth0_webhooks.operators.fetch import FetchOperator
from auth0_webhooks.operators.filter import FilterOperator
from tests.support.operations import CALLS, TASKS, Backend, Walk
from tests.support.runner import unpacked

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]
SEQUENCE = 12


class InAirflow(Backend):
    """Runs, tasks and XComs in Airflow's database; a task runs in this process, as ``DAG.test`` runs it."""

    def __init__(self, route):
        self.route = route
        self.numbers, self.windows = 0, {}

    def prepare(self):
        """Write the route's file and let Airflow read it, as its DAG processor does."""
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

        self.dag = self.route.load()
        bag = BundleDagBag(
            dag_folder=str(self.route.home / "dags"), bundle_path=self.route.home / "dags", bundle_name="dags-folder"
        )
        from airflow.dag_processing.bundles.manager import DagBundlesManager

        DagBundlesManager().sync_bundles_to_db()
        sync_bag_to_db(bag, "dags-folder", None)

    def start_run(self, window):
        from airflow.serialization.serialized_objects import DagSerialization
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        self.numbers += 1
        now = datetime.now(timezone.utc)
        if window in self.windows:
            # Of a logical date Airflow has one run, which another backfill runs again.
            self.clear(self.windows[window], [*TASKS])
            return self.windows[window]
        logical_date = window[0] if window else now - timedelta(days=300) + timedelta(minutes=self.numbers)
        scheduler_dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(self.dag))
        with create_session() as session:
            run = scheduler_dag.create_dagrun(
                run_id=f"walk_{self.numbers}",
                logical_date=logical_date,
                data_interval=window or (logical_date, logical_date),
                run_after=now,
                run_type=DagRunType.BACKFILL_JOB if window else DagRunType.SCHEDULED,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                start_date=now,
                session=session,
            )
            made = SimpleNamespace(run_id=run.run_id, window=window)
        if window:
            self.windows[window] = made
        return made

    def _dag_run(self, run, session):
        from airflow.models.dagrun import DagRun
        from airflow.serialization.serialized_objects import DagSerialization
        from sqlalchemy import select

        found = session.scalar(select(DagRun).where(DagRun.dag_id == self.route.name, DagRun.run_id == run.run_id))
        found.dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(self.dag))
        return found

    def runnable(self, run):
        """The tasks that Airflow's scheduler would start; one that waits for its retry is waited for."""
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState

        deadline = time.monotonic() + 60
        while True:
            with create_session() as session:
                found = self._dag_run(run, session)
                if found.state == DagRunState.QUEUED:
                    found.state = DagRunState.RUNNING
                able, _ = found.update_state(session=session, execute_callbacks=False)
                names = sorted(ti.task_id for ti in able)
                waiting = any(ti.state == "up_for_retry" for ti in found.get_task_instances(session=session))
            if names or not waiting or time.monotonic() > deadline:
                return names
            time.sleep(0.02)

    def execute(self, run, task):
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        with create_session() as session:
            ti = self._dag_run(run, session).get_task_instance(task, session=session)
            ti.try_number += 1
            session.commit()
            session.refresh(ti)
            ti.task = self.dag.task_dict[task]
            _run_task(ti=ti, task=self.dag.task_dict[task])

    def state(self, run, task):
        query = "select state from task_instance where dag_id = :dag and run_id = :run and task_id = :task"
        return self.route.rows(query, dag=self.route.name, run=run.run_id, task=task)[0][0]

    def clear(self, run, tasks):
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.session import create_session

        with create_session() as session:
            clear_task_instances(
                [ti for ti in self._dag_run(run, session).get_task_instances(session=session) if ti.task_id in tasks], session
            )

    def mark(self, run, task, state):
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState

        with create_session() as session:
            dag = self._dag_run(run, session).dag
            dag.set_task_instance_state(task_id=task, run_id=run.run_id, state=TaskInstanceState(state), session=session)

    def skip(self, run, tasks):
        from airflow.utils.session import create_session

        with create_session() as session:
            for ti in self._dag_run(run, session).get_task_instances(session=session):
                if ti.task_id in tasks and ti.state not in {"running", "success", "failed"}:
                    ti.state = "skipped"

    def xcoms(self, run):
        query = "select task_id, key, value from xcom where dag_id = :dag and run_id = :run"
        rows = self.route.rows(query, dag=self.route.name, run=run.run_id)
        return {(task, key): unpacked(value) for task, key, value in rows}

    def set_xcom(self, run, task, key, value):
        from airflow.models.xcom import XComModel

        # As Airflow's API stores what a task pushes, which is serialized by then.
        where = {"task_id": task, "dag_id": self.route.name, "run_id": run.run_id}
        XComModel.set(key=key, value=value, serialize=False, **where)

    def delete_xcom(self, run, task, key):
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            which = (XComModel.dag_id == self.route.name, XComModel.run_id == run.run_id)
            session.execute(delete(XComModel).where(*which, XComModel.task_id == task, XComModel.key == key))

    def checkpoint(self):
        return self.route.stored_checkpoint

    def progress(self, run):
        query = "select key, value from task_state_store where dag_id = :dag and run_id = :run order by key"
        return self.route.rows(query, dag=self.route.name, run=run.run_id)


@pytest.mark.parametrize("seed", range(max(1, int(os.environ.get("OPERATIONS", "40")) // SEQUENCE)))
def test_nothing_is_lost_whatever_is_done_to_the_tasks(route, tenant, receiver, monkeypatch, seed):
    backend = InAirflow(route)
    walk = Walk(seed, backend, tenant, receiver, inside=False)
    route.name += f"_{seed}"
    route.settings = {
        "schedule": "0 * * * *",
        "start_from": walk.start_from.isoformat(),
        "concurrent_calls": CALLS,
        "max_logs_per_run": 30,
    }
    route.waits["post_retries"] = route.waits["task_retry"] = 0.02
    monkeypatch.setattr(batch, "MAX_EVENTS", [4, 50][seed % 2])
    for operator in (FetchOperator, FilterOperator, DeliverOperator):
        monkeypatch.setattr(operator, "execute", _around(walk, operator.execute))
    backend.prepare()
    for _ in range(SEQUENCE):
        walk.step()
    walk.end()


def _around(walk, execute):
    def tried(operator, context):
        return walk.around(execute, operator, context)

    return tried
