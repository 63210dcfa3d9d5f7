"""``check --connections``: what would fail a route's tasks is found before they run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from airflow.models import Connection
from airflow.utils.session import create_session
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from auth0_webhooks.cli.commands import main
from tests.conftest import PROJECT, set_connection

pytestmark = pytest.mark.airflow


@pytest.fixture
def check(airflow_home, tmp_path, capsys, monkeypatch):
    """What the command says of a route with these settings, in the process of the tests."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # as the command sets it; it is unset after the test
    set_connection(monkeypatch, "tenant", host="example.eu.auth0.com", login="client", password="secret")
    set_connection(monkeypatch, "hook", host="https://hooks.example.com/auth0")

    def check(**settings):
        lines = [
            f"    {key}: {value}\n" for key, value in ({"auth0_conn_id": "tenant", "webhook_conn_id": "hook"} | settings).items()
        ]
        (tmp_path / "routes.yaml").write_text("routes:\n  a:\n" + "".join(lines), encoding="utf-8")
        status = main(["check", "--connections", str(tmp_path / "routes.yaml")])
        found = capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()[:-1]
        assert status == bool(found)
        return [line for line in found if line.startswith("routes.yaml")]

    return check


def test_complete_connections_are_no_mistake(check):
    assert check() == []
    assert check(envelope="cloudevents", on_reject="dead_letter", dead_letter_path_shared="true") == []


def test_a_connection_that_is_missing_is_named_with_the_line_of_its_route_and_how_to_set_it(check):
    assert check(webhook_conn_id="pager", alarm_conn_id="chat") == [
        f"routes.yaml:2: route 'a': connection {conn_id!r} is missing: set it under Admin > Connections or in "
        f"AIRFLOW_CONN_{conn_id.upper()}"
        for conn_id in ("pager", "chat")
    ]


def test_secrets_for_the_body_need_single_events(check, monkeypatch):
    set_connection(monkeypatch, "hook", host="https://hooks.example.com", extra={"body_secrets": {"routing_key": "k"}})
    assert check() == []
    (found,) = check(payload="lines")
    assert "has 'body_secrets', which are added to single events only, and the route's payload is 'lines'" in found


def test_what_a_connection_lacks_is_named(check, monkeypatch):
    set_connection(monkeypatch, "tenant", host="example.eu.auth0.com", login="client")
    set_connection(monkeypatch, "hook", host="https://hooks.example.com", extra={"signing_secrets": ["short"]})
    set_connection(monkeypatch, "chat", login="x")
    found = check(alarm_conn_id="chat", redact="{user_data: pseudonym}", envelope="cloudevents")
    assert [line.partition("route 'a': ")[2].partition(": set it")[0].partition(" and the base64")[0] for line in found] == [
        "connection 'tenant' has no password (the client secret)",
        "connection 'hook': extra 'signing_secrets' must be a list of secrets, newest first: secret 1 of 1 is not 'whsec_'",
        "pseudonyms need a 'pseudonym_secret' in the extra of connection 'hook', a random text of at least 32 characters",
        "connection 'chat' has no host",
    ]


def test_a_place_for_dead_letters_that_cannot_be_reached_is_named(check):
    (found,) = check(on_reject="dead_letter", dead_letter_path="nosuchscheme://bucket/folder")
    assert "key 'dead_letter_path': no object storage can be reached by it" in found


def test_connections_in_airflows_database_are_found_by_a_process_of_its_own(airflow_home, tmp_path):
    with create_session() as session:
        session.query(Connection).where(Connection.conn_id.startswith("stored_")).delete()
        session.add(Connection(conn_id="stored_tenant", conn_type="http", host="a.test", login="x", password="x"))
        session.add(Connection(conn_id="stored_hook", conn_type="http", host="a.test"))
    text = "routes:\n  a:\n    auth0_conn_id: stored_tenant\n    webhook_conn_id: stored_hook\n  b: {auth0_conn_id: unknown}\n"
    (tmp_path / "routes.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "auth0_webhooks", "check", "--connections", "routes.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "plugins")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    found = [line.partition(": set it")[0] for line in done.stdout.splitlines()]
    assert "routes.yaml:5: route 'b': connection 'unknown' is missing" in found
    assert not [line for line in found if "route 'a'" in line or "cannot be read" in line]


def test_a_database_that_cannot_be_read_is_named(check, tmp_path, monkeypatch, capsys):
    from auth0_webhooks.cli import connections

    empty = sessionmaker(create_engine(f"sqlite:///{tmp_path}/empty.db"))
    monkeypatch.setattr(connections, "create_session", empty)
    assert connections.database_problem().startswith(
        "Airflow's database cannot be read (OperationalError), so connections that are stored there count as missing"
    )
    assert check(webhook_conn_id="pager")
