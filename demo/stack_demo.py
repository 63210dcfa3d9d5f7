"""Runs the shipped route against the demo services of docker-compose.yaml (``docker compose --profile demo up``)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from typing import Any

from demo.services import PORT
from simulation.tenant import CLIENT_ID, CLIENT_SECRET

DAG_ID = "auth0_log_webhooks"
TENANT, RECEIVER = f"http://tenant:{PORT}", f"http://receiver:{PORT}"
EVENTS = 1_000
EXCLUDED = {"sapi", "fapi"}
CONNECTIONS: dict[str, dict[str, str]] = {
    "auth0_default": {"conn_type": "http", "host": TENANT, "login": CLIENT_ID, "password": CLIENT_SECRET},
    "webhook_default": {"conn_type": "http", "host": f"{RECEIVER}/hooks/auth0"},
}


def main() -> int:
    """Set the connections, enable the route, log events, wait until they arrive; returns 0 if each arrived exactly once."""
    for conn_id, fields in CONNECTIONS.items():
        _connect(conn_id, fields)
    _wait(lambda: _airflow("dags", "details", DAG_ID).returncode == 0, "the DAG exists", 120)
    _airflow("dags", "unpause", DAG_ID, check=True)
    print(f"DAG {DAG_ID} is enabled; the tenant logs {EVENTS:,} events", flush=True)
    ask(f"{TENANT}/demo?add={EVENTS}", post=True)
    began = time.monotonic()
    try:
        _wait(lambda: not missing(), "every wanted event has arrived", 180)
    except TimeoutError as error:
        print(f"FAIL  {error}; {len(missing())} are missing. The task logs are in the UI", flush=True)
        return 1
    known = ask(f"{RECEIVER}/demo")
    good = not known["repeats"] and not known["problems"]
    print(f"{'ok' if good else 'FAIL'}  {len(known['accepted']):,} events arrived in {time.monotonic() - began:.0f} s, 0 lost,")
    print(f"      {known['repeats']} repeated, other faults: {len(known['problems'])}", flush=True)
    return 0 if good else 1


def missing() -> set[str]:
    """The log ids of the wanted events that the receiver has not accepted yet."""
    wanted = {log_id for log_id, kind in ask(f"{TENANT}/demo")["events"] if kind not in EXCLUDED}
    return wanted - Counter(ask(f"{RECEIVER}/demo")["accepted"]).keys()


def ask(url: str, *, post: bool = False) -> Any:
    """The answer of a demo service at an address."""
    with urllib.request.urlopen(urllib.request.Request(url, method="POST" if post else "GET"), timeout=30) as answer:
        return json.load(answer)


def _connect(conn_id: str, fields: dict[str, str]) -> None:
    """Point a connection at the demo's services; if it already points elsewhere, it is in real use, and the demo ends."""
    found = _airflow("connections", "get", conn_id, "--output", "json")
    if found.returncode == 0:
        if fields["host"] not in found.stdout:
            sys.exit(
                f"This stack has a connection {conn_id} of its own, so the demo does not change it. Run the demo in a "
                "separate stack: AIRFLOW_PORT=8081 docker compose --project-name auth0-demo --profile demo up"
            )
        return
    _airflow("connections", "add", conn_id, "--conn-json", json.dumps(fields), check=True)


def _airflow(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["airflow", *arguments], capture_output=True, text=True, check=check)


def _wait(condition: Any, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
