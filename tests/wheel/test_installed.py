"""The wheel in an Airflow that was there before: nothing of it changes, and a five-line DAG file is a running route."""

from __future__ import annotations

import json
import shutil

import pytest

from simulation.tenant import CLIENT_ID, CLIENT_SECRET
from tests.conftest import PROJECT
from tests.runs.dag_files.test_python_api import FIVE_LINES
from tests.wheel.support import AIRFLOWS, Environment, airflow, build, interpreters

pytestmark = pytest.mark.wheel

OURS = {
    "auth0-log-webhooks",
    "cloudevents",
    "deprecation",
    "deprecated",
    "jmespath",
    "pycurl",
    "standardwebhooks",
    "wrapt",
    "types-deprecated",
}
"""The package, what it needs beyond Airflow and the http provider, and what that needs."""
COMBINATIONS = [(python, airflow) for airflow in AIRFLOWS for python in interpreters()]

PLUGINS = """
from airflow import plugins_manager
from airflow.providers_manager import ProvidersManager
from airflow.sdk import plugins_manager as of_tasks
plugins, errors = plugins_manager._get_plugins()
views, _ = plugins_manager._get_ui_plugins()
apps, _ = plugins_manager.get_fastapi_plugins()
hooks = ProvidersManager().hooks
found = {
    "plugins": [plugin.name for plugin in plugins],
    "of_tasks": [plugin.name for plugin in of_tasks._get_plugins()[0]],
    "errors": errors,
    "sources": [str(plugin.source) for plugin in plugins],
    "views": [view["url_route"] for view in views],
    "apps": [app["url_prefix"] for app in apps],
    "types": [name for name in hooks if name in ("auth0", "webhook") and hooks[name]],
}
"""
ONCE = {
    "plugins": ["auth0_webhooks_page"],
    "of_tasks": ["auth0_webhooks_page"],
    "errors": {},
    "views": ["auth0-webhooks", "auth0-webhook-route"],
    "apps": ["/tenant-logs"],
    "types": ["auth0", "webhook"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda it: f"airflow {it[1]}, python {it[0]}")
def installed(request, wheel, tmp_path_factory):
    """An Airflow with the wheel, and what was installed before and after."""
    python, version = request.param
    folder = tmp_path_factory.mktemp("installed")
    environment = Environment(folder, interpreters()[python])
    environment.install(*airflow(version))
    before = environment.freeze()
    assert before["apache-airflow"] == f"apache-airflow=={version}"
    constraints = folder / "before.txt"
    constraints.write_text("\n".join(before.values()), encoding="utf-8")
    environment.install(wheel, "--constraint", constraints)
    yield environment, before, environment.freeze()
    shutil.rmtree(folder)


def test_no_version_of_what_was_there_changes(installed):
    _, before, after = installed
    assert {name: line for name, line in after.items() if name in before} == before
    print(f"{len(before)} packages before; added: {', '.join(after[name] for name in sorted(after.keys() - before.keys()))}")
    assert after.keys() - before.keys() <= OURS


def test_page_and_connection_types_are_there_once(installed):
    found = installed[0].evaluate(PLUGINS)
    (source,) = found.pop("sources")
    assert "auth0-log-webhooks" in source
    assert found == ONCE


def test_page_is_there_once_where_the_plugins_folder_has_it_too(installed):
    environment = installed[0]
    plugins = environment.home / "plugins"
    shutil.copytree(PROJECT / "plugins", plugins, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    try:
        found = environment.evaluate(PLUGINS)
    finally:
        shutil.rmtree(plugins)
    (source,) = found.pop("sources")
    assert "auth0_webhooks_page.py" in source
    assert found == ONCE


def test_the_plugins_of_others_stay(installed, tmp_path):
    """Also where both have the page: in a task, a second plugin of its name would take the entry points after it along."""
    environment = installed[0]
    other = tmp_path / "zz_other-1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-other\nVersion: 1\n", encoding="utf-8")
    (other / "entry_points.txt").write_text("[airflow.plugins]\nzz_other = zz_other:Other\n", encoding="utf-8")
    code = "from airflow.plugins_manager import AirflowPlugin\nclass Other(AirflowPlugin):\n    name = 'zz_other'\n"
    (tmp_path / "zz_other.py").write_text(code, encoding="utf-8")
    shutil.copytree(PROJECT / "plugins", environment.home / "plugins", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    try:
        found = environment.evaluate(PLUGINS, PYTHONPATH=str(tmp_path))
    finally:
        shutil.rmtree(environment.home / "plugins")
    assert sorted(found["plugins"]) == sorted(found["of_tasks"]) == ["auth0_webhooks_page", "zz_other"]


def connections(tenant, receiver):
    """As environment variables: of the types that the wheel brings."""
    of_tenant = {"conn_type": "auth0", "host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
    of_webhook = {"conn_type": "webhook", "host": receiver.url}
    return {"AIRFLOW_CONN_AUTH0_DEFAULT": json.dumps(of_tenant), "AIRFLOW_CONN_PAGER": json.dumps(of_webhook)}


def run_five_lines(environment, tenant, receiver):
    (environment.dags / "blocked.py").write_text(FIVE_LINES.format(name="user_blocked"), encoding="utf-8")
    tenant.add_many(20, types={"limit_wc": 1, "s": 2})
    environment.run("-m", "airflow", "db", "migrate")
    environment.run("-m", "airflow", "dags", "test", "user_blocked", **connections(tenant, receiver))
    assert sorted(receiver.accepted) == [log_id for log_id, kind, _ in tenant.log() if kind == "limit_wc"] != []


def test_five_lines_are_a_running_route(installed, tenant, receiver):
    run_five_lines(installed[0], tenant, receiver)


def test_the_dead_letters_of_a_route_in_python_are_found(installed, tenant, receiver):
    """By what this Airflow says of the route's asset, which is no public API."""
    environment = installed[0]
    route = FIVE_LINES.format(name="user_blocked").replace("pager", 'pager", on_reject="dead_letter')
    (environment.dags / "blocked.py").write_text(route, encoding="utf-8")
    dag = "from auth0_webhooks import build_dead_letter_dag  # airflow\ndag = build_dead_letter_dag()\n"
    (environment.dags / "letters.py").write_text(dag, encoding="utf-8")
    environment.run("-m", "airflow", "db", "migrate")
    environment.run("-m", "airflow", "dags", "reserialize")
    conf = json.dumps({"route": "user_blocked"})
    printed = environment.run("-m", "airflow", "dags", "test", "auth0_webhook_dead_letters", "--conf", conf)
    assert "user_blocked: 0 dead letters found" in printed


def test_the_lowest_versions_that_the_wheel_takes_do(wheel, tmp_path, tenant, receiver):
    environment = Environment(tmp_path, next(iter(interpreters().values())))
    environment.install(
        "--resolution", "lowest-direct", "--requirements", PROJECT / "pyproject.toml", wheel, *airflow(AIRFLOWS[0])[:2]
    )  # fmt: skip
    run_five_lines(environment, tenant, receiver)
