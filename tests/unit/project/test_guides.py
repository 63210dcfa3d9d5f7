"""docs/: the examples are well-formed, and name the settings and packages that there are."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from auth0_webhooks.settings.routes_file import load_routes
from tests.conftest import PROJECT

PAGES = sorted((PROJECT / "docs").glob("*.md"))


def blocks(page, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


EXAMPLES = [(page.name, text) for page in PAGES for text in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "text"), EXAMPLES, ids=[f"{page}-{number}" for number, (page, _) in enumerate(EXAMPLES)])
def test_every_yaml_example_can_be_read_and_a_route_file_has_no_mistake(tmp_path, page, text):
    example = yaml.safe_load(text)
    assert isinstance(example, dict)
    if {"routes", "defaults"} & set(example):
        example.setdefault("routes", {"any": {}})
        (tmp_path / "routes.yaml").write_text(yaml.safe_dump(example), encoding="utf-8")
        _, errors = load_routes(tmp_path / "routes.yaml")
        assert errors == []


def test_every_json_example_can_be_read():
    for page in PAGES:
        for text in blocks(page, "json"):
            json.loads(text)


def test_the_plugins_folder_needs_the_packages_of_the_page_in_the_versions_of_the_package():
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r"'([\w-]+>=[\d.]+)'", (PROJECT / "docs" / "install-files.md").read_text(encoding="utf-8"))
    assert len(named) == 4
    assert [line for line in named if f'"{line}"' not in project] == []


def test_every_place_to_install_has_a_page_in_the_overview():
    overview = (PROJECT / "docs" / "install.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name.startswith("install-") and f"({page.name})" not in overview] == []
