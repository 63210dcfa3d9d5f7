"""Writes docs/settings.md and the schema for editors: ``python -m tests.support.programs.settings_page``.

Their source is the fields of Route.
"""

from __future__ import annotations

from typing import Any

from auth0_webhooks.settings import schema
from auth0_webhooks.settings.route import Route
from tests.conftest import PROJECT

PAGE = PROJECT / "docs" / "settings.md"
SCHEMA = PROJECT / "dags" / "webhook_routes.schema.json"

GROUPS = {
    "The first day": ("auth0_conn_id", "webhook_conn_id", "log_types", "log_level", "start_from", "watch", "schedule"),
    "Which events are sent": ("include_types", "exclude_types", "api_endpoints", "where"),
    "What a POST contains": ("payload", "max_events", "max_bytes", "gzip", "envelope", "body", "content_type", "redact"),
    "How events are delivered": (
        "concurrent_calls",
        "max_per_second",
        "on_reject",
        "dead_letter_path",
        "dead_letter_path_shared",
        "allow_private_addresses",
    ),
    "How the log is read": ("max_logs_per_run", "retention_days", "on_gap"),
    "Alarms": ("alarm_conn_id", "alarm_lag_seconds", "daily_summary"),
}
"""Every setting, in the order of the page: what people need first comes first."""

MORE = {
    "Which events are sent": "[Filters](filters.md) explains how the settings work together and has examples of `where`.",
    "What a POST contains": "See [payloads](payload.md) and [privacy](privacy.md).",
    "How events are delivered": "See [answers](receivers.md#what-your-answer-means), [dead letters](dead-letters.md) "
    "and [connections](connections.md#public-addresses-only).",
    "How the log is read": "See [how the log is read](reading.md).",
    "Alarms": "See [monitoring](monitoring.md#alarms).",
}

HEAD = """\
# Settings of a route

`make docs` writes this page from the descriptions in the code.

Routes are entries in `dags/webhook_routes.yaml`.
Each entry becomes one DAG, and its key is the DAG id: letters, digits, `_`, `.` and `-`.
A route with another name is another DAG, which [starts without a checkpoint](checkpoint.md#rename-a-route).
Every setting has a default.
`defaults` applies to all routes that do not set the same key themselves.

```yaml
defaults:
  auth0_conn_id: auth0_default
  start_from: now

routes:
  user_blocked:
    log_types: [limit_wc, limit_sul]
    webhook_conn_id: webhook_pager
  login_failed:
    log_types: [f, fp, fu]
    webhook_conn_id: webhook_siem
```

Airflow reads a changed file within about half a minute.
A mistake in one route removes only that route.
Invalid YAML or a mistake in `defaults` can remove [all of them](check.md#what-a-mistake-stops).
[`python -m auth0_webhooks check FILE`](check.md) names every mistake before Airflow reads the file.
Afterwards *Import Errors* in Airflow does: the file, the line, the route, the key and what was expected.
"""


def page() -> str:
    """The whole page."""
    properties = Route.model_json_schema()["properties"]
    parts = [HEAD]
    for group, names in GROUPS.items():
        rows = [
            f"| `{name}` | {_default(name)} | {_values(properties[name])} | {properties[name]['description']} |" for name in names
        ]
        parts.append("\n".join([f"## {group}", "", "| setting | default | values | meaning |", "|---|---|---|---|", *rows, ""]))
        if group in MORE:
            parts.append(f"{MORE[group]}\n")
    return "\n".join(parts)


def _default(name: str) -> str:
    value: Any = Route.model_fields[name].default
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`{', '.join(value)}`" if value else "empty"
    if isinstance(value, dict):
        return "empty"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _values(setting: dict[str, Any]) -> str:
    kinds = [kind for kind in setting.get("anyOf", setting.get("oneOf", [setting])) if kind.get("type") != "null"]
    return ", ".join(filter(None, map(_values_of, kinds)))


def _values_of(kind: dict[str, Any]) -> str:
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"] if isinstance(value, str))
    if "const" in kind:
        return f"`{kind['const']}`"
    if "minimum" in kind:
        return f"{kind['minimum']:,} to {kind['maximum']:,}" if "maximum" in kind else f"{kind['minimum']:,} or more"
    if kind["type"] == "boolean":
        return "`true`, `false`"
    return {"date-time": "a date-time"}.get(kind.get("format", ""), {"array": "list", "object": "mapping"}.get(kind["type"], ""))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema.as_text(), encoding="utf-8")
