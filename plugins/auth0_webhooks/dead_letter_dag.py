"""The DAG that lists dead letters and sends them again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, Param

from auth0_webhooks.errors import DeadLetterStoreError, EndpointUnavailableError, SettingError, WebhookRouteError
from auth0_webhooks.names import DEAD_LETTER_DAG_ID
from auth0_webhooks.payload.body import NoBodyError
from auth0_webhooks.privacy.redaction import redaction_mark
from auth0_webhooks.settings.route import Route
from auth0_webhooks.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow.sdk import Context

    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.payload.payload import Message, Payload
    from auth0_webhooks.privacy.redaction import Redaction
    from auth0_webhooks.state.dead_letters import DeadLetter, DeadLetterStore
    from auth0_webhooks.webhook.endpoint import Endpoint

log = logging.getLogger(__name__)

LISTED = 100
"""How many letters a run lists by name; it counts them all."""


@dataclass
class Outcome:
    """What became of one route's dead letters. found = sent + refused + left; ``unreadable`` files come on top, and stay."""

    found: int = 0
    sent: int = 0
    refused: int = 0
    left: int = 0
    unreadable: int = 0
    stopped_by: str | None = None
    listed: list[dict[str, Any]] = field(default_factory=list)


class DeadLetterOperator(BaseOperator):
    """Lists the dead letters of one route or of all, and sends them again where ``send`` is on."""

    def __init__(self, *, routes: list[Route], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.routes = routes

    def execute(self, context: Context) -> None:
        """Work through the routes; pushes XCom ``report``, by route, before a failure is raised too.

        :raises EndpointUnavailableError: in the end, when something could not be listed or sent.
        :raises DeadLetterStoreError: in the end, when all was listed or sent but what cannot be read.
        """
        from auth0_webhooks.state.routes import routes_asked_for

        asked, send = context["params"]["route"], context["params"]["send"]
        routes = routes_asked_for(asked, self.routes)
        report: dict[str, Outcome] = {}
        try:
            for route in routes:
                outcome = report[route.name] = Outcome()
                try:
                    self._work(route, outcome, send=send)
                # One route's fault keeps no other's letters back.
                except SettingError as error:
                    # A route that sets nothing aside need have no place for it.
                    if route.on_reject == "dead_letter" or asked:
                        outcome.stopped_by = str(error)
                except WebhookRouteError as error:
                    outcome.stopped_by = str(error)
                except Exception as error:
                    log.exception("the dead letters of route %s", route.name)
                    outcome.stopped_by = f"{type(error).__name__}: this task's log says where"
        finally:
            context["ti"].xcom_push("report", {name: asdict(outcome) for name, outcome in report.items()})
            log.info("%s", "\n".join(_lines(report)))
        _raise_in_the_end(report)

    @staticmethod
    def _work(route: Route, outcome: Outcome, *, send: bool) -> None:
        from auth0_webhooks.hooks.webhook import endpoint_of, payload_of, redaction_of
        from auth0_webhooks.state.dead_letters import DeadLetterStore

        store = DeadLetterStore(route)
        try:
            if send:
                payload, redaction = payload_of(route), redaction_of(route)
                prepare = partial(_prepared, payload=payload, redaction=redaction, mark=redaction_mark(route.redact))
                asyncio.run(_send(endpoint_of(route, payload), prepare, store, outcome, route))
            else:
                for letter, _ in store.letters():
                    _note(outcome, letter)
        finally:
            outcome.unreadable += store.unreadable


Prepare = Callable[["DeadLetter", "LogEvent"], "tuple[LogEvent, Message | NoBodyError]"]


def _prepared(
    letter: DeadLetter, event: LogEvent, *, payload: Payload, redaction: Redaction | None, mark: str
) -> tuple[LogEvent, Message | NoBodyError]:
    """A letter's event as the route redacts it today, and its POST, or why there is none.

    What the route redacted by the same rules stays as it is.
    """
    if redaction and letter.redaction != mark:
        event = event._replace(body=redaction.body(event))
    try:
        return event, payload.message([event])
    except NoBodyError as error:
        return event, error


async def _send(
    endpoint: Endpoint,
    prepare: Prepare,
    store: DeadLetterStore,
    outcome: Outcome,
    route: Route,
) -> None:
    from auth0_webhooks.webhook import answers as outcomes
    from auth0_webhooks.webhook.pacing import Pace

    letters = store.letters()
    # The first answer that asks for a pause ends it all, so there is nothing to find out: "auto" is one at a time.
    pace = Pace(1 if route.concurrent_calls == "auto" else route.concurrent_calls, route.max_per_second, asyncio.Event())
    async with endpoint.session(pace.most) as session:

        async def work() -> None:
            for letter, stored in letters:
                if outcome.stopped_by:
                    _note(outcome, letter)
                    continue  # only counted
                try:
                    event, message = prepare(letter, stored)
                except Exception as error:  # noqa: BLE001 - whatever is wrong with one letter, the others are sent
                    log.error(  # noqa: TRY400 - the message of an error could repeat the event
                        "the dead letter of event %s cannot be put into a POST (%s) and is skipped: where the route's redact, "
                        "payload, envelope or body has changed since, undo that, or replay the time of the event",
                        letter.log_id,
                        type(error).__name__,
                    )
                    outcome.unreadable += 1
                    continue
                _note(outcome, letter)
                if isinstance(message, NoBodyError):
                    answer, tries, meaning = outcomes.Answer(None, str(message)), letter.tries, outcomes.Outcome.EVENT_REFUSED
                else:
                    await pace.turn()
                    answer, tries = await endpoint.post(session, message), letter.tries + 1
                    meaning = outcomes.outcome_of(answer, message)
                try:
                    if meaning is outcomes.Outcome.DELIVERED:
                        await asyncio.to_thread(store.remove, letter.log_id)
                        outcome.sent += 1
                    elif meaning is outcomes.Outcome.EVENT_REFUSED:
                        await asyncio.to_thread(store.put, event, answer, tries)
                        outcome.refused += 1
                    else:
                        # The endpoint takes nothing now: sending it the rest would help nobody.
                        outcome.stopped_by = f"the webhook at {endpoint.name}: {answer}"
                        continue
                except DeadLetterStoreError as error:
                    # What the others have under way ends as it does without this fault.
                    outcome.stopped_by = str(error)
                    continue
                outcome.left -= 1

        await asyncio.gather(*(work() for _ in range(pace.most)))


def _raise_in_the_end(report: dict[str, Outcome]) -> None:
    """Fail the run for what a person has to look at, now that everything else is done."""
    stopped = {name: outcome.stopped_by for name, outcome in report.items() if outcome.stopped_by}
    unreadable = {name: outcome.unreadable for name, outcome in report.items() if outcome.unreadable}
    reasons = [f"{name}: {reason}" for name, reason in stopped.items()]
    reasons += [
        f"{name}: {counted(count, 'dead letter')} cannot be read, this task's log names each"
        for name, count in unreadable.items()
    ]
    if stopped:
        raise EndpointUnavailableError(
            f"not everything could be listed or sent again ({'; '.join(reasons)}); what is left stays stored"
        )
    if unreadable:
        raise DeadLetterStoreError(f"{'; '.join(reasons)}, and what to do; all others were worked through")


def _note(outcome: Outcome, letter: DeadLetter) -> None:
    """Count a letter as found and, until more is known, as left."""
    outcome.found += 1
    outcome.left += 1
    if len(outcome.listed) < LISTED:
        outcome.listed.append(letter.summary())


def _lines(report: dict[str, Outcome]) -> Iterator[str]:
    for name, outcome in report.items():
        yield (
            f"{name}: {counted(outcome.found, 'dead letter')} found, {outcome.sent} delivered now, "
            f"{outcome.refused} refused again, {outcome.left} left as they were, {outcome.unreadable} cannot be read"
        )
        for letter in outcome.listed:
            tries = counted(letter["tries"], "try", "tries")
            yield f"  {letter['log_id']}  {letter['type']:<12} {letter['at']}  {letter['answer']} ({tries})"


def build_dead_letter_dag(routes: Iterable[Route] = ()) -> DAG:
    """One DAG for the dead letters of all routes, started by hand: in one DAG file of an installation.

    :param routes: those that its form proposes. It works for the routes of all other files, too: Airflow knows them.
    """
    routes = list(routes)
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
                examples=names,
                title="Route",
                description_md="Whose dead letters; leave empty for those of every route.",
            ),
            "send": Param(
                default=False,
                type="boolean",
                title="Send again",
                description_md="Off: only list them. On: send each again, and remove it after a 2xx.",
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
file, and continues. This DAG lists those files and sends them again: *Trigger* it, with
**Send again** off to list and on to send.

By CLI: `airflow dags trigger auth0_webhook_dead_letters --conf '{"send": true, "route": "auth0_log_webhooks"}'`

A file is removed after the webhook's 2xx. The `webhook-id` is the same as on the first try.

A file that cannot be read (it breaks off, belongs to another user, is a folder) is skipped and stays. The others are listed
and sent; then the run fails, and its log names each such file and says what to do.
"""
