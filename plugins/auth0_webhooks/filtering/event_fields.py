"""The fields that log events have, so that an expression with a misspelled one can be noticed.

Sources: the schemas of all log types that Auth0 publishes (auth0/auth0-log-schemas, July 2026), and what the Management API adds
or spells in another way (``_id``, ``isMobile``, ``location_info``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auth0_webhooks.filtering.expression import Expression
from auth0_webhooks.wording import did_you_mean

FIELDS = frozenset(
    """
    $event_schema _id agent_id audience auth0_client body client_id client_ip client_name connection connection_id date
    description details email environment_name external_agent_id hostname identity_user_id ip isMobile is_mobile
    location_info log_id mtls_thumbprint_sha256 organization_id organization_name query references scope security_context
    session_connection strategy strategy_type tenant_name title tracking_id transaction_linking_id type user_agent user_id
    user_name
    """.split()  # noqa: SIM905
)
"""What an event has at its top."""

DETAILS = frozenset(
    """
    access_token_jti accessedSecrets action action_error action_id action_name actions actor allowedOrigins
    allowed_logout_url api_type assessments audience audit_context authentication_method authentication_method_id
    authenticator binding_id body channel client_authentication_error client_authentoication_error code completedAt
    completed_at confidence connected_account connection connection_id connection_name consoleOut created_at credential_id
    credentials_tenant custom_domain custom_domain_id delivery_method description details device device_id docs
    documentation domain dpop_nonce_used dpop_signing_alg elapsedTime email email_type enabled_features endCount end_time
    enrollment enterprise_connection enterprise_connection_id error errorMsg error_class errors execution_id expires_at
    failure_details failure_reason familyId feature first_factor flow flow_id flow_type form_id grant_id grant_type headers
    host host_tenant id id_token_signed_response_algs id_token_signing_alg idp_token_type initiatedAt initiated_by initiator
    invitation ipOnAllowlist is_privileged_worker issued_token_type latestCounter limit link message method
    notification_channel notification_type operation opts organization_id origin originUrl originalUrl original_profile path
    phone_number phone_risk_assessment policy_used prompts protocol provider_error purpose qs query reason referer
    refresh_token remember_browser removedCount request requestedRichConsentId requested_audience requested_client_id
    requested_scope requested_token_type requiresVerification requiresVerificationForSignupFlow resetUrl reset_time resource
    response return_to riskAssessment saml_certificate_thumbprint scheduled scope sdk_version session session_connection
    session_id session_metadata ss_sso_event_name ss_sso_tracing_id start start_time started_at state stats status
    subject_token_type sync_status synchronization_id target tenant title to tokenCounter token_broker
    token_endpoint_auth_method token_endpoint_auth_signing_alg token_endpoint_auth_signing_kid token_thumbprint
    total_hours_allocated total_hours_consumed total_hours_remaining transaction_id transaction_linking_id trigger_id
    trigger_time triggered_by_session_transfer_token type upstream_userinfo_fetch user_id version version_id warning
    webOrigins xhr
    """.split()  # noqa: SIM905
)
"""What an event has in ``details``. Auth0 adds more without notice: only a name that is nearly one of these is suspicious."""


def unknown_field_warnings(expression: str) -> list[str]:
    """A sentence for each field in an expression that no known log type has, with the closest known name.

    :raises ValueError: when the expression is not valid.
    """
    return list(dict.fromkeys(filter(None, map(_warning, _paths(Expression(expression).tree)))))


def _warning(path: tuple[str, ...]) -> str:
    if path[0] not in FIELDS:
        return f"no known log type has a field {path[0]!r}{did_you_mean(path[0], FIELDS)}"
    if path[0] == "details" and len(path) > 1 and path[1] not in DETAILS and (meant := did_you_mean(path[1], DETAILS)):
        return f"no known log type has a field {path[1]!r} in 'details'{meant}"
    return ""


# Their first child is evaluated on the event, the others on what it gives.
_STEPS = frozenset({"pipe", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "slice"})


def _paths(node: Any) -> Iterator[tuple[str, ...]]:
    """The paths of the fields that an expression takes from the event itself, not from a part of it."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield (node["value"],)
    elif kind == "subexpression":
        names = [child["value"] for child in children if isinstance(child, dict) and child["type"] == "field"]
        if children[0]["type"] == "field":
            yield tuple(names[:2]) if children[1]["type"] == "field" else (names[0],)
        else:
            yield from _paths(children[1] if children[0]["type"] == "current" else children[0])
    elif kind in _STEPS:
        yield from _paths(children[0])
    elif kind != "expref":
        for child in children:
            if isinstance(child, dict):
                yield from _paths(child)
