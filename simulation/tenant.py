"""A simulated Auth0 tenant: the token endpoint and the log of the Management API, true to Auth0's documentation.

Run by itself it serves a tenant with some days of events:  python -m simulation.tenant --port 8090 --events 1000
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import random
import re
import secrets
import time
from collections import Counter, deque
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import web

from auth0_webhooks.reading.machine import Machine
from simulation.events import event_text, make_event
from simulation.server import Server
from simulation.tenant_faults import error_answer, faulty_answer
from simulation.tenant_limits import PLANS, Bucket

CLIENT_ID, CLIENT_SECRET = "demo-client", "demo-client-secret"

# What a tenant's day looks like: mostly logins, tokens and calls of the Management API, now and then something bad.
USUAL_TYPES = {
    "s": 30, "seacft": 20, "sapi": 15, "ssa": 10, "f": 4, "fp": 8, "fu": 3, "ss": 4, "sv": 3, "scp": 2, "fsa": 3,
    "limit_wc": 1, "limit_mu": 1, "slo": 6, "fapi": 1, "w": 1, "pwd_leak": 1, "brand_new_type": 1,
}  # fmt: skip

UNLIMITED = Bucket(1000, 1000, 1.0)
"""What the headers of a tenant say that has no limit."""


class Tenant(Server):
    """Events in ascending order of log id, an access token with an expiry, a rate limit, a retention, and faults on order.

    Attributes a test may set at any time: ``scope`` and ``token_life`` (seconds) of new tokens, ``bucket`` (the rate limit of
    its Management API, which is logged as Auth0 does; None for none), ``fault`` (see ``tenant_faults``) with ``faults_left``,
    ``refuses_expired`` (whether an expired ``from`` is answered 400, or like any other position: Auth0 does not document
    which) and ``empty_when_expired`` (it is answered by no events), ``mix_ties`` (equal dates come in another order in each
    search), ``unknown_from`` (what the id of no event is to it: a "position", or what it answers then: "400", "empty", the
    log from the "oldest" event, the "newest" page), ``next_link`` ("log id", "opaque", or an address to which the link
    leads), ``shown_after`` (seconds after which an event is shown, by log id).
    """

    def __init__(self, port: int = 0, *, audience: str | None = None, **server: Any) -> None:
        super().__init__(port, **server)
        self.audience = audience
        self.scope, self.token_life = "read:logs", 86_400.0
        self.bucket: Bucket | None = None
        self.fault, self.faults_left = "", 0
        self.requests: Counter[str] = Counter()
        self.queries: deque[dict[str, str]] = deque(maxlen=1000)
        self.log_token_requests = True
        self.refuses_expired, self.mix_ties = True, False
        self.empty_when_expired, self.unknown_from, self.next_link = False, "position", "log id"
        self.shown_after: dict[str, float] = {}
        self._cursors: dict[str, str] = {}
        self._forgotten: set[str] = set()
        self._by_date: list[int] = []
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._dates: list[str] = []
        self._types: list[str] = []
        self._tokens: dict[str, tuple[float, str]] = {}

    # The log

    def add(self, log_type: str, *, when: datetime | None = None, happened: datetime | None = None, **more: Any) -> str:
        """Append one event and return its log id. ``when``: its ingestion; ``happened``: its date, the same by default."""
        when = when or datetime.now(timezone.utc)
        number = len(self._ids)
        log_id = f"900{when:%Y%m%d%H%M%S}{when.microsecond // 1000:03d}{number:036d}"
        if self._ids and log_id <= self._ids[-1]:
            log_id = str(int(self._ids[-1]) + 1)
        date = (happened or when).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = (log_id, date, log_type, number)
        self.add_text(log_id, date, log_type, json.dumps(make_event(*event, **more)) if more else event_text(*event))
        return log_id

    def add_text(self, log_id: str, date: str, log_type: str, text: str) -> None:
        """Append an event whose JSON is given word for word."""
        self._ids.append(log_id)
        self._dates.append(date)
        self._types.append(log_type)
        self._texts.append(text)

    def add_many(self, count: int, *, types: dict[str, int] | None = None, seed: int = 1, spread: float = 3600.0) -> list[str]:
        """Append ``count`` events spread over the last ``spread`` seconds."""
        chance, types = random.Random(seed), types or USUAL_TYPES
        start = datetime.now(timezone.utc) - timedelta(seconds=spread)
        step = timedelta(seconds=spread / max(count, 1))
        kinds = chance.choices(list(types), list(types.values()), k=count)
        return [self.add(kind, when=start + number * step) for number, kind in enumerate(kinds)]

    def start(self) -> None:
        """Serve; readers on this machine forget the rate limit of an earlier tenant on the same port."""
        super().start()
        Machine(self.url).path.unlink(missing_ok=True)

    def expire(self, count: int) -> None:
        """Forget the oldest events, as the end of their retention does."""
        self._forgotten.update(self._ids[:count])
        for column in (self._ids, self._texts, self._dates, self._types):
            del column[:count]
        self._by_date = []

    def log(self) -> list[tuple[str, str, str]]:
        """Everything in the log: (log id, type, JSON text)."""
        return list(zip(self._ids, self._types, self._texts, strict=True))

    # The API

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer as Auth0 does."""
        route = f"{request.method} {request.path}"
        self.requests[route] += 1
        if self.faults_left > 0 and not (route.endswith("/oauth/token") and not self.fault.startswith("token")):
            self.faults_left -= 1
            return await faulty_answer(self.fault.removeprefix("token "), request, self.url, self._ids, self._texts)
        if route == "POST /oauth/token":
            return await self._token(request)
        denied = self._denied(request) or self._limited()
        if denied:
            return denied
        if route == "GET /api/v2/logs":
            self.queries.append(dict(request.query))
            return self._logs(request)
        if route.startswith("GET /api/v2/logs/"):
            return self._one(request.path.rsplit("/", 1)[1])
        return error_answer(404, "Not Found", "Not Found")

    async def _token(self, request: web.BaseRequest) -> web.Response:
        asked = await request.json() if request.content_type == "application/json" else dict(await request.post())
        audience = self.audience or f"{self.url}/api/v2/"
        if (asked.get("client_id"), asked.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            if self.log_token_requests:
                self.add("feccft")
            return web.json_response({"error": "access_denied", "error_description": "Unauthorized"}, status=401)
        if asked.get("grant_type") != "client_credentials" or asked.get("audience") != audience:
            problem = f"Service not enabled within domain: {asked.get('audience')!r}"
            return web.json_response({"error": "access_denied", "error_description": problem}, status=403)
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (time.time() + self.token_life, self.scope)
        if self.log_token_requests:
            self.add("seccft")
        return web.json_response(
            {"access_token": token, "scope": self.scope, "expires_in": int(self.token_life), "token_type": "Bearer"}
        )

    def revoke_tokens(self) -> None:
        """Make every token invalid."""
        self._tokens.clear()

    def _denied(self, request: web.BaseRequest) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        expiry, scope = self._tokens.get(token, (0.0, ""))
        if expiry <= time.time():
            return error_answer(401, "Unauthorized", "Expired token received for JSON Web Token validation", "invalid_token")
        if "read:logs" not in scope.split():
            return error_answer(
                403, "Forbidden", "Insufficient scope, expected any of: read:logs,read:logs_users", "insufficient_scope"
            )
        return None

    def _limited(self) -> web.Response | None:
        if self.bucket is None:
            return None
        taken, logged = self.bucket.take()
        if logged:
            self.add(logged)
        if taken:
            return None
        response = error_answer(429, "Too Many Requests", "Global limit has been reached", "too_many_requests")
        response.headers.update(self._limits())
        return response

    def limit(self, *plan: str) -> None:
        """Limit requests as on one of Auth0's plans (see ``Bucket.of``), from a full bucket on; without a plan, not at all."""
        self.bucket = Bucket.of(*plan) if plan else None  # type: ignore[arg-type]

    def _limits(self) -> dict[str, str]:
        return (self.bucket or UNLIMITED).headers()

    def _logs(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        if "from" in query:
            take = int(query.get("take", 50))
            if not 1 <= take <= 100:
                return error_answer(
                    400, "Bad Request", "Query validation error: take must be between 1 and 100", "invalid_query_string"
                )
            start = self._cursors.get(query["from"], query["from"])
            gone = start in self._forgotten
            unknown = not gone and self._index(start) is None and start != "0" and self.unknown_from
            if (gone and self.refuses_expired) or unknown == "400":
                return error_answer(400, "Bad Request", "The log event of 'from' does not exist", "invalid_query_string")
            at = bisect.bisect_right(self._ids, "" if unknown == "oldest" else start)
            picked = list(itertools.islice(filter(self._is_shown, range(at, len(self._ids))), take))
            if (gone and self.empty_when_expired) or unknown == "empty":
                picked = []
            if unknown == "newest":
                picked = list(filter(self._is_shown, range(len(self._ids))))[-take:]
            return self._page(picked, {"Link": self._link(self._ids[picked[-1]] if picked else query["from"], take)})
        per_page, page = int(query.get("per_page", 50)), int(query.get("page", 0))
        if per_page > 100 or (page + 1) * per_page > 1000:
            return error_answer(
                400,
                "Bad Request",
                f"Requesting page {page} exceeds the allowed maximum of 1000 records: please consider searching by checkpoint",
                "invalid_paging",
            )
        found = self._search(query.get("q", ""))
        if found is None:
            return error_answer(400, "Bad Request", "The query is not supported by this simulated tenant", "invalid_query")
        if query.get("sort") != "date:1":
            found.reverse()
        if self.mix_ties:
            random.shuffle(found)
            found.sort(key=lambda index: self._dates[index])
        return self._page(found[page * per_page : (page + 1) * per_page])

    def _index(self, log_id: str) -> int | None:
        at = bisect.bisect_left(self._ids, log_id)
        return at if self._ids[at : at + 1] == [log_id] else None

    def _is_shown(self, index: int) -> bool:
        """Whether an event is visible by now: one may be taken in and shown after others of larger ids."""
        log_id = self._ids[index]
        return not self.shown_after or time.time() - ingestion(log_id) >= self.shown_after.get(log_id, 0.0)

    def _link(self, cursor: str, take: int) -> str:
        place = self.next_link if "://" in self.next_link else f"{self.url}/api/v2/logs"
        if self.next_link == "opaque" and cursor not in self._cursors:
            token = secrets.token_urlsafe(16)
            self._cursors[token], cursor = cursor, token
        return f'<{place}?from={cursor}&take={take}>; rel="next"'

    def _search(self, query: str) -> list[int] | None:
        """The indexes that a query finds, by date; of Lucene's syntax only ``date:`` ranges and ``type:`` terms with AND."""
        if len(self._by_date) != len(self._ids):
            self._by_date = sorted(range(len(self._ids)), key=self._dates.__getitem__)
        found = self._by_date
        for term in filter(None, query.split(" AND ")):
            if match := re.fullmatch(r"date:([\[{])(\S+) TO (\S+)([\]}])", term):
                low, high = match[2], match[3]
                left = bisect.bisect_left if match[1] == "[" else bisect.bisect_right
                right = bisect.bisect_right if match[4] == "]" else bisect.bisect_left
                start = 0 if low == "*" else left(found, low, key=self._dates.__getitem__)
                end = len(found) if high == "*" else right(found, high, key=self._dates.__getitem__)
                found = found[start:end]
            elif match := re.fullmatch(r"type:(\w+)", term):
                found = [index for index in found if self._types[index] == match[1]]
            else:
                return None
        return list(filter(self._is_shown, found))

    def _page(self, picked: Any, headers: dict[str, str] | None = None) -> web.Response:
        text = "[" + ",".join(self._texts[index] for index in picked) + "]"
        return web.Response(text=text, content_type="application/json", headers={**self._limits(), **(headers or {})})

    def _one(self, log_id: str) -> web.Response:
        index = self._index(log_id)
        if index is not None and self._is_shown(index):
            return web.Response(text=self._texts[index], content_type="application/json", headers=self._limits())
        answer = error_answer(404, "Not Found", "The log event does not exist.", "inexistent_log_event")
        answer.headers.update(self._limits())
        return answer


def ingestion(log_id: str) -> float:
    """The Unix time that a log id carries."""
    moment = datetime.strptime(log_id[3:17], "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    return moment.timestamp() + int(log_id[17:20]) / 1000


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A simulated Auth0 tenant.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--events", type=int, default=1000, help="how many events the log holds at the start")
    parser.add_argument("--every", type=float, default=0, help="append one more event every so many seconds")
    parser.add_argument("--plan", choices=list(PLANS), help="limit requests as on this plan of Auth0's")
    parser.add_argument("--window", action="store_true", help="refill the limit at the top of a fixed window, not bit by bit")
    asked = parser.parse_args()
    tenant = Tenant(asked.port)
    if asked.plan:
        tenant.limit(asked.plan, "window" if asked.window else "drip")
    tenant.add_many(asked.events)
    tenant.start()
    print(f"tenant at {tenant.url}, client id {CLIENT_ID}, client secret {CLIENT_SECRET}, {asked.events} events", flush=True)
    chance = random.Random()
    while True:
        time.sleep(asked.every or 3600)
        if asked.every:
            tenant.add(chance.choice(list(USUAL_TYPES)))


if __name__ == "__main__":
    main()
