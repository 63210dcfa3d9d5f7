"""The audit: what one of 100,000 events costs, what is kept for it, and whether it finds what was lost on purpose."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from auth0_webhooks.times import iso
from bench.support.results import Figure, Part, at_least, at_most
from bench.support.sink import sink
from simulation.local_airflow import PROJECT
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant

EVENTS, A_RUN = 100_000, 20_000
ROUTE, CONN_ID, WEBHOOK = "audited", "auth0_bench", "webhook_bench"
SKIPPED = (40_000, 41_000)
"""The events that the checkpoint is moved past by hand, after two runs."""
LATE = range(50_500, 100_000, 1_000)
"""The events that the log shows only after all runs."""
LEFT_OUT = {"sapi", "fapi"}


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure with whole runs on an Airflow database, each in a process of its own, without a scheduler."""
    tenant = Tenant()
    tenant.log_token_requests = False
    with tempfile.TemporaryDirectory() as folder, tenant.running(), sink() as webhook:
        home = Path(folder)
        _prepare(home)
        env = _environment(home, tenant.url, webhook.url)
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True, timeout=900)
        ids = tenant.add_many(EVENTS, spread=20 * 3600.0)
        kinds = dict(zip(ids, (kind for _, kind, _ in tenant.log()), strict=True))
        late = [ids[number] for number in LATE if kinds[ids[number]] not in LEFT_OUT]
        tenant.shown_after = dict.fromkeys(late, 1e9)
        runs = EVENTS // A_RUN + 1
        _in_a_process(env, "runs", f"{SKIPPED[0] // A_RUN}", f"{runs}", ids[SKIPPED[1] - 1])
        tenant.shown_after = {}
        skipped = [log_id for log_id in ids[slice(*SKIPPED)] if kinds[log_id] not in LEFT_OUT]
        say(f"{runs} runs have delivered {webhook.counted().posts:,} events")
        lost = {*late, *skipped}
        audit, repair, again = (_in_a_process(env, "audit", *words) for words in ((), ("--send",), ()))
        empty = _in_a_process(env, "audit", "--before")
        say(f"the audit: {audit['outcome']}; {repair['outcome']}; {again['outcome']}")
        delivered = webhook.counted()
        stored = sum(path.stat().st_size for path in (home / "kept").rglob("*.hashes"))
    kept = EVENTS - len(lost) - sum(kind in LEFT_OUT for kind in kinds.values())
    named = {event["log_id"] for event in audit["missing"]}
    part = Part(
        "The audit",
        f"{EVENTS:,} events of 20 hours, delivered by runs of {A_RUN:,}. On purpose {len(skipped):,} wanted events were skipped "
        f"by a checkpoint that was moved by hand, and {len(late)} were shown by the log only after all runs. One route; the "
        "tenant is on the same machine and has no rate limit.",
        ("", "the audit", "the audit that sends", "the audit after it"),
    )
    for name, key in (("requests to the log", "api_requests"), ("seconds", "seconds"), ("not accounted for", "unaccounted")):
        part.rows.append((name, *(f"{each[key]:,}" for each in (audit, repair, again))))
    part.rows.append(("delivered by it", *(f"{each['sent']:,}" for each in (audit, repair, again))))
    more = (each["memory"] - empty["memory"] for each in (audit, repair, again))
    part.rows.append(("memory that it took more than an audit of no events, MB", *(f"{each:.0f}" for each in more)))
    part.rows.append(("bytes kept per event", f"{stored / kept:.2f}", "", ""))
    found = audit["unaccounted"] if named <= lost else 0
    part.targets += [
        at_most(Figure(f"requests of an audit of {EVENTS:,} events", (float(audit["api_requests"]),)), EVENTS / 99 + 2),
        at_least(Figure(f"events lost on purpose that were found / {len(lost):,}", (found / len(lost),)), 1),
        at_most(Figure("events not accounted for after the audit that sends", (float(again["unaccounted"]),)), 0),
        at_most(Figure("events sent twice by it", (float(delivered.repeats),)), 0),
        at_most(Figure("bytes kept per event", (stored / kept,)), 9),
    ]
    return [part]


def _prepare(home: Path) -> None:
    dags = home / "dags"
    dags.mkdir()
    for name in ("webhook_routes.py", "webhook_audit.py"):
        shutil.copy(PROJECT / "dags" / name, dags)
    route = {
        "auth0_conn_id": CONN_ID,
        "webhook_conn_id": WEBHOOK,
        "max_logs_per_run": A_RUN,
        "watch": "off",
        "concurrent_calls": 20,
        "dead_letter_path": str(home / "kept"),
    }
    (dags / "webhook_routes.yaml").write_text(json.dumps({"routes": {ROUTE: route}}), encoding="utf-8")


def _environment(home: Path, tenant: str, webhook: str) -> dict[str, str]:
    auth0 = {"conn_type": "http", "host": tenant, "login": CLIENT_ID, "password": CLIENT_SECRET}
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(auth0),
        f"AIRFLOW_CONN_{WEBHOOK.upper()}": json.dumps({"conn_type": "http", "host": webhook}),
    }


def _in_a_process(env: dict[str, str], *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "bench.audit", *words],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{words} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(words: Sequence[str] | None = None) -> None:
    """What such a process does: the runs of the route, or one audit."""
    parser = argparse.ArgumentParser()
    parts = parser.add_subparsers(dest="part", required=True)
    runs = parts.add_parser("runs")
    runs.add_argument("before", type=int)
    runs.add_argument("count", type=int)
    runs.add_argument("moved_to")
    audit = parts.add_parser("audit")
    audit.add_argument("--send", action="store_true")
    audit.add_argument("--before", action="store_true", help="the hour before the events")
    given = parser.parse_args(words)
    print(json.dumps(_runs(given) if given.part == "runs" else _audit(send=given.send, before=given.before)))


def _runs(given: argparse.Namespace) -> int:
    from airflow.models.variable import Variable

    for number in range(given.count):
        if number == given.before:
            Variable.set(f"{ROUTE}_checkpoint", given.moved_to)
        if str(_dags()[ROUTE].test(logical_date=None).state) != "success":
            raise RuntimeError(f"run {number} failed")
    return int(given.count)


def _audit(*, send: bool, before: bool) -> dict[str, Any]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    now = datetime.now(timezone.utc)
    since, until = now - timedelta(hours=24), now - timedelta(hours=23 if before else 0.05)
    conf, dag, at_first = {"since": iso(since), "until": iso(until), "send": send}, _dags()["auth0_webhook_audit"], _memory()
    run = dag.test(logical_date=None, run_conf=conf)
    with create_session() as session:
        (row,) = session.query(XComModel).filter(XComModel.run_id == run.run_id, XComModel.key == "report")
        report = json.loads(row.value) if isinstance(row.value, str) else row.value
    return {**report[ROUTE], "memory": _memory() - at_first}


def _dags() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    return DagBag(dag_folder=folder, bundle_path=Path(folder)).dags


def _memory() -> float:
    """The most memory that this process has had so far, in MB. What ``getrusage`` says would be its parent's, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
