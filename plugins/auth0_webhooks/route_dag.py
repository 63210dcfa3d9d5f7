"""Builds the DAG of a route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronDataIntervalTimetable, Param
from airflow.sdk.definitions.param import ParamsDict

from auth0_webhooks.filtering.log_types import LEVELS, log_types
from auth0_webhooks.names import DELIVER, FETCH, FILTER, TENANT_TAG
from auth0_webhooks.operators.alarm import note_failure, note_success
from auth0_webhooks.operators.assets import delivered_alias, delivered_asset, drain_alias, new_events_asset
from auth0_webhooks.operators.base import LONGEST_RETRY_DELAY, AnswerRetryPolicy
from auth0_webhooks.operators.deliver import DeliverOperator
from auth0_webhooks.operators.fetch import FetchOperator
from auth0_webhooks.operators.filter import FilterOperator
from auth0_webhooks.reading.window import MAX_WINDOW_EVENTS
from auth0_webhooks.settings.in_airflow import to_extra
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.xcom_batches import remove_batches
from auth0_webhooks.triggers.log_watch import LogWatch
from auth0_webhooks.waits import WAITS, Waits
from auth0_webhooks.webhook.pacing import MOST_CALLS

RETRIES = 3

Callback = Callable[[Any], None]

_AS_ROUTE = "Leave empty to use the route's setting"
_NOT_LIVE = (
    "**For replays, backfills and dry runs only**: a live run would pass over what it leaves out, and the route would never "
    "send it, so such a live run is refused."
)


def build_dag(route: Route, routes: Iterable[Route] = (), *, waits: Waits = WAITS) -> DAG:
    """One DAG for one route: fetch >> filter >> deliver.

    :param routes: all routes; those that watch the same tenant at the same pace share one watch.
    :param waits: how long its runs wait.
    """
    with DAG(
        dag_id=route.name,
        dag_display_name=route.name.replace("_", " ").capitalize(),
        description=f"Auth0 log events of {route.auth0_conn_id} to {route.webhook_conn_id}",
        doc_md=_dag_docs(route),
        tags=route_tags(route),
        schedule=route_schedule(route, routes),
        start_date=datetime(2020, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
    ) as dag:
        add_tasks(route, waits)
    # Set last: otherwise Airflow copies them, with their texts, into each task, in memory and in its database.
    dag.params = ParamsDict(route_params(route))
    return dag


def route_tags(route: Route) -> set[str]:
    """The tags by which the page, and people, find a route's DAG."""
    return {"auth0", "webhook", f"{TENANT_TAG}{route.auth0_conn_id}"}


def add_tasks(
    route: Route, waits: Waits = WAITS, *, on_failure: Sequence[Callback] = (), on_success: Sequence[Callback] = ()
) -> None:
    """Add fetch >> filter >> deliver to the DAG, or the TaskGroup, of the ``with`` around it.

    What they need comes with them, whatever the DAG's ``default_args`` say.

    :param on_failure: more callbacks after a task's last failure, and ``on_success`` after the success of ``deliver``.
    """
    common: dict[str, Any] = {
        "route": route,
        "waits": waits,
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=waits.task_retry),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": LONGEST_RETRY_DELAY,
        "retry_policy": AnswerRetryPolicy(),
        "on_failure_callback": [remove_batches, note_failure, *on_failure],
        "depends_on_past": False,
        "wait_for_downstream": False,
        "do_xcom_push": True,
    }
    after_another = {**common, "trigger_rule": "all_success"}
    fetch = FetchOperator(
        task_id=FETCH,
        execution_timeout=timedelta(seconds=waits.reading),
        task_display_name="Fetch from Auth0",
        doc_md=f"Reads the log of `{route.auth0_conn_id}` from the checkpoint on, at most {route.max_logs_per_run:,} events, "
        f"or a backfill's or replay's window, at most {MAX_WINDOW_EVENTS:,}, and hands it on as compressed batches. Sends "
        "nothing: safe to run again. A live run that finds nothing new ends here.",
        **common,
    )
    select = FilterOperator(
        task_id=FILTER,
        execution_timeout=timedelta(seconds=waits.filtering),
        task_display_name="Filter by level and type",
        doc_md="Keeps what the route wants and counts the rest. Safe to run again.",
        **after_another,
    )
    # No execution_timeout: it would raise inside the event loop. deliver ends itself when it gets nowhere.
    deliver = DeliverOperator(
        task_id=DELIVER,
        execution_timeout=None,
        task_display_name="Deliver to the webhook",
        doc_md=f"POSTs to `{route.webhook_conn_id}`, {_in_a_post(route)}, {_pace(route)}, and moves the "
        "checkpoint behind what was acknowledged (a replay or backfill keeps its own position). The report of the run is in its "
        "log and in its XCom `report`. After success, and after the last failure, the batches are removed; clearing this "
        "task alone then fails and says so.",
        # Airflow makes the asset of an outlet's alias with its first event: of two tasks that do so in the same moment it sets
        # one to failed, whatever it delivered (3.3.2). It makes an inlet's when it reads the DAG file.
        inlets=[delivered_asset(route)],
        outlets=[drain_alias(route), delivered_alias(route)],
        on_success_callback=[remove_batches, note_success, *on_success],
        **after_another,
    )
    fetch >> select >> deliver


def route_schedule(route: Route, routes: Iterable[Route] = ()) -> AssetOrTimeSchedule:
    """When a route's DAG runs: by its cron schedule, and for new events, seen by the watch or left by a run at its limit.

    :param routes: all routes of the file, as for :func:`build_dag`.
    """
    watchers = []
    if route.watch:
        sharing = [
            other.checkpoint_key for other in routes if (other.auth0_conn_id, other.watch) == (route.auth0_conn_id, route.watch)
        ]
        watch = LogWatch(
            route=route.name,
            auth0_conn_id=route.auth0_conn_id,
            seconds=route.watch,
            log_level=route.log_level,
            log_types=route.wanted_types,
            exclude_types=route.exclude_types,
            where=route.where,
            api_endpoints=route.api_endpoints,
            checkpoint=route.checkpoint_key,
            checkpoints=sorted(sharing or [route.checkpoint_key]),
        )
        watchers.append(AssetWatcher(name=f"watch {route.name}", trigger=watch))
    new_events = Asset(name=new_events_asset(route).name, watchers=watchers, extra=to_extra(route))
    # The plain cron string would give runs without a data interval, which cannot be backfilled.
    return AssetOrTimeSchedule(timetable=CronDataIntervalTimetable(route.schedule, timezone="UTC"), assets=[new_events])


def route_params(route: Route) -> dict[str, Param]:
    """The params of a single run of a route, with their form."""
    known = log_types()
    return {
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Replay since",
            description_md="Send the events from this time on again. The checkpoint is neither read nor moved. "
            "Empty: an ordinary run, from the checkpoint on. Not for backfills, which read their data intervals.",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Replay until",
            description_md="The end of the replay (exclusive). Empty: the time at which the run was triggered.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Read and filter, but send nothing and move nothing; the log of `deliver` and its XCom `report` say "
            "what would be sent. **For single runs.** The Backfill form leaves every one of these fields out, this one "
            "too, unless *Override parameters on existing runs* is ticked: without the tick a backfill's new runs **send**.",
        ),
        "log_level": Param(
            None,
            type=["null", "string", "integer"],
            title="Lowest level",
            description_md=f"Only events of this level or worse, for this run. {_AS_ROUTE} ({LEVELS[route.log_level]}). "
            f"{_NOT_LIVE}",
            enum=[None, *LEVELS, *range(len(LEVELS))],
            values_display={"null": "the route's setting"} | {str(n): f"{n} = {name}" for n, name in enumerate(LEVELS)},
        ),
        "log_types": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Log types",
            description_md=f"Only these types, for this run. {_AS_ROUTE} ({', '.join(route.wanted_types) or 'all types'}). "
            f"{_NOT_LIVE} [What they mean](https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes)",
            examples=list(known),
            values_display={code: f"{code}: {log_type.description}"[:80] for code, log_type in known.items()},
        ),
        "other_log_types": Param(
            None,
            type=["null", "string"],
            title="Other log types",
            description_md="Types that are not in the list above, separated by commas; added to the ones picked there. "
            f"{_NOT_LIVE}",
        ),
        "where": Param(
            None,
            type=["null", "string"],
            title="Where",
            description_md="Only events that this JMESPath expression fits, for this run, such as `connection == 'Users'`. "
            f"{_AS_ROUTE} ({route.where or 'any event'}). {_NOT_LIVE}",
        ),
        "concurrent_calls": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=MOST_CALLS,
            title="Concurrent calls",
            description_md="POSTs in progress at a time, for this run; 1 keeps the order of the log. "
            f"{_AS_ROUTE} ({route.concurrent_calls}).",
        ),
    }


def _in_a_post(route: Route) -> str:
    return "one POST an event" if route.payload == "event" else f"up to {route.max_events} events a POST"


def _pace(route: Route) -> str:
    calls = f"1 to {MOST_CALLS}" if route.concurrent_calls == "auto" else str(route.concurrent_calls)
    return f"{calls} at a time" + (f", at most {route.max_per_second:g} a second" if route.max_per_second else "")


def _dag_docs(route: Route) -> str:
    types = ", ".join(f"`{code}`" for code in route.wanted_types) or "all types"
    where = f", where {route.where}".replace("|", "\\|") if route.where else ""
    watch = f"when an event that it wants appears (a look every {route.watch:g} s), and " if route.watch else ""
    excluded = ", ".join(f"`{code}`" for code in route.exclude_types) or "none"
    return f"""\
### Auth0 log events to a webhook

| | |
|---|---|
| **Watches** | the log of the tenant in connection `{route.auth0_conn_id}` |
| **Picks** | level {LEVELS[route.log_level]} or worse, {types}{where}; left out: {excluded} |
| **Sends to** | the webhook in connection `{route.webhook_conn_id}`, {_in_a_post(route)}, {_pace(route)} |
| **Runs** | {watch}`{route.schedule}` (cron, UTC), at most {route.max_logs_per_run:,} events a run |
| **Checkpoint** | Variable `{route.checkpoint_key}` (Admin > Variables) |

**Is it healthy?** The block at the end of the log of `deliver`, and its XCom `report`, account for every event read. A run that
finds nothing new ends after `fetch`, which then has both; `filter` and `deliver` are skipped.

**Pause**: pause the DAG. No event is lost as long as the tenant keeps its log (1 to 30 days, by plan).

**Replay**: *Trigger* with *Replay since* and *until* (or `airflow dags trigger {route.name} --conf
'{{"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T12:00:00Z"}}'`) sends the events of that time again, with the same
`webhook-id`, in one run of at most {MAX_WINDOW_EVENTS:,} events. Live runs wait until it ends;
the log of `fetch` says beforehand how long it reads. *Dry run* shows what it would send.

**Backfill**: *Trigger > Backfill*, or `airflow backfill create --dag-id {route.name} --from-date ... --to-date ...`, does
the same with one run per interval of the schedule, beside the live runs. That suits some hours: with a run every 5 minutes a day
is 288 runs and 30 days are 8,640. Replay long ranges instead.

**Rewind**: pause the DAG, set the Variable `{route.checkpoint_key}` to a log id or to a date-time such as
`2026-11-22T10:00:00Z`, unpause. Every event after that position is sent again.
By CLI: `airflow variables set {route.checkpoint_key} 2026-11-22T10:00:00Z`

**A task was cleared by hand**: clear `fetch` with its downstream tasks; a live run then reads again from the checkpoint, a
backfill or replay its window. The batches between the tasks are removed when a run ends. If a task finds batches of different
tries, for example after `fetch` alone was cleared, it sends none of them and fails with an error that says so.
"""
