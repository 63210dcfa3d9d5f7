"""Errors, named by what the caller must do about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WebhookRouteError(Exception):
    """Base of everything this project raises on purpose.

    ``retry`` says whether trying the task again can help; ``retry_after`` is the least wait before that, in seconds,
    where the other side named one. No message carries a secret, a token or an event's body.
    """

    retry: bool = True
    retry_after: float | None = None

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingError(WebhookRouteError):
    """A setting, connection or Variable is missing or wrong: a person must fix it."""

    retry = False


class TenantDeniedError(WebhookRouteError):
    """Auth0 refuses the credentials or the scope (401, 403): a person must fix them."""

    retry = False


class TenantRefusedError(WebhookRouteError):
    """Auth0 refuses the request itself (other 4xx, in ``status``): a repeated request gets the same answer."""

    retry = False

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class CheckpointExpiredError(WebhookRouteError):
    """The event of the checkpoint has left the tenant's log, and the route is to stop at such a gap."""

    retry = False


class WindowTooLargeError(WebhookRouteError):
    """A window holds more events than one run takes, or than search can show: it must be split."""

    retry = False


class WindowLimitedError(WebhookRouteError):
    """A window waited for the tenant's rate limit as long as a run may: live runs wait for it."""

    retry = False


class TenantUnavailableError(WebhookRouteError):
    """Auth0 did not answer, or answered 5xx, for longer than the hook keeps trying."""


class TenantAnswerError(WebhookRouteError):
    """Auth0's answer breaks the API's own rules, so continuing could lose events."""


class TenantRateLimitedError(WebhookRouteError):
    """The tenant's rate limit is used up; ``retry_after`` says for how long."""


class BudgetUsedError(TenantRateLimitedError):
    """What the tenant's rate limit leaves to reading is used up; ``retry_after`` says for how long. Nothing was requested."""


class EndpointUnavailableError(WebhookRouteError):
    """The webhook did not take an event for now (no answer, 408, 425, 429, 5xx); ``answer`` is its last one.

    ``first`` is the log id and the type of the first event of the run that is still to be delivered.
    """

    first: tuple[str, str] | None = None

    def __init__(self, message: str, *, retry_after: float | None = None, answer: Any = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.answer = answer


class EndpointWrongError(WebhookRouteError):
    """The webhook's address or credentials are wrong (3xx, 401, 403, 404, 405, 407, 511), or it refuses every event."""

    retry = False


class EndpointHeldError(WebhookRouteError):
    """The webhook asked not to be called before a certain time; live runs wait for it."""

    retry = False


class EventRefusedError(WebhookRouteError):
    """The webhook refuses this event (400, 409, 413, 415, 422, other 4xx)."""

    retry = False


class DeadLetterStoreError(WebhookRouteError):
    """A refused event could not be set aside, so nothing may pass it; or dead letters could not be read or removed."""


class KeptHashesError(WebhookRouteError):
    """What a route's runs kept for the audit cannot be read."""


class NothingKeptError(KeptHashesError):
    """A route's runs have kept nothing yet that an audit could compare the log with."""

    retry = False


class UnaccountedError(WebhookRouteError):
    """An audit found events that no run accounts for, or a route that it could not audit: a person must look at its report."""

    retry = False


class AuditIncompleteError(WebhookRouteError):
    """An audit was not finished, for a reason that may pass."""


class DeliveryStoppedError(WebhookRouteError):
    """Airflow asked the task to end while POSTs were in progress."""


class DeliveryStalledError(WebhookRouteError):
    """Nothing was settled for so long that the delivery ended itself: something that it waits for hangs.

    The task does not retry: a person would be notified hours later, and the next run continues anyway.
    """

    retry = False


class SupersededError(DeliveryStoppedError):
    """A later try of the same task has taken over; this one must neither send nor save."""

    retry = False


class AirflowUnavailableError(WebhookRouteError):
    """Airflow could not be read or written: an event whose delivery cannot be saved may not be sent."""


class BatchMissingError(WebhookRouteError):
    """A batch is no longer in XCom, so there is nothing to work on."""

    retry = False


class BatchesMixedError(WebhookRouteError):
    """The batches of a run are not all of one fetch and one filter: none of them is sent, and no checkpoint moves."""

    retry = False


class LedgerError(WebhookRouteError):
    """The report does not account for every event that was read: a fault in this project."""

    retry = False


class SeveralMistakesError(ValueError):
    """Several things are wrong in one list or mapping; ``by_item`` has a sentence for each, by the item or key."""

    def __init__(self, by_item: Mapping[Any, str]) -> None:
        super().__init__("; ".join(by_item.values()))
        self.by_item = by_item
