"""What the page reads from Airflow, and whom it asks for permission.

All that is not public API of Airflow's is imported here and nowhere else; ``tests/runs/page/test_page_contract.py`` holds it to
what is used of it. Every query is bounded: it reads a number of rows that does not grow with the age of the installation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails, VariableDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from airflow.sdk.execution_time.xcom import XCom
from sqlalchemy import and_, func, or_, select, union_all

from auth0_webhooks.names import (
    AUDIT,
    AUDIT_DAG_ID,
    DEAD_LETTER_DAG_ID,
    DELIVER,
    FETCH,
    TENANT_TAG,
    checkpoint_key,
    delivered_name,
    health_key,
    new_events_name,
    record_key,
)
from auth0_webhooks.page.state import Run, Stored
from auth0_webhooks.settings.in_airflow import from_extra

__all__ = ["GetUserDep", "SessionDep"]

log = logging.getLogger(__name__)

RECENT = 10
"""So many runs of a route are looked at for its state."""
LISTINGS = 10
"""So many runs of the dead letters' DAG, and of the audit's, are looked at for what they found."""


def may(session: Any, user: Any, dag_id: str) -> dict[str, bool]:
    """What a user may do with a route, by Airflow's own rules. ``read`` needs the DAG's runs and their XComs."""
    route, letters, audits = _details(session, [dag_id, DEAD_LETTER_DAG_ID, AUDIT_DAG_ID])
    manager, variable = get_auth_manager(), VariableDetails(key=checkpoint_key(dag_id))
    return {
        "read": _may_read(user, route),
        "run": _allowed(user, "POST", route, DagAccessEntity.RUN),
        "pause": _allowed(user, "PUT", route),
        "move": all(manager.is_authorized_variable(method=method, details=variable, user=user) for method in ("GET", "PUT")),
        "see_letters": _allowed(user, "GET", letters, DagAccessEntity.XCOM),
        "see_audits": _allowed(user, "GET", audits, DagAccessEntity.XCOM),
        "send_letters": _allowed(user, "POST", letters, DagAccessEntity.RUN),
    }


def may_see_audits(session: Any, user: Any) -> bool:
    """Whether a user may read what the audits found."""
    (audits,) = _details(session, [AUDIT_DAG_ID])
    return _allowed(user, "GET", audits, DagAccessEntity.XCOM)


def _allowed(user: Any, method: Any, dag: DagDetails, entity: DagAccessEntity | None = None) -> bool:
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=dag, user=user)


def _may_read(user: Any, dag: DagDetails) -> bool:
    return all(_allowed(user, "GET", dag, entity) for entity in (None, DagAccessEntity.RUN, DagAccessEntity.XCOM))


def _details(session: Any, dag_ids: list[str]) -> list[DagDetails]:
    teams = DagModel.get_dag_id_to_team_name_mapping(dag_ids, session=session)
    return [DagDetails(id=dag_id, team_name=teams.get(dag_id)) for dag_id in dag_ids]


def readable_routes(session: Any, user: Any) -> list[Any]:
    """The DAGs that are routes, as rows of (dag id, display name, paused), of those that a user may read."""
    rows = list(session.execute(_routes().order_by(DagModel.dag_id)))
    return [row for row, dag in zip(rows, _details(session, [row.dag_id for row in rows]), strict=True) if _may_read(user, dag)]


def find_route(session: Any, dag_id: str) -> Any:
    """One such row, or None where there is no route of this name."""
    return session.execute(_routes().where(DagModel.dag_id == dag_id)).first()


def _routes() -> Any:
    tagged = select(DagTag.dag_id).where(DagTag.name.startswith(TENANT_TAG))
    columns: tuple[Any, ...] = (DagModel.dag_id, DagModel.dag_display_name, DagModel.is_paused)
    return select(*columns).where(DagModel.dag_id.in_(tagged), DagModel.is_stale.is_(False))


def stored(session: Any, routes: Sequence[Any], runs: int = RECENT) -> list[Stored]:
    """What is stored of these routes, each with its last ``runs`` runs; in as many queries for a hundred routes as for one."""
    ids = [route.dag_id for route in routes]
    keys = [key for dag_id in ids for key in (checkpoint_key(dag_id), record_key(checkpoint_key(dag_id)), health_key(dag_id))]
    variables = _variables(session, keys)
    last = _last_runs_of(session, ids, runs)
    reports = _reports(session, [row.id for rows in last.values() for row in rows])
    names = [name(dag_id) for dag_id in ids for name in (delivered_name, new_events_name)]
    rows = session.execute(select(AssetModel.name, AssetModel.id, AssetModel.extra).where(AssetModel.name.in_(names)))
    assets = {row.name: row for row in rows}
    events = _last_events(session, [assets[name].id for name in map(delivered_name, ids) if name in assets])
    found = []
    for route in routes:
        delivered = assets.get(delivered_name(route.dag_id))
        event = events.get(delivered.id) if delivered else None
        asset = assets.get(new_events_name(route.dag_id))
        found.append(
            Stored(
                dag_id=route.dag_id,
                name=route.dag_display_name,
                paused=route.is_paused,
                checkpoint=variables.get(checkpoint_key(route.dag_id)),
                record=variables.get(record_key(checkpoint_key(route.dag_id))),
                health=variables.get(health_key(route.dag_id)),
                runs=[_run(row, reports.get(row.id)) for row in last[route.dag_id]],
                delivered_at=event.timestamp if event else None,
                delivered=event.extra if event else None,
                settings=from_extra(asset.extra) if asset else None,
            )
        )
    return found


def reports_since(session: Any, dag_id: str, since: datetime, limit: int) -> list[tuple[Run, datetime]]:
    """Of a route's last ``limit`` runs those that ended since a time and left a report, with that time, newest first."""
    # By the time of its end: the time it was due can lie long before, as that of a yearly schedule's first run does.
    last = select(DagRun.id).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(limit).subquery()
    query = (
        select(*_COLUMNS, XComModel.value)
        .join(last, last.c.id == DagRun.id)
        .join(XComModel, XComModel.dag_run_id == DagRun.id)
        .where(DagRun.end_date >= since)
        .where(_is_report(DELIVER))
        .order_by(DagRun.id.desc())
    )
    rows = session.execute(query)
    return [(_run(row, report), row.end_date) for row in rows if (report := _report(row))]


def last_listings(session: Any) -> list[Run]:
    """The last runs of the dead letters' DAG, newest first, each with its report, which has the routes that it looked at."""
    return _last_runs(session, DEAD_LETTER_DAG_ID, "dead_letters")


def last_audits(session: Any) -> list[Run]:
    """The last runs of the audit's DAG, likewise."""
    return _last_runs(session, AUDIT_DAG_ID, AUDIT)


def _last_runs(session: Any, dag_id: str, task: str) -> list[Run]:
    rows = list(session.execute(_newest(dag_id, LISTINGS)))
    reports = _reports(session, [row.id for row in rows], (task,))
    return [_run(row, reports.get(row.id)) for row in rows]


_COLUMNS: tuple[Any, ...] = (
    DagRun.id,
    DagRun.run_id,
    DagRun.run_type,
    DagRun.state,
    DagRun.start_date,
    DagRun.end_date,
    DagRun.triggering_user_name,
)


def _newest(dag_id: str, limit: int) -> Any:
    return select(*_COLUMNS).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(limit)


def _last_runs_of(session: Any, dag_ids: Sequence[str], limit: int) -> dict[str, list[Any]]:
    """The last ``limit`` runs of each DAG, newest first."""
    found: dict[str, list[Any]] = {dag_id: [] for dag_id in dag_ids}
    rows = _together(session, [_newest(dag_id, limit).add_columns(DagRun.dag_id) for dag_id in dag_ids])
    for row in sorted(rows, key=lambda row: row.id, reverse=True):
        found[row.dag_id].append(row)
    return found


def _together(session: Any, queries: Sequence[Any]) -> Iterator[Any]:
    """The rows of several queries of the same columns, a hundred queries at a time.

    So the database plans each by itself, and finds the newest rows of each DAG by an index: with a window function it reads all
    rows, and PostgreSQL does so with a subquery for each DAG, too.
    """
    for start in range(0, len(queries), 100):
        parts = [query.subquery().select() for query in queries[start : start + 100]]
        yield from session.execute(union_all(*parts))


def _run(row: Any, report: dict[str, Any] | None) -> Run:
    run_type = getattr(row.run_type, "value", row.run_type)
    state = getattr(row.state, "value", row.state)
    return Run(row.run_id, run_type, state, row.start_date, row.end_date, row.triggering_user_name, report)


def _reports(session: Any, run_ids: list[int], tasks: Sequence[str] = (FETCH, DELIVER)) -> dict[int, dict[str, Any]]:
    """The reports of runs by their number; that of ``deliver`` counts before that of ``fetch``, which failed."""
    query = select(XComModel.dag_run_id, XComModel.task_id, XComModel.value).where(
        XComModel.dag_run_id.in_(run_ids), _is_report(*tasks)
    )
    rows = sorted(session.execute(query), key=lambda row: tasks.index(row.task_id.rpartition(".")[2]))
    return {row.dag_run_id: report for row in rows if (report := _report(row))}


def _report(row: Any) -> dict[str, Any] | None:
    """The report in a row of XCom; None where it is none, or is gone.

    By Airflow's backend, as a task pulls it: with XCom in object storage the row of a large value holds the place of a file.
    """
    try:
        value = XCom.deserialize_value(row)
    except Exception:
        log.exception("a report cannot be read from where Airflow's XCom backend keeps it: give the API server access to that")
        return None
    return value if isinstance(value, dict) else None


def _is_report(*task_ids: str) -> Any:
    """Whether an XCom is the report of one of these tasks, which are in a TaskGroup where the DAG is one of a user's own."""
    names = or_(XComModel.task_id.in_(task_ids), *(XComModel.task_id.endswith(f".{name}", autoescape=True) for name in task_ids))
    # Not by the index of keys, which SQLite takes for the best one: it leads to the reports of all runs of all DAGs.
    return and_(names, XComModel.map_index == -1, func.coalesce(XComModel.key, "") == "report")


def _last_events(session: Any, asset_ids: Sequence[int]) -> dict[int, Any]:
    """The last event of each asset, by the asset's number."""
    events = select(AssetEvent.asset_id, AssetEvent.timestamp, AssetEvent.extra).order_by(AssetEvent.timestamp.desc()).limit(1)
    rows = _together(session, [events.where(AssetEvent.asset_id == asset_id) for asset_id in asset_ids])
    return {row.asset_id: row for row in rows}


def _variables(session: Any, keys: list[str]) -> dict[str, str | None]:
    return {variable.key: variable.val for variable in session.scalars(select(Variable).where(Variable.key.in_(keys)))}
