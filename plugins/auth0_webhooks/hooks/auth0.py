"""The Auth0 tenant: its log through the Management API.

Sources: Auth0 docs "Retrieve log events using the Management API" (checkpoint and search mode, Link header), "Rate limit
policy" (x-ratelimit headers) and "Get Management API access tokens for production" (client credentials, audience).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.log import mask_secret

from auth0_webhooks.connections.fields import API_RESERVE, AUDIENCE, base_url, client_of, how_to_set, reserve_of
from auth0_webhooks.connections.lookup import get_connection
from auth0_webhooks.errors import (
    TenantAnswerError,
    TenantDeniedError,
    TenantRefusedError,
)
from auth0_webhooks.model.events import LogEvent, Position, parse_page
from auth0_webhooks.reading.answers import (
    answered_at,
    check_dates,
    check_order,
    next_link,
    rate_limit,
    reason,
    seconds_ahead,
    token_of,
)
from auth0_webhooks.reading.asking import ask, check_status
from auth0_webhooks.reading.budget import Budget
from auth0_webhooks.reading.deadline import DeadlineAdapter
from auth0_webhooks.reading.kept_token import KeptToken, TokenStore
from auth0_webhooks.reading.machine import Machine
from auth0_webhooks.reading.patience import Patience
from auth0_webhooks.reading.rate_limit import Seen
from auth0_webhooks.waits import WAITS, Waits

if TYPE_CHECKING:
    import requests
    from airflow.sdk import Connection

LOGS = "/api/v2/logs"
PAGE_SIZE = 100
"""Events per request: the API's maximum in both modes."""
TRIES = 4
TELL_AGAIN = 10.0
"""Seconds for which other machines are not told again that few requests are left: each time writes a Variable."""


class TenantHook(HttpHook):
    """Reads a tenant's log. One hook serves one task: it counts its requests and holds one session.

    The connection: host = tenant or custom domain, login = client id, password = client secret; extra ``audience`` for
    a custom domain (``https://TENANT.auth0.com/api/v2/``), ``api_reserve`` the percentage of the Management API's bucket that
    is left to others. TLS, proxies and default headers work as in the http provider.

    :param auth0_conn_id: id of the connection.
    :param token_store: where the access token is kept between runs, so that polling does not fill the log it reads
        (each token request is a log event of its own).
    :param tries: how often a request is made in all, if its failure may be temporary.
    :param least_reserve: the share of the bucket, in percent, that is left to others at least, whatever the connection says.
    :param wait_for_limits: wait for the rate limit up to ``waits.window_limits`` in all, as a window does, and not up to
        ``waits.live_limits``.

    ``as_of`` is a time up to which the last answer shows the log: the time of the request, or the tenant's time if this
    machine's is more than a second ahead. ``budget`` paces the requests by the rate limit that the answers state.
    """

    conn_name_attr = "auth0_conn_id"
    default_conn_name = "auth0_default"
    hook_name = "Auth0 tenant"

    def __init__(
        self,
        auth0_conn_id: str = default_conn_name,
        token_store: TokenStore | None = None,
        *,
        tries: int = TRIES,
        wait_for_limits: bool = False,
        least_reserve: float = 0.0,
        waits: Waits = WAITS,
    ) -> None:
        super().__init__(method="GET", http_conn_id=auth0_conn_id)
        in_all, at_a_time = (waits.window_limits, None) if wait_for_limits else (waits.live_limits, waits.tenant_limit)
        self.budget, self._least_reserve = Budget(in_all, at_a_time), least_reserve
        self._waits, self._patience = waits, Patience(tries, waits, self.budget, of_window=wait_for_limits)
        self.as_of = datetime.now(timezone.utc)
        self.api_requests = 0
        self.token_requests = 0
        self._store = token_store
        self._session: requests.Session | None = None
        self._adapter = DeadlineAdapter()
        self._token: str | None = None
        self._kept: KeptToken | None = None
        self._warned_of_link, self._tell_again = False, 0.0
        self._client: dict[str, str] = {}

    def pages(self, start: Position) -> Iterator[list[LogEvent]]:
        """The events after ``start.log_id``, ascending by log id, a page at a time, to the end of the log.

        As Auth0 asks, the next link is followed, but only to the log of the same host: the token is sent nowhere else. If the
        link points elsewhere, is refused, or names another log id, the last log id of the page is the cursor.

        :raises WebhookRouteError: one of the Tenant errors; the pages before it are valid.
        """
        last, asked = start, _after(start)
        while True:
            try:
                page, link = self._get_page(asked, last)
            except TenantRefusedError as error:
                if asked == _after(last):
                    raise
                self.log.warning("%s, for its own next link; continuing by log id", error)
                asked = _after(last)
                page, link = self._get_page(asked, last)
            if not page:
                return
            yield page
            present, last = last, page[-1].position
            if link is not None and (link == asked or link.get("from") in {asked.get("from"), present.log_id} - {None}):
                raise TenantAnswerError(
                    f"the tenant's cursor does not move: its page after {present.log_id} holds events, but its next link "
                    "points to the same place"
                )
            skips = link is not None and link.get("from", "").isdigit() and link["from"] != last.log_id
            asked = _after(last) if link is None or skips else link

    def page_after(self, place: Position) -> list[LogEvent]:
        """One page of the events after ``place.log_id``, ascending by log id.

        :raises WebhookRouteError: one of the Tenant errors.
        """
        return self._get_page(_after(place), place)[0]

    def newest(self) -> LogEvent | None:
        """The event with the latest date; None if the log is empty.

        :raises WebhookRouteError: one of the Tenant errors.
        """
        parameters = {"sort": "date:-1", "per_page": "1", "page": "0"}
        events, _ = self._get_page(parameters, Position(None, None), check_dates)
        return events[0] if events else None

    def hurry(self) -> None:
        """Events are in hand: wait for the rate limit no longer than ``waits.tenant_limit`` at a time."""
        self.budget.hurry()

    @property
    def rate_limit(self) -> Seen:
        """What is known of the tenant's rate limit."""
        return self.budget.seen

    def figures(self) -> dict[str, Any]:
        """The requests so far, by the report's keys."""
        return {"api_requests": self.api_requests, "token_requests": self.token_requests, **self.budget.figures()}

    def close(self) -> None:
        """Close the connections; the next request reads the Airflow connection again."""
        if self._session:
            self._session.close()
        self._session = self._token = None

    def search(self, since: str, until: str | None = None, page: int = 0) -> list[LogEvent]:
        """A page of the events whose ``date`` is in [since, until), sorted by date.

        In the documented search mode a search returns at most 1,000 events, so page 9 is the last.

        :param since: ISO 8601, like ``until``; without ``until`` the range has no end.
        :raises WebhookRouteError: one of the Tenant errors.
        """
        span = f"[{since} TO {until}}}" if until else f"[{since} TO *]"
        parameters = {"q": f"date:{span}", "sort": "date:1", "per_page": str(PAGE_SIZE), "page": str(page)}
        events, _ = self._get_page(parameters, Position(None, since), check_dates)
        return events

    def has(self, log_id: str) -> bool:
        """Whether an event is (still) in the log: ``GET /api/v2/logs/{id}`` answers 404 if it is not.

        :raises WebhookRouteError: one of the Tenant errors, also for any other refusal.
        """
        try:
            self._patience(lambda: self._send_with_token(f"{LOGS}/{log_id}"))
        except TenantRefusedError as error:
            if error.status == 404:
                return False
            raise
        return True

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """The connection; see :func:`auth0_webhooks.connections.lookup.get_connection` for what it raises."""
        return get_connection(conn_id)

    def get_conn(self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None) -> requests.Session:
        """The http provider's session for this connection, without Basic auth and without our own extras as headers.

        :raises SettingError: naming the connection and the field that is missing.
        """
        connection = self.get_connection(self.http_conn_id)
        url = base_url(connection).rstrip("/")
        self._client = client_of(connection, url)
        mask_secret(connection.password)
        session = super().get_conn(headers, extra_options)
        for own in (AUDIENCE, API_RESERVE):
            session.headers.pop(own, None)
        self.base_url = url
        self.budget.reserve = max(reserve_of(connection), self._least_reserve)
        self.budget.machine = Machine(self.base_url)
        if self._store:
            self._kept = KeptToken(self._store, [self.base_url, *self._client.values()])
        for scheme in ("http://", "https://"):
            session.mount(scheme, self._adapter)
        # A callable, not None: without one requests takes credentials from ~/.netrc and overwrites the header.
        session.auth = self._authorize
        return session

    def _configure_session_from_auth(self, session: requests.Session, connection: Connection) -> requests.Session:
        del connection  # its client secret is not a password for Basic auth
        return session

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _get_page(
        self,
        parameters: dict[str, str],
        previous: Position,
        check: Callable[[list[LogEvent], Position], None] | None = None,
    ) -> tuple[list[LogEvent], dict[str, str] | None]:
        """One page of the log and the parameters of its next link; retries temporary failures."""

        def once() -> tuple[list[LogEvent], dict[str, str] | None]:
            response = self._send_with_token(LOGS, parameters)
            try:
                events = parse_page(response.content.decode("utf-8"), previous=previous)
            except UnicodeDecodeError:
                raise TenantAnswerError("the tenant's answer is not UTF-8") from None
            (check or check_order)(events, previous)
            return events, self._next(response)

        return self._patience(once)

    def _next(self, response: requests.Response) -> dict[str, str] | None:
        link, elsewhere = next_link(response, self.base_url + LOGS)
        if elsewhere and not self._warned_of_link:
            self._warned_of_link = True
            self.log.info("the next link of %s points to %s; continuing by log id", self._host, elsewhere)
        return link

    def _send_with_token(self, path: str, parameters: dict[str, str] | None = None) -> requests.Response:
        session = self._session = self._session or self.get_conn()
        asked_before = self.token_requests
        self._token = self._token or self._kept_token() or self._new_token(session)
        response = self._send(session, "GET", path, params=parameters)
        if response.status_code in {401, 403} and self.token_requests == asked_before:
            # The token was revoked, expired early, or issued before a key or scope changed. Request one new token; if that fails,
            # too, the credentials are wrong.
            self._token = self._new_token(session)
            response = self._send(session, "GET", path, params=parameters)
        if response.status_code in (401, 403):
            raise TenantDeniedError(
                f"Auth0 refuses to show the log of {self._host}: {self._reason(response)}. The application of connection "
                f"{self.http_conn_id!r} needs the scope read:logs of the Auth0 Management API (Applications > APIs > Auth0 "
                "Management API > Machine to Machine Applications), and a custom domain needs 'audience' in the extra"
            )
        if not response.ok:
            raise TenantRefusedError(
                f"Auth0 refuses the request for the log of {self._host}: {self._reason(response)}",
                status=response.status_code,
            )
        return response

    def _send(self, session: requests.Session, method: str, path: str, **arguments: Any) -> requests.Response:
        url, seconds = self.base_url + path, self._waits.tenant_answer
        if method != "GET":  # the token endpoint has a rate limit of its own
            response, _ = ask(session, self._adapter, method, url, seconds=seconds, **arguments)
        else:
            if self._kept and self.budget.is_outdated:
                self.budget.learn(self._kept.seen(again=True))
            with self.budget.turn():
                self.api_requests += 1
                response, sent = ask(session, self._adapter, method, url, seconds=seconds, **arguments)
                self.as_of = min(sent, answered_at(response) or sent)
                self.budget.answered(rate_limit(response), seconds_ahead(response, sent, datetime.now(timezone.utc)))
            if self._kept and self.budget.is_low_for_long and time.monotonic() >= self._tell_again:
                self._tell_again = time.monotonic() + TELL_AGAIN
                self._kept.tell(self.budget.seen)
        check_status(response, self._host, self.http_conn_id)
        return response

    @property
    def _host(self) -> str:
        return urlsplit(self.base_url).netloc

    def _new_token(self, session: requests.Session) -> str:
        self._token = None
        self.token_requests += 1
        response = self._send(session, "POST", "/oauth/token", json=self._client)
        if not response.ok:
            raise TenantDeniedError(
                f"Auth0 gives no token to the application of connection {self.http_conn_id!r}: {self._reason(response)}. "
                f"Check host, login (client id), password (client secret) and audience: {how_to_set(self.http_conn_id)}"
            )
        token, life = token_of(response, self._host)
        mask_secret(token)
        if self._kept:
            self._kept.save(token, life)
        return token

    def _reason(self, response: requests.Response) -> str:
        return reason(response, self._client["client_secret"])

    def _kept_token(self) -> str | None:
        if not self._kept:
            return None
        token = self._kept.load()
        mask_secret(token)
        self.budget.learn(self._kept.seen())
        return token


def _after(place: Position) -> dict[str, str]:
    return {"from": str(place.log_id), "take": str(PAGE_SIZE)}
