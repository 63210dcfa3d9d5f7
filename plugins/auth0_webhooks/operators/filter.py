"""The task that keeps the wanted events."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

from auth0_webhooks.names import FILTER
from auth0_webhooks.operators.base import RouteOperator
from auth0_webhooks.operators.metrics import describe_span
from auth0_webhooks.state.xcom_batches import batch_key, fetched_batches, filter_id

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class FilterOperator(RouteOperator):
    """Keeps the wanted events of each batch, redacted as the route says."""

    part = FILTER
    ui_color = "#fef7e0"

    def execute(self, context: Context) -> dict[str, Any]:
        """Filter; returns the counts, a digest of what was read from where to where, and selected, and whose batches it read."""
        from auth0_webhooks.filtering.event_fields import unknown_field_warnings
        from auth0_webhooks.filtering.log_types import unknown_type_warning
        from auth0_webhooks.filtering.selection import Tally, select
        from auth0_webhooks.hooks.webhook import redaction_of, sample_of
        from auth0_webhooks.model.batch import pack
        from auth0_webhooks.privacy.redaction import redaction_mark

        run, tally = self.run_settings(context), Tally()
        fetched, batches = fetched_batches(context)
        filter_try = uuid.uuid4().hex
        # Nobody reads the batches of a dry run, and they would not be redacted.
        dry_run = run.dry_run or fetched["dry_run"]
        digest = hashlib.sha256(json.dumps([fetched["start"], fetched["end"]]).encode())
        route = run.route
        for warning in filter(None, map(unknown_type_warning, [*route.log_types, *route.exclude_types])):
            log.warning("%s", warning)
        for key, expression in (("where", route.where), ("body", route.body)):
            for warning in unknown_field_warnings(expression) if expression else ():
                log.warning("key %r: %s", key, warning)
        # Redacted before they are handed on: what deliver signs, sends and sets aside never was anything else.
        selection, redaction = route.selection, None if dry_run else redaction_of(route)
        made_by = filter_id(fetched, filter_try)
        passed_on: list[int] = []
        for number, batch in enumerate(batches):
            selected = select(batch, selection, tally)
            digest.update(b"".join(event.log_id.encode() for event in selected.events))
            if dry_run:
                continue
            if redaction is None and len(selected.events) == len(batch.events):
                passed_on.append(number)  # it is in XCom as it is
                continue
            packed = pack(redaction.batch(selected) if redaction else selected, made_by=made_by, number=number)
            context["ti"].xcom_push(batch_key(number), packed)
        log.info("%d of %d events are wanted", tally.selected_types.total(), tally.read)
        counts = {
            "selected": tally.selected_types.total(),
            **{reason: tally.dropped[reason] for reason in ("excluded", "below_level", "other_type", "not_matching")},
            "undecided": tally.undecided,
            "unknown_types": dict(tally.unknown_types.most_common(50)),
            "unknown_type": tally.unknown_types.total(),
            "selected_types": dict(tally.selected_types),
            "first_selected": tally.first_selected and [*tally.first_selected[:3]],
            "last_selected": tally.last_selected and [*tally.last_selected[:3]],
            "sample": sample_of(route, tally.first_selected) if dry_run and tally.first_selected else None,
        }
        describe_span({"read": tally.read, **counts})
        return {
            "counts": counts,
            "fingerprint": digest.hexdigest(),
            "redaction": redaction_mark(route.redact),
            "fetch": fetched["fetch"],
            "filter": filter_try,
            "batches": 0 if dry_run else fetched["batches"],
            "passed_on": passed_on,
        }
