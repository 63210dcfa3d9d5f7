"""The DAG that lists dead letters and sends them again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, Param

from auth0_webhooks.errors import EndpointUnavailableError, SettingError, WebhookRouteError
from auth0_webhooks.names import DEAD_LETTER_DAG_ID
from auth0_webhooks.privacy.redaction import redaction_mark
from auth0_webhooks.settings.route import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.payload.payload import Payload
    from auth0_webhooks.privacy.redaction import Redaction
    from auth0_webhooks.state.dead_letters import DeadLetter, DeadLetterStore
    from auth0_webhooks.webhook.endpoint import Endpoint

log = logging.getLogger(__name__)

LISTED = 100
"""How many letters a run lists by name; it counts them all."""


@dataclass
class Outcome:
    """What became of one route's dead letters. found = sent + refused + left."""

    found: int = 0
    sent: int = 0
    refused: int = 0
    left: int = 0
    stopped_by: str | None = None
    listed: list[dict[str, Any]] = field(default_factory=list)


class DeadLetterOperator(BaseOperator):
    """Lists the dead letters of one route or of all, and sends them again where ``send`` is on."""

    def __init__(self, *, routes: list[Route], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.routes = routes

    def execute(self, context: Context) -> None:
        """Work through the routes; pushes XCom ``report``, by route, before a failure is raised too."""
        asked, send = context["params"]["route"], context["params"]["send"]
        routes = [route for route in self.routes if asked in (None, route.name)]
        if not routes:
            raise SettingError(f"param 'route': there is no route {asked!r}; there are {', '.join(r.name for r in self.routes)}")
        report: dict[str, Outcome] = {}
        try:
            for route in routes:
                outcome = report[route.name] = Outcome()
                try:
                    self._work(route, outcome, send=send)
                except WebhookRouteError as error:
                    # One route's fault keeps no other's letters back; one that sets nothing aside need have no place for it.
                    if route.on_reject == "dead_letter" or asked:
                        outcome.stopped_by = str(error)
        finally:
            context["ti"].xcom_push("report", {name: asdict(outcome) for name, outcome in report.items()})
            log.info("%s", "\n".join(_lines(report)))
        stopped = {name: outcome.stopped_by for name, outcome in report.items() if outcome.stopped_by}
        if stopped:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in stopped.items())
            raise EndpointUnavailableError(
                f"not everything could be listed or sent again ({reasons}); what is left stays set aside"
            )

    @staticmethod
    def _work(route: Route, outcome: Outcome, *, send: bool) -> None:
        from auth0_webhooks.hooks.webhook import endpoint_of, payload_of, redaction_of
        from auth0_webhooks.state.dead_letters import DeadLetterStore

        store = DeadLetterStore(route)
        if send:
            payload, redaction = payload_of(route), redaction_of(route)
            letters = _redacted(store.letters(), redaction, redaction_mark(route.redact))
            asyncio.run(_send(endpoint_of(route, payload), payload, store, letters, outcome, calls=route.concurrent_calls))
        else:
            for letter, _ in store.letters():
                outcome.left += 1
                _note(outcome, letter)


def _redacted(
    letters: Iterator[tuple[DeadLetter, LogEvent]], redaction: Redaction | None, mark: str
) -> Iterator[tuple[DeadLetter, LogEvent]]:
    """The letters with their events as the route redacts them today; what it redacted by the same rules stays as it is."""
    for letter, event in letters:
        yield letter, event._replace(body=redaction.body(event)) if redaction and letter.redaction != mark else event


async def _send(
    endpoint: Endpoint,
    payload: Payload,
    store: DeadLetterStore,
    letters: Iterator[tuple[DeadLetter, LogEvent]],
    outcome: Outcome,
    *,
    calls: int,
) -> None:
    from auth0_webhooks.webhook import answers as outcomes

    async with endpoint.session(calls) as session:

        async def work() -> None:
            for letter, event in letters:
                _note(outcome, letter)
                outcome.left += 1
                if outcome.stopped_by:
                    continue  # only counted
                message = payload.message([event])
                answer = await endpoint.post(session, message)
                meaning = outcomes.outcome_of(answer, deep=message.deep)
                if meaning is outcomes.Outcome.DELIVERED:
                    await asyncio.to_thread(store.remove, letter.log_id)
                    outcome.sent += 1
                elif meaning is outcomes.Outcome.EVENT_REFUSED:
                    await asyncio.to_thread(store.put, event, answer, letter.tries + 1)
                    outcome.refused += 1
                else:
                    # The endpoint is not well: sending it the rest would help nobody.
                    outcome.stopped_by = f"the webhook at {endpoint.name}: {answer}"
                    continue
                outcome.left -= 1

        await asyncio.gather(*(work() for _ in range(calls)))


def _note(outcome: Outcome, letter: DeadLetter) -> None:
    outcome.found += 1
    if len(outcome.listed) < LISTED:
        outcome.listed.append(letter.summary())


def _lines(report: dict[str, Outcome]) -> Iterator[str]:
    for name, outcome in report.items():
        yield (
            f"{name}: {outcome.found} dead letters found, {outcome.sent} delivered now, {outcome.refused} refused again, "
            f"{outcome.left} left as they were"
        )
        for letter in outcome.listed:
            yield f"  {letter['log_id']}  {letter['type']:<12} {letter['at']}  {letter['answer']} ({letter['tries']} tries)"


def build_dead_letter_dag(routes: list[Route]) -> DAG:
    """One DAG for the dead letters of all routes, started by hand."""
    names = [route.name for route in routes]
    with DAG(
        dag_id=DEAD_LETTER_DAG_ID,
        dag_display_name="Auth0 webhook dead letters",
        description="Lists the events that webhooks refused, and sends them again",
        doc_md=_DOCS,
        tags=["auth0", "webhook"],
        schedule=None,
        start_date=datetime(2020, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        params={
            "route": Param(
                None,
                type=["null", "string"],
                enum=[None, *names],
                values_display={"null": "every route"},
                title="Route",
                description_md="Whose dead letters; leave empty for those of every route.",
            ),
            "send": Param(
                default=False,
                type="boolean",
                title="Send again",
                description_md="Off: only list them. On: send each again, and forget it after a 2xx.",
            ),
        },
    ) as dag:
        DeadLetterOperator(
            task_id="dead_letters",
            task_display_name="List or send again",
            doc_md="Counts and lists in its log and in its XCom `report`. What is refused again stays, with the new answer.",
            routes=routes,
        )
    return dag


_DOCS = """\
### Dead letters

A route with `on_reject: dead_letter` sets an event that its webhook refuses (400, 409, 413, 415, 422 and the like) aside as a
file, and goes on. This DAG lists those files and sends them again: *Trigger* it, with **Send again** off to look and on to send.

By CLI: `airflow dags trigger auth0_webhook_dead_letters --conf '{"send": true, "route": "auth0_log_webhooks"}'`

A file is removed after the webhook's 2xx. The `webhook-id` is the same as on the first try.
"""
