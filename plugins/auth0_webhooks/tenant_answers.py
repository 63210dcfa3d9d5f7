"""What the answers of Auth0's Management API say, and whether they keep its rules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from auth0_webhooks.checkpoint import iso, parse_time
from auth0_webhooks.errors import SettingError, TenantAnswerError
from auth0_webhooks.events import LogEvent, Position, log_id_order
from auth0_webhooks.outcomes import parse_retry_after


def check_order(events: list[LogEvent], previous: Position) -> None:
    """Auth0 promises ascending log ids, newer than ``from``: anything else could hide a lost or a repeated event.

    :raises TenantAnswerError: naming the event.
    """
    last = previous.log_id
    for event in events:
        if last is not None and log_id_order(event.log_id) <= log_id_order(last):
            raise TenantAnswerError(
                f"the tenant's page is out of order: event {event.log_id} comes after {last} (a page sent twice?)"
            )
        last = event.log_id


def check_dates(events: list[LogEvent], _previous: Position) -> None:
    """A search was asked for by ascending date: in any other order its last date would hide what lies before it.

    :raises TenantAnswerError: naming the event.
    """
    last = ""
    for event in events:
        try:
            date = iso(parse_time(event.date))
        except ValueError:
            continue
        if date < last:
            raise TenantAnswerError(f"the tenant's search is not in the order of dates: event {event.log_id} comes after {last}")
        last = date


def next_from(response: requests.Response) -> str | None:
    """The cursor of the next link; only that is taken of it, for the token must not follow it to another host."""
    link = response.links.get("next", {}).get("url", "")
    return parse_qs(urlsplit(link).query).get("from", [None])[0]


def rate_limit(response: requests.Response) -> tuple[int | None, float]:
    """Requests that are left, and when (Unix time) there are more; None where the answer does not tell."""
    try:
        return int(response.headers["x-ratelimit-remaining"]), float(response.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return None, 0.0


def rate_limit_wait(response: requests.Response) -> float:
    """Seconds until a used-up rate limit lifts, at most an hour."""
    wait = parse_retry_after(response.headers.get("Retry-After"))
    if wait is None:
        try:
            wait = float(response.headers["x-ratelimit-reset"]) - time.time()
        except (KeyError, ValueError):
            wait = 1.0
    return min(max(wait, 0.0), 3600.0)


def in_words(error: requests.exceptions.RequestException) -> str:
    """Why there was no answer, without the address and what went with it."""
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed, or its certificate is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "time-out"
    return "the connection failed" if isinstance(error, requests.exceptions.ConnectionError) else type(error).__name__


def asked_of(session: requests.Session) -> dict[str, Any]:
    """The session's proxies, CA bundle and certificate, to be named with each request.

    What only the session says the environment's proxies and CA bundle override; and JSON has no tuples, which requests wants.

    :raises SettingError: when one of the files is not there.
    """
    proxies: Any = session.proxies
    cert: Any = session.cert
    files = [cert] if isinstance(cert, str) else list(cert or ())
    for file in [session.verify, *files]:
        if isinstance(file, str) and not Path(file).exists():
            raise SettingError(f"the tenant's connection: extra 'verify' or 'cert' names a file that is not there: {file}")
    return {
        "proxies": dict.fromkeys(("http", "https"), proxies) if isinstance(proxies, str) else proxies or None,
        "verify": session.verify,
        "cert": tuple(cert) if isinstance(cert, list) else cert,
    }
