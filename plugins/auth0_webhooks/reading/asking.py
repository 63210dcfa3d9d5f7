"""One request to Auth0, and the error that its answer means."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import requests

from auth0_webhooks.connections.fields import how_to_set
from auth0_webhooks.errors import SettingError, TenantRateLimitedError, TenantUnavailableError
from auth0_webhooks.reading.answers import asked_of, in_words, rate_limit_wait
from auth0_webhooks.reading.deadline import DeadlineAdapter, deadline

TIMEOUT = (10.0, 30.0)
"""Seconds to connect and to wait for data, on every request; ``waits.tenant_answer`` limits the whole request."""


def ask(
    session: requests.Session, adapter: DeadlineAdapter, method: str, url: str, *, seconds: float, **arguments: Any
) -> tuple[requests.Response, datetime]:
    """Send one request; returns its answer, whatever it is, and the time of the request.

    :param seconds: for the complete answer, headers and body.
    :raises TenantUnavailableError: when there is no answer.
    """
    arguments |= {"timeout": TIMEOUT, "allow_redirects": False, **asked_of(session)}
    sent = datetime.now(timezone.utc)
    with deadline(adapter, seconds) as over:
        try:
            response = session.request(method, url, **arguments)
        except requests.exceptions.RequestException as error:
            response, why = None, in_words(error)
    # Check this even if the answer seems complete: it may only have ended because the connection was shut.
    if response is None or over():
        why = f"its answer was not complete after {seconds:g} s" if over() else why
        raise TenantUnavailableError(f"no answer from Auth0 at {urlsplit(url).netloc}: {why}")
    return response, sent


def check_status(response: requests.Response, host: str, conn_id: str) -> None:
    """Raise the error that an answer means that is neither a success nor a refusal (4xx but 429).

    :raises TenantRateLimitedError: 429. :raises TenantUnavailableError: 5xx. :raises SettingError: 3xx.
    """
    if response.status_code == 429:
        wait = rate_limit_wait(response)
        raise TenantRateLimitedError(f"the rate limit of {host} is used up; it lifts in {wait:.0f} s", retry_after=wait)
    if response.status_code >= 500:
        raise TenantUnavailableError(f"Auth0 at {host} answers {response.status_code}")
    if 300 <= response.status_code < 400:
        raise SettingError(
            f"{host} answers with a redirect ({response.status_code}), which no Auth0 tenant does: "
            f"connection {conn_id!r}: {how_to_set(conn_id)}"
        )
