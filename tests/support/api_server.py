"""Airflow's API server in this process, on the tests' real database, with users that log in; and rows for it to show."""

from __future__ import annotations

import json
import secrets
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

USERS = ("admin:admin", "viewer:viewer", "runner:user", "operator:op", "night:op:night")
"""Name, role and team; ``night`` is an operator of the team of that name."""
SETTINGS = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(USERS),
    "AIRFLOW__CORE__MULTI_TEAM": "True",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-these-tests-" + "x" * 64,
}
NOW = datetime.now(timezone.utc)


class ApiServer:
    """The whole app, as ``airflow api-server`` makes it. What goes wrong in it reaches a client as an answer."""

    def __init__(self, home: Path):
        from airflow.api_fastapi.app import create_app

        path = home / "simple_auth_manager_passwords.json.generated"
        passwords = {user.split(":")[0]: secrets.token_urlsafe(12) for user in USERS}
        path.write_text(json.dumps(passwords), encoding="utf-8")
        self.passwords = passwords
        _make_team("night")  # a team that a user is of must be there before the app is
        self.app = create_app(apps="core")

    def client(self, user: str | None = None) -> TestClient:
        """Logged in as a user, with a password; anonymous without a name."""
        client = TestClient(self.app, raise_server_exceptions=False)
        if user:
            answer = client.post("/auth/token", json={"username": user, "password": self.passwords[user]})
            assert answer.status_code == 201, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client


def _make_team(name: str) -> None:
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(Team(name=name))


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def report(**counts: Any) -> dict[str, Any]:
    """A run's report, with what is usual where nothing is said."""
    from dataclasses import asdict

    from auth0_webhooks.operators.ledger import Report

    return asdict(Report(**{"route": "r", "run_id": "x", "outcome": "everything wanted was delivered", **counts}))


class Rows:
    """Puts rows into Airflow's database, as its own parts would."""

    def __init__(self, session: Any):
        self.session = session
        self.numbers = 0

    def bundle(self, name: str, team: str | None = None) -> None:
        from airflow.models.dagbundle import DagBundleModel
        from airflow.models.team import Team

        bundle = DagBundleModel(name=name)
        if team:
            bundle.teams.append(self.session.merge(Team(name=team)))
        self.session.add(bundle)
        self.session.commit()

    def dag(self, dag_id: str, *, bundle: str, tags: tuple[str, ...] = ("auth0", "tenant:auth0_default")) -> None:
        from airflow.models.dag import DagModel, DagTag

        dag = DagModel(dag_id=dag_id, bundle_name=bundle, is_paused=False, is_stale=False, fileloc="")
        dag.tags = [DagTag(name=tag, dag_id=dag_id) for tag in tags]
        self.session.merge(dag)
        self.session.commit()

    def run(self, dag_id: str, when: datetime, report: Any = None, *, task: str = "deliver", **fields: Any) -> str:
        """A run with the report of a task of its own; the newest is the one that was added last."""
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel

        self.numbers += 1
        run_id = f"{dag_id}-{self.numbers}"
        run = DagRun(
            dag_id=dag_id, run_id=run_id, run_type=fields.pop("run_type", "scheduled"), run_after=ago(days=300), start_date=when
        )
        run.state, run.end_date = fields.pop("state", "success"), when  # in this order: the state sets an end of its own
        self.session.add(run)
        self.session.flush()
        if report is not None:
            value = {"dag_run_id": run.id, "task_id": task, "key": "report", "dag_id": dag_id, "run_id": run_id, "value": report}
            self.session.execute(TaskInstance.__table__.insert(), self._instance(dag_id, run_id, task))
            self.session.execute(XComModel.__table__.insert(), value)
        self.session.commit()
        return run_id

    def delivered(self, dag_id: str, when: datetime, report: dict[str, Any]) -> None:
        """An event of the asset that a run updates which delivered something."""
        from airflow.models.asset import AssetEvent, AssetModel

        asset = AssetModel(name=f"{dag_id}_delivered", uri=f"{dag_id}_delivered", group="asset")
        self.session.add(asset)
        self.session.flush()
        self.session.add(AssetEvent(asset_id=asset.id, extra=report, timestamp=when))
        self.session.commit()

    def settings(self, route: Any) -> None:
        """The asset that Airflow keeps of a route's DAG, with the route's settings."""
        from airflow.models.asset import AssetModel

        from auth0_webhooks.operators.assets import new_events_asset
        from auth0_webhooks.settings.in_airflow import to_extra

        name = new_events_asset(route).name
        self.session.add(AssetModel(name=name, uri=name, group="asset", extra=to_extra(route)))
        self.session.commit()

    def variable(self, key: str, value: str) -> None:
        from airflow.models.variable import Variable

        Variable.set(key, value, session=self.session)
        self.session.commit()

    @staticmethod
    def _instance(dag_id: str, run_id: str, task: str) -> dict[str, Any]:
        import uuid

        return {
            "id": uuid.uuid4(), "dag_id": dag_id, "run_id": run_id, "task_id": task, "map_index": -1, "try_number": 1,
            "max_tries": 0, "pool": "default_pool", "pool_slots": 1, "state": "success", "executor_config": {}, "queue": "q",
        }  # fmt: skip
