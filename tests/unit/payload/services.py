"""The services of docs/recipes.md: what each documents of the POSTs that it takes, and its answers to the others.

The addresses of the documents are on that page. A service is checked by what it documents, not by what it was seen to do.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulation.receiver import Post

KEY = "0123456789abcdef0123456789ABCDEF"
"""The key of a test's connection: 32 letters and digits, as PagerDuty's are."""


@dataclass(frozen=True)
class Service:
    """A service as a receiver.

    ``key`` finds the key in a POST, by its headers and its content; ``form`` fails for a content that is not valid. The other
    fields are limits in bytes, in events and in POSTs a second, and status codes; None is an answer that the service does not
    document.
    """

    key: Callable[[Post, Any], str]
    form: Callable[[Any], object]
    accepted: int
    denied: int
    invalid: int | None = 400
    too_large: int | None = None
    most_bytes: int = 10**9
    most_events: int = 1
    media_type: str = "application/json"
    most_per_second: float = 10**9

    def answer(self, post: Post) -> int:
        """The answer to a POST."""
        content = _json(post.body)
        if self.key(post, content) != KEY:
            return self.denied
        if self.too_large and len(post.body.encode()) > self.most_bytes:
            return self.too_large
        try:
            assert post.headers["Content-Type"] == self.media_type
            assert len(post.body.encode()) <= self.most_bytes
            assert not isinstance(content, list) or len(content) <= self.most_events
            self.form(content)
        except (AssertionError, KeyError, TypeError, ValueError):
            return self.invalid or self.accepted
        return self.accepted

    @property
    def documented(self) -> set[int]:
        """The answers that it gives."""
        return {self.accepted, self.denied} | ({self.invalid, self.too_large} - {None})


def _json(text: str) -> Any:
    """The content of a body; several JSON values, one after the other, are a list."""
    found, at = [], 0
    while at < len(text.rstrip()):
        value, at = json.JSONDecoder().raw_decode(text, at)
        found.append(value)
        at += 1
    return found if len(found) > 1 else found[0]


def _text(value: Any, most: int) -> None:
    assert isinstance(value, str)
    assert 0 < len(value) <= most


def _each(form: Callable[[Any], object]) -> Callable[[Any], object]:
    """The form of a list, or of the only one."""
    return lambda content: [form(item) for item in (content if isinstance(content, list) else [content])]


def _slack(message: Any) -> None:
    _text(message["text"], 40_000)
    (block,) = message["blocks"]
    assert (block["type"], block["text"]["type"]) == ("section", "plain_text")
    _text(block["text"]["text"], 3_000)


def _teams(message: Any) -> None:
    (card,) = message["attachments"]
    assert (message["type"], card["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    content = card["content"]
    assert (content["type"], content["version"]) == ("AdaptiveCard", "1.4")
    assert content["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
    for block in content["body"]:
        assert block["type"] == "RichTextBlock"
        for run in block["inlines"]:
            assert run["type"] == "TextRun"
            _text(run["text"], 28_000)


def _pagerduty(event: Any) -> None:
    assert event["event_action"] in {"trigger", "acknowledge", "resolve"}
    assert event["routing_key"].isalnum()
    assert len(event["routing_key"]) == 32
    _text(event["dedup_key"], 255)
    payload = event["payload"]
    _text(payload["summary"], 1024)
    _text(payload["source"], 10_000)
    _text(payload["timestamp"], 40)
    assert payload["severity"] in {"critical", "error", "warning", "info"}
    assert isinstance(payload["custom_details"], dict)


def _opsgenie(alert: Any) -> None:
    _text(alert["message"], 130)
    _text(alert["alias"], 512)
    assert len(alert["description"]) <= 15_000
    assert alert["priority"] in {"P1", "P2", "P3", "P4", "P5"}


def _splunk(event: Any) -> None:
    assert event["event"]
    assert event.keys() <= {"event", "time", "host", "source", "sourcetype", "index", "fields"}


def _datadog(log: Any) -> None:
    for key in ("message", "ddsource", "service"):
        _text(log[key], 5_000_000)  # what is longer than 1 MB is cut off, and accepted


def _sentinel(row: Any) -> None:
    assert row.keys() == {"TimeGenerated", "LogId", "LogType", "Event"}  # the columns of the table
    _text(row["TimeGenerated"], 40)


def _event(event: Any) -> None:
    _text(event["log_id"], 56)


def _header(name: str, before: str = "") -> Callable[[Post, Any], str]:
    return lambda post, _content: post.headers.get(name, "").removeprefix(before)


def _in_path(post: Post, _content: Any) -> str:
    return post.path.removeprefix("/services/T000/B000/")


def _in_query(post: Post, _content: Any) -> str:
    return post.path.partition("&sig=")[2]


def _in_body(_post: Post, content: Any) -> str:
    return str(content.get("routing_key"))


def _in_login(post: Post, _content: Any) -> str:
    return base64.b64decode(post.headers["Authorization"].removeprefix("Basic ")).decode().removeprefix("auth0:")


SERVICES = {
    "slack": Service(_in_path, _slack, 200, 404, most_per_second=1),
    "teams": Service(_in_query, _teams, 202, 401),
    "pagerduty": Service(_in_body, _pagerduty, 202, 400, most_bytes=512_000, most_per_second=2),
    "opsgenie": Service(_header("Authorization", "GenieKey "), _opsgenie, 202, 401, invalid=422),
    "splunk": Service(_header("Authorization", "Splunk "), _each(_splunk), 200, 403, most_events=500),
    "datadog": Service(_header("DD-API-KEY"), _each(_datadog), 202, 403, too_large=413, most_bytes=5_000_000, most_events=1_000),
    "logstash": Service(_in_login, lambda content: content, 200, 401, invalid=None, most_events=500),
    "sentinel": Service(_in_query, _each(_sentinel), 204, 401, too_large=413, most_bytes=1_000_000, most_events=500),
    "siem": Service(
        _header("Authorization", "Bearer "), _each(_event), 200, 401, most_events=500, media_type="application/x-ndjson"
    ),
}
