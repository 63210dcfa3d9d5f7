"""The page's API, which only reads: what the page does, it does through Airflow's own REST API.

The files of the page hold no data, so they are served to anyone who can reach Airflow; the data needs a login, and each
route the permissions that Airflow asks for its runs and their XComs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from auth0_webhooks.names import AUDIT_DAG_ID, DEAD_LETTER_DAG_ID
from auth0_webhooks.page import stored
from auth0_webhooks.page.stored import GetUserDep, SessionDep
from auth0_webhooks.page.summary import SPANS, audit, dead_letters, ended_after, history, last_about, span_until, summary
from auth0_webhooks.times import iso

STATIC = Path(__file__).with_name("static")
MAX_REPORTS = 3000
"""So many runs at the most are added up for the chart: 10 days of one every 5 minutes. The page says when that cut it short."""
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

# No endpoint has "from __future__" trouble with FastAPI: the names of its annotations are global in this module.
DagId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
app = FastAPI(title="Auth0 webhooks", openapi_url=None)
app.mount("/static", StaticFiles(directory=STATIC), name="static")


@app.middleware("http")
async def _headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    if "/api/" in request.url.path:
        response.headers["Cache-Control"] = "no-store"
    return response


@app.get("/page")
def page() -> FileResponse:
    """The page itself; it holds no data."""
    return FileResponse(STATIC / "page.html")


@app.get("/api/routes")
def routes(user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """All routes that the user may see, in short, each with its last audit."""
    now = datetime.now(timezone.utc)
    rows = stored.readable_routes(session, user)
    audits = stored.last_audits(session) if (see_audits := stored.may_see_audits(session, user)) else []
    shown = [summary(found, now) | {"audit": audit(audits, found.dag_id)} for found in stored.stored(session, rows)]
    return {"now": iso(now), "see_audits": see_audits, "audit_dag_id": AUDIT_DAG_ID, "routes": shown}


@app.get("/api/routes/{dag_id}")
def route(
    dag_id: DagId,
    user: GetUserDep,
    session: SessionDep,
    days: Annotated[Literal["1", "7", "30"], Query()] = "1",
    runs: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """One route: its state, what was delivered in the last ``days``, its last ``runs``, its dead letters, its last audit."""
    permissions = stored.may(session, user, dag_id)
    if not permissions["read"]:
        raise HTTPException(403, f"you may not see the runs of DAG {dag_id}, or there is none")
    row = stored.find_route(session, dag_id)
    if row is None:
        raise HTTPException(404, f"DAG {dag_id} is no route of Auth0 log events")
    now = datetime.now(timezone.utc)
    (found,) = stored.stored(session, [row], max(runs, stored.RECENT))
    since, until = span_until(now, int(days))
    reports = stored.reports_since(session, dag_id, since, MAX_REPORTS)
    dated = [(moment, run.report or {}) for run, moment in reports]
    listing = last_about(stored.last_listings(session), dag_id) if permissions["see_letters"] else None
    listed = iso(listing.ended) if listing and listing.ended else None
    return {
        "now": iso(now),
        "route": summary(found, now),
        "may": permissions,
        "history": history(dated, since=since, until=until, buckets=SPANS[int(days)])
        | {"until": iso(until), "runs": len(reports), "cut_at": iso(reports[-1][1]) if len(reports) == MAX_REPORTS else None},
        "audit": audit(stored.last_audits(session) if permissions["see_audits"] else [], dag_id),
        "audit_dag_id": AUDIT_DAG_ID,
        "runs": [run.as_json() for run in found.runs[:runs]],
        "dead_letters": dead_letters(listing, dag_id, [run.report or {} for run, _ in reports if ended_after(run, listed)])
        | {"dag_id": DEAD_LETTER_DAG_ID},
    }
