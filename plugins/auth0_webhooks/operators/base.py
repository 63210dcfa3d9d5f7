"""What the three tasks of a route share: the route, the settings of this run, and what a failure means to Airflow."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowTaskTimeout

from auth0_webhooks.errors import SettingError, WebhookRouteError
from auth0_webhooks.operators.metrics import describe_span, fail_span
from auth0_webhooks.operators.needs import check_dag
from auth0_webhooks.reading.window import Window, window_of
from auth0_webhooks.settings.route import Route, check_run_settings
from auth0_webhooks.settings.values import parse_types
from auth0_webhooks.waits import WAITS, Waits

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

PARAMS = ("since", "until", "dry_run", "log_level", "log_types", "other_log_types", "where", "concurrent_calls")
"""The params of a single run; ``route_dag`` defines them with their form."""
SELECTING = ("log_level", "log_types", "other_log_types", "where")
"""Those of them that pick other events than the route does: for runs that move no checkpoint."""
SPAN_DETAIL = "airflow/task_span_detail_level"
"""What Airflow itself reads from a run's conf: at 2 each step of a task has a span."""
LONGEST_RETRY_DELAY = timedelta(seconds=120)
"""A waiting retry keeps the run active, and an active run blocks the schedule, so waits are short."""


class AnswerRetryPolicy(RetryPolicy):
    """Retry temporary errors, after the delay that the other side named; fail immediately if a person must fix something."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Decide by the ``retry`` and ``retry_after`` of a :class:`WebhookRouteError`; other errors: Airflow's default.

        Airflow asks for each failed try, whatever failed, so this is also where the try's span learns of it.
        """
        fail_span(exception)
        if isinstance(exception, AirflowTaskTimeout):
            # The next try would also take hours, with no alarm in the meantime. The next run reads the same again.
            return RetryDecision.fail("it did not end in its time")
        if not isinstance(exception, WebhookRouteError):
            return RetryDecision.default()
        if not exception.retry:
            return RetryDecision.fail(str(exception)[:500])
        if exception.retry_after is None:
            return RetryDecision.default()
        delay = min(timedelta(seconds=exception.retry_after), LONGEST_RETRY_DELAY)
        return RetryDecision.retry(delay, reason=str(exception)[:500])

    def serialize(self) -> dict[str, Any]:
        """Nothing to store, because the policy runs in the worker only."""
        return {}


@dataclass(frozen=True)
class RunSettings:
    """What one run does: the route with the run's params over it, the window that it reads, its mode, whether it sends."""

    route: Route
    window: Window | None
    mode: str
    dry_run: bool


class RouteOperator(BaseOperator):
    """Holds the route, and how long its runs wait for things.

    ``part`` is which of the route's three tasks it is: they find each other by it, whatever their ids are.
    """

    part: str

    def __init__(self, *, route: Route, waits: Waits = WAITS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.route, self.waits = route, waits
        if self.has_dag():  # type: ignore[no-untyped-call]
            check_dag(self, AnswerRetryPolicy)

    def run_settings(self, context: Context) -> RunSettings:
        """What this run is to do.

        :raises SettingError: when a param does not fit, is not applied at all, or would have a live run pass over events.
        """
        params, run = dict(context["params"]), context["dag_run"]
        check_conf(context, PARAMS, self._params_of_its_own())
        picked, typed = params.get("log_types"), _types("other_log_types", params)
        route = check_run_settings(
            {
                "log_level": params.get("log_level"),
                "log_types": [*_types("log_types", params), *typed] if picked is not None or typed else None,
                "include_types": [] if picked is not None or typed else None,
                "where": params.get("where"),
                "concurrent_calls": params.get("concurrent_calls"),
            },
            self.route,
        )
        window = window_of(
            run.run_type,
            params,
            interval=(run.data_interval_start, run.data_interval_end),
            expected=(run.logical_date, self.route.next_tick(run.logical_date)),
            triggered=run.run_after,
            now=datetime.now(timezone.utc),
        )
        dry_run = bool(params.get("dry_run"))
        if window is None and not dry_run:
            self._refuse_selection({**params, "other_log_types": typed or None})
        mode = "live" if window is None else "backfill" if run.run_type == "backfill" else "replay"
        describe_span({"route": route.name, "mode": mode, "dry_run": dry_run})
        return RunSettings(route, window, mode, dry_run=dry_run)

    def _refuse_selection(self, params: dict[str, Any]) -> None:
        """A live run's checkpoint passes all that it reads: what such params leave out would be lost by the right to trigger."""
        given = [key for key in SELECTING if params.get(key) is not None]
        if given:
            raise SettingError(
                f"{' and '.join(given)} in a live run of route {self.route.name!r}: nothing was read or sent. The checkpoint "
                "would pass what they leave out, and the route would never send it. To pick other events than the route does, "
                "give since (and until) as well, which makes the run a replay, or dry_run; or change the route's own settings"
            )

    def _params_of_its_own(self) -> set[str]:
        """What the DAG declares, which may be one that has other tasks, too."""
        return set(self.dag.params) if self.has_dag() else set()  # type: ignore[no-untyped-call]


def check_conf(context: Context, names: Sequence[str], others: Iterable[str] = ()) -> None:
    """Make sure that what a run was triggered with applies: a dry run, or a window, that is not applied would be a real run.

    :param others: params that the DAG has besides ``names``.
    :raises SettingError: naming the param.
    """
    for key, value in (context["dag_run"].conf or {}).items():
        if key == SPAN_DETAIL:
            continue
        if key not in names and key not in others:
            raise SettingError(f"unknown param {key!r} in this run's conf: expected one of {', '.join(names)}")
        if context["params"].get(key) != value:
            raise SettingError(
                f"{key!r} of this run's conf is not applied: set [core] dag_run_conf_overrides_params to True in Airflow's "
                "settings (AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS)"
            )


def _types(key: str, params: dict[str, Any]) -> list[str]:
    try:
        return parse_types(params.get(key))
    except ValueError as error:
        raise SettingError(f"param {key!r}: {error}") from None


def checkpoint_description(route: Route) -> str:
    """The description of a checkpoint's Variable, for the person who looks at it in the UI."""
    return (
        f"How far DAG {route.name} is. To rewind: pause the DAG, set log_id (or the whole value) to the log id, or to the "
        "date-time, to continue after; delete it to start again as start_from says."
    )
