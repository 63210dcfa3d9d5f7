"""``where``: a JMESPath expression that says whether a route wants an event."""

from __future__ import annotations

from auth0_webhooks.filtering.expression import CannotEvaluateError, Expression


class Where(Expression):
    """An expression that an event matches or not."""

    def fits(self, body: str) -> bool | None:
        """Whether an event's JSON matches; None if that cannot be evaluated.

        As in JMESPath, every value but false, null and empty ones is true.
        """
        try:
            found = self.value(body)
        except CannotEvaluateError:
            return None
        return not (found is None or found is False or (isinstance(found, str | list | dict) and not found))
