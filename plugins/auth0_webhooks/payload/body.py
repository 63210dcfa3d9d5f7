"""``body``: a JMESPath expression whose result for an event is the JSON that is sent."""

from __future__ import annotations

from auth0_webhooks.filtering.expression import CannotEvaluateError, Expression
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.wording import shortened


class NoBodyError(ValueError):
    """The expression makes nothing to send of an event; the message names the expression and the reason, nothing of the event."""


class Body(Expression):
    """An expression that makes the JSON to send."""

    def of(self, event: LogEvent) -> str:
        """The JSON text for one event, on one line.

        :raises NoBodyError: when the expression cannot be evaluated for this event, or gives null.
        """
        try:
            text = self.json(event.body)
        except CannotEvaluateError as error:
            raise NoBodyError(f"the route's body {shortened(self.text)} fails: {error}") from None
        if text == "null":
            raise NoBodyError(f"the route's body {shortened(self.text)} gives null")
        return text
