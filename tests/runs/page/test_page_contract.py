"""What the page uses of Airflow that is no public API: an Airflow that changes it fails here first, and says where."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.airflow


def test_the_imports_that_are_no_public_api_are_in_one_file():
    private = [
        path.name
        for path in (PROJECT / "plugins").rglob("*.py")
        if any(f"airflow.{part}" in path.read_text(encoding="utf-8") for part in ("api_fastapi", "models"))
    ]
    assert private == ["stored.py"]


def test_the_auth_manager_answers_the_questions_that_are_asked():
    from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails, VariableDetails
    from airflow.models.dag import DagModel

    for name, wanted in {
        "is_authorized_dag": {"method", "user", "access_entity", "details"},
        "is_authorized_variable": {"method", "user", "details"},
    }.items():
        assert wanted <= inspect.signature(getattr(BaseAuthManager, name)).parameters.keys()
    assert {"RUN", "XCOM"} <= set(DagAccessEntity.__members__)
    assert {"dag_ids", "session"} <= inspect.signature(DagModel.get_dag_id_to_team_name_mapping).parameters.keys()
    assert DagDetails(id="a", team_name=None).id == "a"
    assert VariableDetails(key="a").key == "a"


@pytest.mark.parametrize(
    ("module", "model", "columns"),
    [
        ("airflow.models.dag", "DagModel", "dag_id dag_display_name is_paused is_stale"),
        ("airflow.models.dag", "DagTag", "name dag_id"),
        ("airflow.models.dagrun", "DagRun", "id dag_id run_id run_type state start_date end_date triggering_user_name"),
        ("airflow.models.xcom", "XComModel", "dag_run_id task_id map_index key value"),
        ("airflow.models.asset", "AssetModel", "id name extra"),
        ("airflow.models.asset", "AssetEvent", "asset_id timestamp extra"),
        ("airflow.models.variable", "Variable", "key val"),
    ],
)
def test_the_tables_have_the_columns_that_are_read(module, model, columns):
    found = getattr(importlib.import_module(module), model)
    assert [name for name in columns.split() if not hasattr(found, name)] == []


def test_the_queries_go_by_an_index():
    from airflow.models.asset import AssetEvent
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel

    def indexed(model):
        keys = [list(index.columns.keys()) for index in model.__table__.indexes]
        return [*keys, list(model.__table__.primary_key.columns.keys())]

    assert ["dag_id"] in indexed(DagRun)
    assert ["dag_run_id", "task_id", "map_index", "key"] in indexed(XComModel)
    assert ["asset_id", "timestamp"] in indexed(AssetEvent)


def test_the_plugin_is_loaded_without_the_page_or_the_api_server():
    """Every process of Airflow's loads the plugin file, each task, too."""
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('p', {str(PROJECT / 'plugins' / 'auth0_webhooks_page.py')!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "assert 'fastapi' not in sys.modules and 'auth0_webhooks.page.api' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr


def test_airflow_takes_the_pages_address_and_its_two_places():
    from airflow import plugins_manager
    from airflow.api_fastapi.app import RESERVED_URL_PREFIXES

    spec = importlib.util.spec_from_file_location("page_plugin", PROJECT / "plugins" / "auth0_webhooks_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (app,) = module.Auth0WebhooksPage.fastapi_apps
    assert not app["url_prefix"].startswith(tuple(RESERVED_URL_PREFIXES))
    assert plugins_manager.is_valid_plugin(module.Auth0WebhooksPage)
    places = {view["destination"]: view["url_route"] for view in module.Auth0WebhooksPage.external_views}
    assert places == {"nav": "auth0-webhooks", "dag": "auth0-webhook-route"}
