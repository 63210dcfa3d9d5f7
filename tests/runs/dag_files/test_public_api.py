"""What a DAG file imports, today's and that of 0.1.0."""

from __future__ import annotations

import subprocess
import sys

import pytest

import auth0_webhooks
from tests.conftest import PROJECT


def python(code):
    """What a fresh interpreter prints, whose warnings are errors only where the code says so."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT / "plugins", timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", auth0_webhooks.__all__)
def test_each_public_name_is_there(name):
    assert getattr(auth0_webhooks, name).__name__ == name


def test_another_name_is_an_error_that_names_it():
    with pytest.raises(AttributeError, match="no attribute 'build_all'"):
        auth0_webhooks.build_all  # noqa: B018


def test_the_package_itself_loads_nothing_since_every_process_of_airflow_imports_it():
    code = (
        "import sys; before = set(sys.modules); import auth0_webhooks.connections.provider as p; p.get_provider_info(); "
        "print(*(name for name in set(sys.modules) - before if not name.startswith('auth0_webhooks')))"
    )
    assert not set(python(code)) & {"airflow", "pydantic", "yaml", "requests", "aiohttp"}


def test_a_dag_file_of_0_1_0_goes_on_working_and_says_what_to_import_now():
    code = (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    from auth0_webhooks.route import load_routes, Route\n"
        "    from auth0_webhooks.route_dag import build_dag\n"
        "    from auth0_webhooks.dead_letter_dag import build_dead_letter_dag\n"
        "    from auth0_webhooks.errors import SettingError\n"
        "print(*{w.category.__name__ for w in caught if 'auth0_webhooks.route is deprecated' in str(w.message)})\n"
    )
    assert python(code) == ["DeprecationWarning"]


def test_the_watch_that_airflows_database_names_since_0_1_0_is_still_found():
    assert python("from auth0_webhooks.watch import LogWatch; print(LogWatch.__module__)") == [
        "auth0_webhooks.triggers.log_watch"
    ]
