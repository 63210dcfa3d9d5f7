from __future__ import annotations

import asyncio
import json
import ssl
import subprocess

import pytest
from airflow.sdk import Connection

from auth0_webhooks.connections.fields import base_url
from auth0_webhooks.errors import EndpointWrongError, SettingError
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.times import parse_retry_after
from auth0_webhooks.webhook.answers import Answer, Outcome, outcome_of
from auth0_webhooks.webhook.endpoint import Endpoint
from simulation.receiver import Receiver
from tests.support.factory import events
from tests.support.raw_server import answering


def connection(**fields):
    return Connection(conn_id="webhook_default", **{"conn_type": "http", **fields})


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "hooks.example.com"}, "https://hooks.example.com"),
        ({"host": "hooks.example.com/auth0?a=b"}, "https://hooks.example.com/auth0?a=b"),
        ({"host": "http://127.0.0.1:9000/auth0"}, "http://127.0.0.1:9000/auth0"),
        ({"host": "hooks.example.com", "schema": "http", "port": 8080}, "http://hooks.example.com:8080"),
        ({"host": "hooks.example.com", "schema": "HTTPS"}, "https://hooks.example.com"),
        ({"host": "https://hooks.example.com/a", "port": 8443}, "https://hooks.example.com:8443/a"),
        ({"uri": "https://hooks.example.com:8443/auth0/logs"}, "https://hooks.example.com:8443/auth0/logs"),
        ({"uri": "http://127.0.0.1:9000/auth0"}, "http://127.0.0.1:9000/auth0"),
    ],
)
def test_host_schema_port_and_path_make_the_url(fields, url):
    assert base_url(Connection(conn_id="webhook_default", **fields)) == url


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"host": ""}, {"host": "ftp://x"}, {"host": "https://"}, {"host": "http://h:port"}, {"host": "http://a..b"},
        {"host": f"https://{'a' * 64}.example.com"},
    ],
)  # fmt: skip
def test_a_connection_without_a_usable_host_says_how_to_set_it(fields):
    with pytest.raises(
        SettingError, match="connection 'webhook_default'.*Admin > Connections or in AIRFLOW_CONN_WEBHOOK_DEFAULT"
    ):
        base_url(connection(**fields))


def test_other_extras_become_headers_and_nulls_of_the_form_are_left_out():
    extra = '{"Authorization": "Bearer x", "verify": null, "proxies": null, "X-Source": null, "headers": {"X-Team": "a"}}'
    made = Endpoint.from_connection(connection(host="hooks.example.com/secret-path", extra=extra))
    assert made.headers["Authorization"] == "Bearer x"
    assert made.headers["X-Team"] == "a"
    assert "X-Source" not in made.headers
    assert made.name == "https://hooks.example.com"
    assert "secret" not in repr(made)


def test_an_extra_counts_more_than_the_login_and_the_form_in_whatever_case(receiver):
    extra = '{"authorization": "Bearer x", "content-type": "application/x-log"}'
    post(Endpoint.from_connection(connection(host=receiver.url, login="ada", password="x", extra=extra)))
    sent = [(name.lower(), value) for name, value in receiver.posts[0].headers.items()]
    assert [value for name, value in sent if name == "authorization"] == ["Bearer x"]
    assert [value for name, value in sent if name == "content-type"] == ["application/x-log"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", 5])
def test_a_proxy_that_cannot_be_used_is_told(proxy):
    with pytest.raises(SettingError, match="connection 'webhook_default': its proxy, .* is not an http:// or https:// URL"):
        Endpoint.from_connection(connection(host="https://hooks.example.com", extra=json.dumps({"proxy": proxy})))


def test_a_proxy_without_a_scheme_is_spoken_to_by_http(receiver):
    extra = json.dumps({"proxies": {"http": receiver.url.removeprefix("http://")}})
    made = Endpoint.from_connection(connection(host="http://hooks.example.invalid/auth0", extra=extra))
    assert post(made).status == 200


@pytest.mark.parametrize(
    "extra",
    [
        '{"X-Number": 5}',
        '{"X-Lines": "a\\nb"}',
        '{"X Space": "a"}',
        '{"verify": "/no/such/file.pem"}',
        '{"cert": "/no/such/file.pem"}',
        '{"body_secrets": "routing_key"}',
        '{"body_secrets": {"routing_key": 5}}',
    ],
)
def test_an_extra_that_cannot_be_used_is_named(extra):
    with pytest.raises(SettingError, match="connection 'webhook_default': extra"):
        Endpoint.from_connection(connection(host="hooks.example.com", extra=extra))


def post(made, body=None):
    async def run():
        async with made.session(1) as session:
            return await made.post(session, Payload().message(events(1), body and [body]))

    return asyncio.run(run())


KEYED = json.dumps({"body_secrets": {"routing_key": 'a"b', "n": "é"}})


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ('{"n": 1.10, "text": "}"}', '{"n": 1.10, "text": "}", "routing_key": "a\\"b", "n": "\\u00e9"}'),
        (' {"text": []}\n', '{"text": [], "routing_key": "a\\"b", "n": "\\u00e9"}'),
        ("{ }", '{"routing_key": "a\\"b", "n": "\\u00e9"}'),
    ],
)
def test_body_secrets_are_the_last_members_of_what_is_sent(receiver, body, sent):
    made = Endpoint.from_connection(connection(host=receiver.url, extra=KEYED))
    assert post(made, body).status == 200
    assert receiver.posts[0].body == sent
    assert {"routing_key", "body_secrets"}.isdisjoint(name.lower() for name in receiver.posts[0].headers)
    assert 'a\\"b' not in repr(made)


@pytest.mark.parametrize("body", ["[{}]", '"a text"', "false"])
def test_a_body_that_is_no_object_is_not_sent_without_its_secrets(receiver, body):
    with pytest.raises(EndpointWrongError, match="has 'body_secrets', which are added to a JSON object"):
        post(Endpoint.from_connection(connection(host=receiver.url, extra=KEYED)), body)
    assert receiver.posts == []


def test_login_and_password_are_sent_as_basic_auth(receiver):
    answer = post(Endpoint.from_connection(connection(host=receiver.url, login="ada", password="x:y")))
    assert answer.status == 200
    assert receiver.posts[0].headers["Authorization"] == "Basic YWRhOng6eQ=="


def test_each_try_carries_the_log_id_and_the_time(receiver):
    post(Endpoint.from_connection(connection(host=f"{receiver.url}/hooks?tenant=a")))
    assert receiver.posts[0].path == "/hooks?tenant=a"
    assert receiver.posts[0].headers["webhook-id"] == receiver.posts[0].log_id
    assert receiver.posts[0].headers["webhook-timestamp"].isdigit()
    assert receiver.problems == []


def test_redirects_are_not_followed(receiver):
    receiver.behave = lambda _post: (302, {"Location": f"{receiver.url}/elsewhere"})
    assert post(Endpoint.from_connection(connection(host=receiver.url))).status == 302
    assert len(receiver.posts) == 1


def test_a_proxy_of_the_connection_is_used(receiver):
    extra = f'{{"proxies": {{"http": "{receiver.url}"}}}}'
    made = Endpoint.from_connection(connection(host="http://hooks.example.invalid/auth0", extra=extra))
    assert post(made).status == 200
    assert receiver.posts[0].headers["Host"] == "hooks.example.invalid"


def test_a_certificate_that_is_not_trusted_is_no_answer_and_a_trusted_one_is(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Receiver(tls=context).running() as receiver:
        refused = post(Endpoint.from_connection(connection(host=receiver.url)))
        assert refused == Answer(None, "no answer: the endpoint's TLS certificate is not trusted")
        assert receiver.posts == []
        extra = f'{{"verify": "{tmp_path / "cert.pem"}"}}'
        assert post(Endpoint.from_connection(connection(host=receiver.url, extra=extra))).status == 200


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([200, 201, 202, 204, 299], Outcome.DELIVERED),
        ([None, 408, 425, 429, 500, 502, 503, 504, 599, 999], Outcome.FOR_NOW),
        ([410], Outcome.NOT_BEFORE),
        ([300, 301, 302, 304, 307, 308, 401, 403, 404, 405, 407, 511], Outcome.ENDPOINT_WRONG),
        ([400, 402, 406, 409, 413, 415, 422, 418, 499], Outcome.EVENT_REFUSED),
    ],
)
def test_each_answer_has_one_meaning(statuses, outcome):
    assert {outcome_of(Answer(status, "")) for status in statuses} == {outcome}


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert parse_retry_after("120") == 120
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (parse_retry_after("Wed, 21 Oct 2065 07:28:00 GMT") or 0) > 1e9
    assert (parse_retry_after("Wed, 21 Oct 2065 07:28:00 -0000") or 0) > 1e9, "without a time zone it is UTC"
    assert parse_retry_after("Mon, 01 Jan 99999999999999999999 00:00:00 GMT") is None
    assert [parse_retry_after(value) for value in (None, "", "soon", "-5", "1.5")] == [None] * 5


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        ("Déjà vu".encode("latin-1"), "Déjà vu"),
        ("Déjà vu".encode(), "Déjà vu"),
        (b"Paid \x80\xff", "Paid ?ÿ"),
        (b"a\x01b\x7fc", "a?b?c"),
        (b"x" * 500, "x" * 100),
    ],
)
def test_whatever_the_reason_phrase_is_it_becomes_text_that_can_be_stored(phrase, reason):
    with answering(b"HTTP/1.1 400 " + phrase + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as url:
        sent_to = Endpoint.from_connection(connection(host=url))

        async def post():
            async with sent_to.session(1) as session:
                return await sent_to.post(session, Payload().message(events(1)))

        answer = asyncio.run(post())
    assert (answer.status, answer.reason) == (400, reason)
    assert json.loads(json.dumps(answer.reason).encode()) == answer.reason.encode().decode()
