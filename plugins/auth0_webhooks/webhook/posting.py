"""Repeats a POST until the webhook gives a final answer: the tries, the pauses between them, and when to give up."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auth0_webhooks.errors import EndpointHeldError, EndpointUnavailableError, EndpointWrongError
from auth0_webhooks.model.checkpoint import Hold
from auth0_webhooks.times import iso
from auth0_webhooks.waits import Waits
from auth0_webhooks.webhook.answers import SLOW_DOWN, Answer, Outcome, hold_of, outcome_of

if TYPE_CHECKING:
    from auth0_webhooks.payload.payload import Message
    from auth0_webhooks.webhook.client import Client
    from auth0_webhooks.webhook.endpoint import Endpoint
    from auth0_webhooks.webhook.pacing import Pace


@dataclass
class Figures:
    """What a delivery counts in addition to the states of its events; ``answers`` by status, ``none`` where there was none."""

    posts: int = 0
    retried: int = 0
    slowest_answer: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    moved_by_hand: bool = False
    held: Hold | None = None


class Posting:
    """POSTs to one endpoint, retried while the answer means "for now".

    ``started`` counts the POSTs that have started.

    :param pace: when a POST may start.
    :param on_hold: explains a hold to people.
    """

    def __init__(self, endpoint: Endpoint, figures: Figures, pace: Pace, *, on_hold: str, waits: Waits) -> None:
        self.endpoint, self._figures, self._pace, self._on_hold = endpoint, figures, pace, on_hold
        self._waits = waits
        self.started = 0

    async def post(self, session: Client, message: Message, *, seconds: float | None = None) -> tuple[Answer | None, int]:
        """Try one POST until it is delivered or refused; the answer is None if the run stops first.

        :param seconds: how long to retry, counted from the first failure; by default ``waits.post_retries``.
        :returns: the answer, and the number (in ``started``) of the POST that got it.
        :raises EndpointWrongError: when the endpoint's address or credentials are wrong.
        :raises EndpointHeldError: when the endpoint asks for a longer pause than that.
        :raises EndpointUnavailableError: when the endpoint does not accept the message in that time; holds the last answer.
        """
        tries, deadline = 0, 0.0
        allowed = self._waits.post_retries if seconds is None else seconds
        while True:
            began = await self._pace.turn()
            if began is None:
                return None, 0
            self.started += 1
            number = self.started
            answer = await self.endpoint.post(session, message)
            now = time.monotonic()
            self._pace.answered(began, now, overloaded=answer.status is None or answer.status in SLOW_DOWN)
            tries += 1
            self._figures.posts += 1
            self._figures.retried += tries > 1
            self._figures.answers[str(answer.status or "none")] += 1
            self._figures.slowest_answer = max(self._figures.slowest_answer, now - began)
            if tries > 1:
                answer = answer._replace(tries=tries)
            outcome = outcome_of(answer, message)
            if outcome is Outcome.DELIVERED or outcome is Outcome.EVENT_REFUSED:
                return answer, number
            deadline = deadline or now + allowed
            delay = self._delay(answer, outcome, message, deadline - now)
            if answer.status in SLOW_DOWN:
                self._pace.not_before = max(self._pace.not_before, now + delay)
            await self._pace.sleep(delay)

    def _delay(self, answer: Answer, outcome: Outcome, message: Message, left: float) -> float:
        """Seconds until the POST may be retried; raises if it may not."""
        what = f"the webhook at {self.endpoint.name}: {answer} ({message.what}, try {answer.tries})"
        if outcome is Outcome.ENDPOINT_WRONG:
            raise EndpointWrongError(
                f"{what}; nothing more is sent until its address or credentials are fixed: check the route's webhook "
                "connection, then start the next run"
            )
        if hold := hold_of(answer, longer_than=self._waits.post_retries):
            if self._figures.held and self._figures.held.until > hold.until:
                hold = self._figures.held
            self._figures.held = hold
            raise EndpointHeldError(f"{what}; held until {iso(hold.until)}, as the webhook asked: {self._on_hold}")
        back_off: float = min(self._waits.first_back_off * 2 ** (answer.tries - 1), self._waits.longest_back_off)
        delay = max(answer.retry_after or 0.0, back_off * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        if delay > left:
            raise EndpointUnavailableError(
                f"{what}, retried for {self._waits.post_retries:.0f} s; the next try continues from there",
                retry_after=answer.retry_after,
                answer=answer,
            )
        return delay
