"""The JSON schema of the route file, for editors: they complete keys and values, explain them, and mark mistakes.

The settings' own types and descriptions are its source. It accepts the spellings that the docs use; :mod:`routes_file` also
accepts others, such as a number in quotes, and checks what a schema cannot, such as a cron expression.
"""

from __future__ import annotations

import json
from typing import Any

from auth0_webhooks.filtering.log_types import categories, log_types
from auth0_webhooks.privacy.redaction import ACTIONS, USER_DATA
from auth0_webhooks.settings.route import Route


def schema() -> dict[str, Any]:
    """The schema of a whole route file, in draft 7: the newest that every editor knows."""
    settings = Route.model_json_schema()["properties"]
    name = settings.pop("name")
    for setting in settings.values():
        del setting["title"]
    # An editor proposes the names that are known. Auth0 adds log types often, so others are no mistake.
    for setting in ("log_types", "exclude_types"):
        _items(settings[setting])["items"] = {"$ref": "#/definitions/log_type"}
    _items(settings["include_types"])["items"] = {"enum": categories()}
    settings["redact"]["properties"] = {USER_DATA: {"enum": list(ACTIONS)}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Routes: Auth0 log events to webhooks",
        "type": "object",
        "required": ["routes"],
        "additionalProperties": False,
        "properties": {
            "defaults": {
                "description": "Settings for all routes that do not set the same key themselves.",
                "allOf": [{"$ref": "#/definitions/settings"}],
            },
            "routes": {
                "description": "One entry per route.",
                "type": "object",
                "propertyNames": {"pattern": name["pattern"], "description": name["description"]},
                "additionalProperties": {"$ref": "#/definitions/settings"},
            },
        },
        "definitions": {
            "settings": {"type": ["object", "null"], "additionalProperties": False, "properties": settings},
            "log_type": {"anyOf": [{"enum": list(log_types())}, {"type": "string"}]},
        },
    }


def as_text() -> str:
    """The schema as it is written into a file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _items(setting: dict[str, Any]) -> dict[str, Any]:
    """The part of a setting's schema that stands for a list."""
    found: dict[str, Any] = next(kind for kind in setting.get("anyOf", [setting]) if kind.get("type") == "array")
    return found
