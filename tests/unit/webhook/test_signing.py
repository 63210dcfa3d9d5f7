from __future__ import annotations

import asyncio
import base64
import json
from datetime import datetime, timezone

import pytest
from airflow.sdk import Connection
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from auth0_webhooks.errors import SettingError
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.webhook.endpoint import Endpoint
from auth0_webhooks.webhook.signing import Signer
from tests.support.factory import events


def secret(letter, size=32):
    return "whsec_" + base64.b64encode(letter.encode() * size).decode()


NEW, OLD, OTHER = secret("n"), secret("o"), secret("x")


def send(receiver, extra, count=20):
    connection = Connection(conn_id="webhook_default", conn_type="http", host=receiver.url, extra=json.dumps(extra))

    async def run():
        endpoint = Endpoint.from_connection(connection)
        async with endpoint.session(5) as session:
            await asyncio.gather(*(endpoint.post(session, Payload().message([event])) for event in events(count)))

    asyncio.run(run())


@pytest.mark.parametrize("known", [NEW, OLD])
def test_every_delivery_verifies_with_the_official_library_and_either_secret(receiver, known):
    send(receiver, {"signing_secrets": [NEW, OLD]})
    assert len(receiver.posts) == 20
    for post in receiver.posts:
        assert Webhook(known).verify(post.body, post.headers) == post.event
        assert post.headers["webhook-signature"].count("v1,") == 2


def test_another_secret_or_a_changed_body_does_not_verify(receiver):
    send(receiver, {"signing_secrets": NEW}, count=1)
    (post,) = receiver.posts
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(post.body, post.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(post.body.replace("type", "tepy"), post.headers)


def test_without_secrets_nothing_is_signed_and_no_secret_becomes_a_header(receiver):
    send(receiver, {"signing_secrets": []}, count=1)
    assert "webhook-signature" not in receiver.posts[0].headers
    send(receiver, {"signing_secrets": [NEW]}, count=1)
    assert NEW not in str(receiver.posts[1].headers)


def test_text_outside_ascii_is_signed_as_it_is_sent():
    body, moment = '{"user_name": "zoë 李雷 \\ud800 😀"}', datetime.now(timezone.utc)
    header = Signer([NEW]).header("1", moment, body)
    headers = {"webhook-id": "1", "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": header}
    Webhook(NEW).verify(body.encode(), headers, json_parse=False)


def test_the_signature_covers_the_secrets_of_the_body(receiver):
    send(receiver, {"signing_secrets": [NEW], "body_secrets": {"routing_key": "k"}}, count=1)
    (post,) = receiver.posts
    assert Webhook(NEW).verify(post.body, post.headers)["routing_key"] == "k"


@pytest.mark.parametrize("bad", ["plain", "whsec_", "whsec_!!!", secret("n", 23), secret("n", 65), NEW[6:], 5, None])
def test_a_secret_that_is_none_is_named_by_its_place_and_not_repeated(receiver, bad):
    with pytest.raises(
        SettingError, match="extra 'signing_secrets' must be a list of secrets, newest first: secret 2 of 2"
    ) as caught:
        send(receiver, {"signing_secrets": [NEW, bad]})
    assert NEW not in str(caught.value)
    if isinstance(bad, str) and bad not in ("", "plain", "whsec_"):
        assert bad not in str(caught.value)
