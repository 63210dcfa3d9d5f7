"""Demonstrates the main job: a real Airflow delivers a simulated tenant's log to a webhook (``make demo``)."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from simulation.local_airflow import PROJECT, LocalAirflow, login
from simulation.receiver import Receiver
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant

DAG_ID = "auth0_log_webhooks"
EVENTS = 1_000
EXCLUDED = {"sapi", "fapi"}


def main() -> int:
    """Run the demo; returns 0 only if exactly the right events arrived, each once."""
    parser = argparse.ArgumentParser(description="Real Airflow, simulated tenant, one webhook.")
    parser.add_argument("--keep", action="store_true", help="keep Airflow, tenant and receiver running until Ctrl-C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="auth0-webhooks-demo-", ignore_cleanup_errors=True) as home:
        tenant, receiver = Tenant(), Receiver()
        with tenant.running(), receiver.running():
            say(f"a simulated Auth0 tenant is running at {tenant.url}, a webhook at {receiver.url}")
            say("starting a real Airflow in a temporary home: database, API server, scheduler, DAG processor, triggerer ...")
            with LocalAirflow(Path(home), dags=_dags(Path(home)), environment=_connections(tenant, receiver)) as airflow:
                say(f"Airflow is up at {airflow.url}")
                good = _show(airflow, tenant, receiver, say)
                if keep:
                    print(f"\nAirflow stays up at {airflow.url} ({login(airflow)}); Ctrl-C stops it.", flush=True)
                    _until_interrupted()
            say("Airflow has stopped; its temporary files are removed")
    return 0 if good else 1


def _dags(home: Path) -> Path:
    """The project's DAGs, without their watch: it would deliver before the command that the demo shows is entered."""
    dags = Path(shutil.copytree(PROJECT / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__")))
    routes = dags / "webhook_routes.yaml"
    routes.write_text(f"{routes.read_text(encoding='utf-8').rstrip()}\n    watch: off\n", encoding="utf-8")
    return dags


def _show(airflow: LocalAirflow, tenant: Tenant, receiver: Receiver, say: Any) -> bool:
    airflow.wait_until(lambda: airflow.rows("select 1 from dag where dag_id = ?", DAG_ID), "the DAG exists", 60)
    airflow.cli("dags", "unpause", DAG_ID)
    say(f"DAG {DAG_ID} is enabled; its schedule starts a first run on the tenant's empty log ...")
    airflow.wait_until(lambda: [s for _, s in airflow.runs(DAG_ID) if s in {"success", "failed"}], "the scheduled run ends", 120)

    tenant.add_many(EVENTS)
    say(f"the tenant now logs {EVENTS:,} events")
    print(f"          $ airflow dags trigger {DAG_ID}", flush=True)
    airflow.trigger(DAG_ID, "demo")
    _progress(airflow, receiver, "demo", say)
    print(f"          $ airflow dags trigger {DAG_ID}", flush=True)
    airflow.trigger(DAG_ID, "demo-again")
    _progress(airflow, receiver, "demo-again", say)

    for run_id in ("demo", "demo-again"):
        print(f"\nThe report of run {run_id!r} (log and XCom of its last task):\n")
        print(_report_text(airflow, run_id))
    if receiver.posts:
        post = receiver.posts[-1]
        print("\nAn event as it arrived:\n")
        print(f"  POST {post.path}")
        for name, value in post.headers.items():
            print(f"  {name}: {value}")
        print("\n" + "\n".join("  " + line for line in json.dumps(post.event, indent=2, ensure_ascii=False).splitlines()))
    airflow.wait_until(
        lambda: all(state in {"success", "failed"} for _, state in airflow.runs(DAG_ID)), "the scheduled runs end", 120
    )
    return _judge(tenant, receiver, airflow)


def _progress(airflow: LocalAirflow, receiver: Receiver, run_id: str, say: Any) -> None:
    shown = ""
    deadline = time.monotonic() + 600
    while (state := airflow.run_state(DAG_ID, run_id)) not in {"success", "failed"} and time.monotonic() < deadline:
        tasks = dict(airflow.rows("select task_id, state from task_instance where run_id = ? and state is not null", run_id))
        line = ", ".join(f"{task} {tasks[task]}" for task in ("fetch", "filter", "deliver") if task in tasks)
        if line and line != shown:
            say(f"run {run_id!r}: {line}; POSTs so far: {len(receiver.posts):,}")
            shown = line
        time.sleep(0.3)
    say(f"run {run_id!r}: {state}; POSTs: {len(receiver.posts):,}")


def _report_text(airflow: LocalAirflow, run_id: str) -> str:
    from auth0_webhooks.operators.ledger import Report

    stored = airflow.report(DAG_ID, run_id)
    return "\n".join(f"  {line}" for line in Report(**stored).text().splitlines()) if stored else "  the run wrote no report"


def _judge(tenant: Tenant, receiver: Receiver, airflow: LocalAirflow) -> bool:
    """Compare what the tenant logged with what the webhook accepted, event by event, body by body."""
    wanted = {log_id: (kind, text) for log_id, kind, text in tenant.log() if kind not in EXCLUDED}
    arrived = Counter(receiver.accepted)
    bodies_differ = [post.log_id for post in receiver.posts if post.log_id in wanted and wanted[post.log_id][1] != post.body]
    lost, extra = wanted.keys() - arrived.keys(), arrived.keys() - wanted.keys()

    print("\nBy log type, all runs    in the log   at the webhook")
    in_log, at_webhook = Counter(kind for _, kind, _ in tenant.log()), receiver.by_type()
    for kind, count in in_log.most_common():
        print(f"  {kind:<20} {count:>12,} {at_webhook[kind]:>16,}{'   excluded by exclude_types' if kind in EXCLUDED else ''}")
    runs = [state for _, state in airflow.runs(DAG_ID)]
    second = airflow.report(DAG_ID, "demo-again") or {}
    in_all = f"{len(wanted):,} events were wanted in all runs"
    checks = {
        f"{in_all}, {len(arrived.keys() & wanted.keys()):,} arrived, {len(lost)} lost": not lost,
        f"{receiver.repeats} arrived twice, {len(extra)} were not wanted": not receiver.repeats and not extra,
        f"{len(bodies_differ)} bodies differ from what Auth0 sent; other faults: {len(receiver.problems)}": not bodies_differ
        and not receiver.problems,
        f"the second run read {second.get('read')} events and sent {second.get('delivered_now')}": second.get("read") == 0,
        f"{runs.count('success')} of {len(runs)} runs succeeded": runs.count("success") == len(runs),
    }
    print("\nResult")
    for text, good in checks.items():
        print(f"  {'ok  ' if good else 'FAIL'} {text}")
    print(flush=True)
    return all(checks.values())


def _connections(tenant: Tenant, receiver: Receiver) -> dict[str, str]:
    return {
        "AIRFLOW_CONN_AUTH0_DEFAULT": json.dumps(
            {"conn_type": "http", "host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
        ),
        "AIRFLOW_CONN_WEBHOOK_DEFAULT": json.dumps({"conn_type": "http", "host": f"{receiver.url}/hooks/auth0"}),
    }


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "plugins"))
    sys.exit(main())
