"""The schema of the route file, with which editors complete and check it."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from jsonschema import Draft7Validator

from auth0_webhooks.filtering.log_types import log_types
from auth0_webhooks.settings.route import Route
from auth0_webhooks.settings.routes_file import load_routes
from auth0_webhooks.settings.schema import as_text, schema
from tests.conftest import PROJECT
from tests.support.programs.settings_page import SCHEMA

SHIPPED = PROJECT / "dags" / "webhook_routes.yaml"
EXAMPLES = [
    pytest.param(example, id=f"{path.name}-{number}")
    for path in [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    for number, example in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
    if "routes:" in example
]


def mistakes(text):
    """What an editor marks. It reads YAML 1.2, in which a date is a text."""
    content = json.loads(json.dumps(yaml.safe_load(text), default=lambda moment: moment.isoformat()))
    return [error.message for error in Draft7Validator(schema()).iter_errors(content)]


def test_the_file_in_the_repository_is_up_to_date():
    assert SCHEMA.read_text(encoding="utf-8") == as_text(), "run: make docs"


def test_it_is_a_valid_schema_that_describes_every_setting():
    Draft7Validator.check_schema(schema())
    settings = schema()["definitions"]["settings"]["properties"]
    assert [*settings] == [name for name in Route.model_fields if name != "name"]
    assert {name: setting["description"] for name, setting in settings.items()} == {
        name: field.description for name, field in Route.model_fields.items() if name != "name"
    }


def test_the_shipped_route_file_names_the_schema_in_its_first_line():
    text = SHIPPED.read_text(encoding="utf-8")
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.split("\n")[0])
    assert SHIPPED.parent / named[1] == SCHEMA
    assert mistakes(text) == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_docs_are_valid_by_schema_and_check(example, tmp_path):
    (tmp_path / "routes.yaml").write_text(example, encoding="utf-8")
    assert load_routes(tmp_path / "routes.yaml")[1] == []
    assert mistakes(example) == []


@pytest.mark.parametrize(
    "setting",
    [
        "log_level: error", "log_level: 3", "log_types: [f, not_yet_known]", "log_types: 'f, fp'", "exclude_types: []",
        "exclude_types:", "include_types: [auth.login, auth.signup.fail]", "include_types: auth.login", "watch: off",
        "watch: 'off'", "watch: 10", "watch:", "start_from: 2026-11-22T10:00:00Z", "start_from: now", "redact: {user_data: mask}",
        "redact: {user_data: mask, details.request.ip: drop}", "retention_days:", "where: type == 'f'", "gzip: true",
        "schedule: '@hourly'", "dead_letter_path: s3://c@bucket/folder", "max_events: 500",
    ],
)  # fmt: skip
def test_what_the_check_accepts_the_schema_accepts(setting, tmp_path):
    text = f"defaults:\n  {setting}\nroutes:\n  a:\n    {setting}\n  b:\n"
    (tmp_path / "routes.yaml").write_text(text, encoding="utf-8")
    assert load_routes(tmp_path / "routes.yaml")[1] == []
    assert mistakes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"routes:\n  a:\n    {setting}\n"
            for setting in (
                "loglevel: 1", "log_level: loud", "log_level: 5", "log_types: {a: 1}", "log_types: [1]", "payload: evnt",
                "gzip: maybe", "concurrent_calls: 0", "concurrent_calls: yes", "concurrent_calls: many",
                "max_per_second: 0", "max_per_second: fast", "watch: 0.5", "watch: yes", "max_events: 501",
                "include_types: [auth.login.fial]", "redact: {ip: hide}", "redact: {user_data: hide}", "redact: [ip]",
                "where: 5", "auth0_conn_id: ''", "name: other", "start_from: 5", "schedule: 5",
            )
        ),
        "routes:\n  a b: {}\n",
        "routes: []\n",
        "defaults: {}\n",
        "routes: {}\nroute: {}\n",
        "defaults: {gzip: maybe}\nroutes: {}\n",
    ],
)  # fmt: skip
def test_what_the_schema_can_know_to_be_wrong_it_marks(text, tmp_path):
    (tmp_path / "routes.yaml").write_text(text, encoding="utf-8")
    assert load_routes(tmp_path / "routes.yaml")[1]
    assert mistakes(text)


def test_an_editor_can_propose_every_known_log_type():
    assert schema()["definitions"]["log_type"]["anyOf"][0]["enum"] == list(log_types())
