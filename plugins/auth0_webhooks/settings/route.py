"""The settings of a route: which tenant's events go to which webhook, and how."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from croniter import croniter
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from auth0_webhooks.errors import SettingError
from auth0_webhooks.filtering.api_endpoints import API_TYPES
from auth0_webhooks.filtering.log_types import types_of
from auth0_webhooks.filtering.selection import Selection
from auth0_webhooks.names import AUDIT_DAG_ID, DEAD_LETTER_DAG_ID, checkpoint_key
from auth0_webhooks.payload.envelope import Kind
from auth0_webhooks.payload.payload import MOST_EVENTS, Form
from auth0_webhooks.privacy.redaction import parse_rules
from auth0_webhooks.privacy.search import Action
from auth0_webhooks.settings.values import (
    BodyExpression,
    Calls,
    Categories,
    Condition,
    Count,
    CountOrNone,
    Endpoints,
    Level,
    PerSecond,
    Start,
    Types,
    Watch,
)
from auth0_webhooks.times import iso
from auth0_webhooks.wording import did_you_mean, shortened

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+( *; *[\w-]+=([\w.+-]+|\"[\w ./:+-]*\"))*", re.ASCII)
"""Type, subtype and parameters (RFC 9110, 8.3.1)."""


class Route(BaseModel):
    """The settings of one route. Its name is the id of its DAG."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$", description="The key of the route's entry. It is the id of its DAG.")
    auth0_conn_id: str = Field(default="auth0_default", min_length=1, description="Airflow connection of the Auth0 tenant.")
    webhook_conn_id: str = Field(default="webhook_default", min_length=1, description="Airflow connection of the webhook.")
    schedule: str = Field(
        default="*/5 * * * *",
        description="Cron expression, in UTC. It starts a run even if the watch has seen no event, so it bounds the delay if the "
        "watch fails.",
    )
    log_level: Level = Field(
        default=0,
        description="Send only events of this level or a higher one: 0 `debug`, 1 `info`, 2 `warning`, 3 `error`, 4 `critical`. "
        "A log type whose level is not known is sent at every setting.",
    )
    log_types: Types = Field(
        default=[],
        description="Send only these log types: a list, or a text with commas. Empty, without `include_types`: all types.",
    )
    exclude_types: Types = Field(
        default=["sapi", "fapi"],
        description="Never send these log types: a list, or a text with commas. It wins over `log_types`.",
    )
    concurrent_calls: Calls = Field(
        default=5,
        description="POSTs that are open at the same time. 1 keeps the order of the log. `auto` starts with 1 and finds out how "
        "many the webhook takes well.",
    )
    max_per_second: PerSecond = Field(
        default=None,
        ge=0.01,
        le=1_000,
        description="The most POSTs that start in a second, retries included; 0.5 is one every two seconds. Not set: any number.",
    )
    start_from: Start = Field(
        default="oldest",
        description="Where the first run starts: at the `oldest` event that the tenant still has, `now`, or at a date-time such "
        "as `2026-11-22T10:00:00Z`. It has no effect once the route has a checkpoint.",
    )
    on_reject: Literal["stop", "dead_letter"] = Field(
        default="stop",
        description="When the webhook refuses an event: `stop` fails the run at this event; `dead_letter` stores the event as a "
        "dead letter and continues.",
    )
    dead_letter_path: str | None = Field(
        default=None,
        min_length=1,
        description="Where dead letters are stored, and the hashes that the audit needs: a folder, or an object storage URL such "
        "as `s3://CONNECTION@bucket/folder`. Not set: the folder `auth0_webhook_dead_letters` in `$AIRFLOW_HOME`.",
    )
    dead_letter_path_shared: bool = Field(
        default=False,
        description="`true` confirms that all workers share the folder in `dead_letter_path`. Without it a folder is accepted "
        "with LocalExecutor only.",
    )
    max_logs_per_run: Count = Field(
        default=20_000,
        ge=1,
        le=1_000_000,
        description="The most events that one live run reads. The next run continues from there.",
    )
    retention_days: CountOrNone = Field(
        default=None,
        ge=1,
        le=365,
        description="How many days your Auth0 plan keeps the log. If it is set, the report warns before waiting events leave the "
        "log.",
    )
    on_gap: Literal["go_on", "stop"] = Field(
        default="go_on",
        description="When the checkpoint's event is no longer in Auth0's log: `go_on` reports the gap and continues from the "
        "oldest event left; `stop` fails the run.",
    )
    watch: Watch = Field(
        default=3.0,
        description="Seconds between two checks of the log by the triggerer, and a third of it for a minute after events came. "
        "An event that the route wants starts a run at once. `off`: only `schedule` starts runs.",
    )
    alarm_conn_id: str | None = Field(
        default=None,
        min_length=1,
        description="HTTP connection that alarms are POSTed to, not that of a webhook. Not set: no alarms are sent.",
    )
    alarm_lag_seconds: Count = Field(
        default=900, ge=1, description="The route is unhealthy if an event has been waiting for longer than this many seconds."
    )
    daily_summary: bool = Field(
        default=False,
        description="`true` sends a summary of each day to `alarm_conn_id`: delivered, set aside, lag, audit. It needs the "
        "audit's DAG to be enabled.",
    )
    payload: Form = Field(
        default="event",
        description="`event` sends one event per POST. `array` sends batches as a JSON array, `lines` as JSON lines, one event "
        "per line.",
    )
    max_events: Count = Field(default=100, ge=1, le=MOST_EVENTS, description="The most events in one batch.")
    max_bytes: Count = Field(
        default=1_000_000, ge=1_000, le=100_000_000, description="The largest body of a batch, in bytes before compression."
    )
    gzip: bool = Field(default=False, description="`true` compresses the body of each POST.")
    allow_private_addresses: bool = Field(
        default=True,
        description="`false` connects to the webhook only at a public IP address. Use it if others choose the webhook's URL.",
    )
    envelope: Kind = Field(
        default="none",
        description="`none` sends the event as Auth0 wrote it. `standard` puts it into the envelope of Standard Webhooks, "
        "`cloudevents` into that of CloudEvents 1.0, `log_stream` into that of Auth0's log streams.",
    )
    body: BodyExpression = Field(
        default=None,
        description="A JMESPath expression whose result is sent instead of the event, such as `{text: description}`. It is "
        "applied to each event after redaction, and excludes an envelope.",
    )
    content_type: str | None = Field(
        default=None,
        description="The `Content-Type` of a POST. Not set: that of `payload` and `envelope`, usually `application/json`.",
    )
    include_types: Categories = Field(
        default=[],
        description="Send only the log types of these Auth0 categories, such as `auth.login.fail`, and those in `log_types`. "
        "`auth.login` includes every category below it.",
    )
    api_endpoints: Endpoints = Field(
        default=[],
        description="Send only calls to these endpoints of the Management API and below, such as `[users, connections]`: the "
        "types `sapi`, `fapi` and `mgmt_api_read`. `exclude_types` is then empty by default.",
    )
    where: Condition = Field(
        default=None, description="Send only events for which this JMESPath expression is true, such as `connection == 'Users'`."
    )
    redact: Annotated[dict[str, Action], BeforeValidator(parse_rules)] = Field(
        default={},
        description="User data to `mask`, `drop` or replace by a `pseudonym`: a mapping of paths to actions, such as "
        "`{user_data: mask}`.",
    )

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        # Only cron expressions have the data intervals that a backfill needs; @once and @continuous have none.
        try:
            if len(value.split()) > 6:
                raise ValueError("a year")
            # A date that never occurs (31 February) would also take the valid routes down, without an import error.
            croniter(value).get_next()
            croniter(value).get_prev()
        except (ValueError, KeyError):
            raise ValueError("expected a cron expression (UTC) that recurs, such as '*/5 * * * *'") from None
        return value

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in {DEAD_LETTER_DAG_ID, AUDIT_DAG_ID}:
            raise ValueError(f"this is the id of the DAG for {'dead letters' if value == DEAD_LETTER_DAG_ID else 'audits'}")
        return value

    @field_validator("alarm_conn_id")
    @classmethod
    def _elsewhere(cls, value: str | None, others: ValidationInfo) -> str | None:
        # Airflow's notifier sends every key of the extra as a header; the webhook's extra can hold the key of the pseudonyms.
        if value is not None and value == others.data.get("webhook_conn_id"):
            raise ValueError("expected a connection of its own, not the webhook's")
        return value

    @field_validator("daily_summary")
    @classmethod
    def _has_a_place(cls, value: bool, others: ValidationInfo) -> bool:
        if value and others.data.get("alarm_conn_id") is None:
            raise ValueError("expected alarm_conn_id, too: the summary is sent there")
        return value

    @model_validator(mode="before")
    @classmethod
    def _management_api(cls, settings: Any) -> Any:
        # The default of exclude_types would leave out all that api_endpoints selects.
        if isinstance(settings, dict) and settings.get("api_endpoints") and "exclude_types" not in settings:
            return {**settings, "exclude_types": []}
        return settings

    @field_validator("api_endpoints")
    @classmethod
    def _not_excluded(cls, value: list[str], others: ValidationInfo) -> list[str]:
        left_out = [code for code in others.data.get("exclude_types", ()) if code in API_TYPES]
        if value and left_out:
            raise ValueError(f"it selects {', '.join(left_out)}, which the route's exclude_types leaves out: remove that there")
        return value

    @field_validator("body")
    @classmethod
    def _alone(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and others.data.get("envelope", "none") != "none":
            raise ValueError("expected either a body or an envelope, not both")
        return value

    @field_validator("content_type")
    @classmethod
    def _media_type(cls, value: str | None) -> str | None:
        if value is not None and not _MEDIA_TYPE.fullmatch(value):
            raise ValueError("expected a media type such as application/json or text/plain; charset=utf-8")
        return value

    @property
    def retention(self) -> timedelta:
        """How long the tenant keeps an event; a day, as on Auth0's smallest plan, if retention_days is not set."""
        return timedelta(days=self.retention_days or 1)

    @property
    def wanted_types(self) -> list[str]:
        """The log types that the route names, directly or by category; empty means all."""
        return list(dict.fromkeys([*self.log_types, *(code for name in self.include_types for code in types_of(name))]))

    @property
    def selection(self) -> Selection:
        """The route's filter."""
        return Selection.of(
            log_level=self.log_level,
            log_types=self.wanted_types,
            exclude_types=self.exclude_types,
            where=self.where,
            api_endpoints=self.api_endpoints,
        )

    def next_tick(self, moment: datetime | None) -> datetime | None:
        """The next time of the schedule after a moment (UTC): the end of the data interval that begins at the moment."""
        return croniter(self.schedule, moment).get_next(datetime) if moment else None

    @property
    def start_from_text(self) -> str:
        """``start_from`` as it is written in the YAML file."""
        return self.start_from if isinstance(self.start_from, str) else iso(self.start_from)

    @property
    def checkpoint_key(self) -> str:
        """The name of the Variable that holds the route's checkpoint."""
        return checkpoint_key(self.name)


def describe(detail: Any) -> str:
    """One of pydantic's errors as a sentence that names the key and what was expected."""
    key = str(detail["loc"][0]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        known = [field for field in Route.model_fields if field != "name"]
        return f"unknown key {shortened(key)}{did_you_mean(key, known)}: expected one of {', '.join(known)}"
    message, given = detail["msg"].removeprefix("Value error, "), detail["input"]
    if detail["type"] == "string_pattern_mismatch":
        message = "expected 1 to 200 of these: letters without accents, digits, '_', '.' and '-'"
    elif detail["type"] == "literal_error" and isinstance(given, str):
        message += did_you_mean(given, re.findall("'([^']+)'", detail["ctx"]["expected"]))
    return f"key {key!r}: {message[0].lower()}{message[1:]}, got {shortened(given)}"


def check_run_settings(settings: dict[str, Any], route: Route) -> Route:
    """The route with the params of one run applied; None means "as the route says".

    :raises SettingError: naming the key and what was expected.
    """
    try:
        given = {key: value for key, value in settings.items() if value is not None}
        return Route(**{**route.model_dump(), **given})
    except ValidationError as error:
        problems = "; ".join(describe(detail) for detail in error.errors())
        raise SettingError(f"route {route.name!r}, params of this run: {problems}") from None
