"""Interprets the answers of Auth0's Management API, and checks that they keep its documented rules."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests

from auth0_webhooks.errors import SettingError, TenantAnswerError
from auth0_webhooks.model.events import LogEvent, Position, log_id_order
from auth0_webhooks.reading.rate_limit import RateLimit
from auth0_webhooks.times import iso, parse_retry_after, parse_time


def check_order(events: list[LogEvent], previous: Position) -> None:
    """Check that log ids ascend and are newer than ``from``, as Auth0 promises; otherwise events could be lost or repeated.

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
    """Check that a search is sorted by ascending date, as requested; otherwise events before its last date could be missed.

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


def next_link(response: requests.Response, log: str) -> tuple[dict[str, str] | None, str | None]:
    """The parameters of the next link if it points to the log at ``log``, otherwise the host (or path) it points to.

    The token must never be sent elsewhere, so only the parameters of a link are used.
    """
    link = response.links.get("next", {}).get("url")
    if not link:
        return None, None
    try:
        to, here = urlsplit(urljoin(log, link)), urlsplit(log)
        same = _place(to) == _place(here)
    except ValueError:
        return None, "an invalid address"
    if not same:
        return None, to.hostname if to.hostname != here.hostname else f"another port or path of {to.hostname}"
    return dict(parse_qsl(to.query)) or None, None


def _place(url: Any) -> tuple[Any, ...]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme), url.path


def token_of(response: requests.Response, host: str) -> tuple[str, float]:
    """The access token that the token endpoint gives, and for how many seconds.

    :raises TenantAnswerError: when it gives none.
    """
    try:
        answer = response.json()
        return str(answer["access_token"]), float(answer.get("expires_in", 0))
    except (ValueError, TypeError, KeyError):
        raise TenantAnswerError(f"the token endpoint of {host} answers without a token") from None


def rate_limit(response: requests.Response) -> RateLimit:
    """The rate limit that an answer states; a 429 states that it is used up, even without headers."""
    headers = response.headers
    if response.status_code == 429:
        size = headers.get("x-ratelimit-limit", "")
        return RateLimit(int(size) if size.isdecimal() else None, 0, time.time() + rate_limit_wait(response))
    try:
        most = int(headers["x-ratelimit-limit"]) if "x-ratelimit-limit" in headers else None
        return RateLimit(most, int(headers["x-ratelimit-remaining"]), float(headers["x-ratelimit-reset"]))
    except (KeyError, ValueError):
        return RateLimit()


def answered_at(response: requests.Response) -> datetime | None:
    """The latest time at which the tenant can have sent this answer (its Date is in whole seconds); None without a Date."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc) + timedelta(seconds=1)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def seconds_ahead(response: requests.Response, sent: datetime, received: datetime) -> float:
    """How far the tenant's time is ahead of this machine's, in seconds; 0 unless its Date shows that they differ."""
    try:
        date = parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0.0
    least, most = (date - received).total_seconds(), (date - sent).total_seconds() + 1.0
    return min(max(0.0, least), most)


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
    """Why there was no answer, without the address or anything that was sent."""
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed, or its certificate is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "time-out"
    return "the connection failed" if isinstance(error, requests.exceptions.ConnectionError) else type(error).__name__


def asked_of(session: requests.Session) -> dict[str, Any]:
    """The session's proxies, CA bundle and certificate, to be passed with each request.

    The environment's proxies and CA bundle would override the session's; and requests needs a tuple where JSON has a list.

    :raises SettingError: when one of the files does not exist.
    """
    proxies: Any = session.proxies
    cert: Any = session.cert
    files = [cert] if isinstance(cert, str) else list(cert or ())
    for file in [session.verify, *files]:
        if isinstance(file, str) and not Path(file).exists():
            raise SettingError(f"the tenant's connection: extra 'verify' or 'cert' names a file that does not exist: {file}")
    return {
        "proxies": dict.fromkeys(("http", "https"), proxies) if isinstance(proxies, str) else proxies or None,
        "verify": session.verify,
        "cert": tuple(cert) if isinstance(cert, list) else cert,
    }


def reason(response: requests.Response, secret: str) -> str:
    """Status and Auth0's own message; nothing else from the body, and never the client secret."""
    try:
        answer = response.json()
        words = answer.get("error_description") or answer.get("message") or answer.get("error") or ""
    except (ValueError, AttributeError):
        words = ""
    words = str(words)[:200].replace(secret, "***")
    return f"{response.status_code} {words or response.reason}".strip()
