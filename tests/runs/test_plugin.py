"""The page's plugin, from the plugins folder, the entry point, or both."""

from __future__ import annotations

import logging
import shutil
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from auth0_webhooks import plugin
from tests.conftest import PROJECT

ENTRY_POINT = EntryPoint(name="auth0_webhooks_page", group="airflow.plugins", value="auth0_webhooks.plugin:by_entry_point")


def test_without_the_file_of_a_plugins_folder_the_entry_point_gives_the_plugin(monkeypatch):
    monkeypatch.delitem(sys.modules, plugin.FILE, raising=False)
    assert ENTRY_POINT.load() is plugin.Auth0WebhooksPage


def test_after_that_file_was_read_the_entry_point_gives_none(monkeypatch):
    """Also one of version 0.1.0, which defines a plugin itself."""
    module = ModuleType(plugin.FILE)
    module.Auth0WebhooksPage = object
    monkeypatch.setitem(sys.modules, plugin.FILE, module)
    assert ENTRY_POINT.load() is None


def test_a_file_that_could_not_be_read_does_not_count(monkeypatch):
    monkeypatch.setitem(sys.modules, plugin.FILE, ModuleType(plugin.FILE))
    assert ENTRY_POINT.load() is plugin.Auth0WebhooksPage


def test_two_copies_are_reported_with_both_paths(tmp_path, caplog):
    shutil.copytree(PROJECT / "plugins" / "auth0_webhooks", tmp_path / "auth0_webhooks")
    with caplog.at_level(logging.WARNING):
        assert plugin.from_folder(str(tmp_path / "auth0_webhooks_page.py")) is plugin.Auth0WebhooksPage
    (record,) = caplog.records
    assert str(tmp_path / "auth0_webhooks") in record.getMessage()
    assert str(PROJECT / "plugins" / "auth0_webhooks") in record.getMessage()


@pytest.mark.parametrize("folder", [PROJECT / "plugins", None])
def test_one_copy_is_not_reported(tmp_path, caplog, folder):
    plugin.from_folder(str((folder or tmp_path) / "auth0_webhooks_page.py"))
    assert caplog.records == []
