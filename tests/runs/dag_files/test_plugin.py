"""The page's plugin, from the plugins folder, the entry point, or both."""

from __future__ import annotations

import logging
import shutil
import sys
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from auth0_webhooks.page import plugin
from tests.conftest import PROJECT

ENTRY_POINT = EntryPoint(name="auth0_webhooks_page", group="airflow.plugins", value="auth0_webhooks.page.plugin:by_entry_point")


def test_without_the_file_of_a_plugins_folder_the_entry_point_gives_the_plugin(monkeypatch):
    monkeypatch.delitem(sys.modules, plugin.FILE, raising=False)
    assert ENTRY_POINT.load() is plugin.Auth0WebhooksPage


def loaded(monkeypatch, folder):
    """The file in a plugins folder, as Airflow loads it: under its bare name."""
    spec = spec_from_file_location(plugin.FILE, folder / "auth0_webhooks_page.py")
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, plugin.FILE, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process that has loaded no plugins yet."""
    monkeypatch.setattr(plugin, "_given", [])
    plugin._report_copies.cache_clear()


@pytest.fixture
def copy(tmp_path):
    return Path(
        shutil.copytree(PROJECT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    )


def test_after_the_file_of_a_plugins_folder_the_entry_point_gives_none(monkeypatch):
    for _time in ("for the server", "for tasks"):
        assert loaded(monkeypatch, PROJECT / "plugins").Auth0WebhooksPage is plugin.Auth0WebhooksPage
        assert ENTRY_POINT.load() is None


def test_after_the_file_of_0_1_0_which_defines_a_plugin_itself_the_entry_point_gives_none(monkeypatch, copy, caplog):
    text = "from airflow.plugins_manager import AirflowPlugin\nclass Auth0WebhooksPage(AirflowPlugin):\n    name = 'x'\n"
    (copy / "auth0_webhooks_page.py").write_text(text, encoding="utf-8")
    loaded(monkeypatch, copy)
    assert ENTRY_POINT.load() is None
    assert ENTRY_POINT.load() is None
    (record,) = caplog.records
    assert str(copy / "auth0_webhooks") in record.getMessage()


def test_after_a_file_that_could_not_be_loaded_the_entry_point_gives_the_plugin(monkeypatch):
    monkeypatch.setitem(sys.modules, plugin.FILE, ModuleType(plugin.FILE))
    assert ENTRY_POINT.load() is plugin.Auth0WebhooksPage


def test_a_second_file_in_a_plugins_folder_gives_none_and_both_paths_are_reported(monkeypatch, copy, caplog):
    loaded(monkeypatch, PROJECT / "plugins")
    assert loaded(monkeypatch, copy).Auth0WebhooksPage is None
    assert ENTRY_POINT.load() is None
    text = caplog.messages[-1]
    assert f"{PROJECT / 'plugins' / 'auth0_webhooks_page.py'} is used, {copy / 'auth0_webhooks_page.py'} is not" in text


def test_two_copies_of_the_library_are_reported_once_with_both_paths(monkeypatch, copy, caplog):
    for _time in ("for the server", "for tasks"):
        assert loaded(monkeypatch, copy).Auth0WebhooksPage is plugin.Auth0WebhooksPage
        assert ENTRY_POINT.load() is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(copy / "auth0_webhooks") in record.getMessage()
    assert str(PROJECT / "plugins" / "auth0_webhooks") in record.getMessage()


def test_one_copy_is_not_reported(monkeypatch, copy, caplog):
    loaded(monkeypatch, PROJECT / "plugins")
    shutil.rmtree(copy / "auth0_webhooks")
    plugin._given.clear()
    loaded(monkeypatch, copy)
    assert caplog.records == []
