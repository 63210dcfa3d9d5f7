"""TLS with a private CA and client certificates, proxies, and addresses that may not be connected to, on real servers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.sdk import Connection

from auth0_webhooks.connections.fields import base_url
from auth0_webhooks.errors import EndpointWrongError, SettingError, TenantUnavailableError
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.model.events import Position
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.webhook.addresses import is_public
from auth0_webhooks.webhook.endpoint import Endpoint
from simulation.receiver import Receiver
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant
from tests.conftest import set_connection
from tests.support.factory import QUICK, Keeper, delivery, events, one_batch


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A CA, and certificates by it of a server (127.0.0.1 and hooks.example.invalid) and of a client."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA")
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1,DNS:hooks.example.invalid"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / f"{name}.ext").write_text(extension, encoding="utf-8")
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem",
        )  # fmt: skip
    (folder / "both.pem").write_bytes((folder / "client.pem").read_bytes() + (folder / "client.key").read_bytes())
    return folder


@pytest.fixture
def mutual_tls(pki):
    """What a server needs that shows its certificate and demands the client's."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.pem"))
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def proxy():
    """A proxy that demands Basic auth, and connects every CONNECT to the port in ``to``. ``asked`` is what it was asked for."""
    with Proxy() as running:
        yield running


class Proxy:
    def __init__(self):
        self.to, self.asked, self.refused = 0, [], 0

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://ada:secret@127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._one, args=(self._listener.accept()[0],), daemon=True).start()

    def _one(self, client):
        with contextlib.suppress(OSError):  # whoever asked has gone
            self._connect(client)

    def _connect(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (more := client.recv(1)):
                return
            head += more
        if b"Basic " + base64.b64encode(b"ada:secret") not in head:
            self.refused += 1
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        self.asked.append(head.split()[1].decode())
        server = socket.create_connection(("127.0.0.1", self.to))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def webhook(host, **extra):
    return Connection(conn_id="webhook_default", conn_type="http", host=host, extra=json.dumps(extra))


def post(connection, **settings):
    made = Endpoint.from_connection(connection, **settings)

    async def run():
        async with made.session(1) as session:
            return await made.post(session, Payload().message(events(1)))

    return asyncio.run(run())


@pytest.mark.parametrize("cert", [["client.pem", "client.key"], "both.pem"])
def test_a_webhook_that_demands_a_client_certificate_gets_it(pki, mutual_tls, cert):
    files = [str(pki / name) for name in cert] if isinstance(cert, list) else str(pki / cert)
    with Receiver(tls=mutual_tls).running() as receiver:
        assert post(webhook(receiver.url, verify=str(pki / "ca.pem"), cert=files)).status == 200
        assert len(receiver.posts) == 1


def test_without_its_certificate_or_the_ca_nothing_is_sent(pki, mutual_tls):
    with Receiver(tls=mutual_tls).running() as receiver:
        assert post(webhook(receiver.url, verify=str(pki / "ca.pem"))).status is None
        refused = post(webhook(receiver.url, cert=[str(pki / "client.pem"), str(pki / "client.key")]))
        assert str(refused) == "no answer: the endpoint's TLS certificate is not trusted"
        assert receiver.posts == []


def test_batches_go_over_mutual_tls_as_well(pki, mutual_tls):
    with Receiver(tls=mutual_tls).running() as receiver:
        made, payload = events(250), Payload("array")
        running = delivery(receiver.url, Keeper(), made, payload=payload)
        running._posting.endpoint = Endpoint.from_connection(
            webhook(receiver.url, verify=str(pki / "ca.pem"), cert=str(pki / "both.pem"))
        )
        running.run(lambda: [one_batch(made)])
        assert sorted(receiver.accepted) == [event.log_id for event in made]


@pytest.mark.parametrize("by_scheme", [True, False])
def test_a_webhook_is_reached_through_a_proxy_that_resolves_its_name(pki, mutual_tls, proxy, by_scheme):
    with Receiver(tls=mutual_tls).running() as receiver:
        proxy.to = receiver.port
        proxies = {"https": proxy.url} if by_scheme else proxy.url
        extra = {"verify": str(pki / "ca.pem"), "cert": str(pki / "both.pem"), "proxies": proxies}
        assert post(webhook("https://hooks.example.invalid/auth0", **extra)).status == 200
        assert proxy.asked == ["hooks.example.invalid:443"]
        assert receiver.posts[0].headers["Host"] == "hooks.example.invalid"


HTTP2 = """
const [cert, key] = ["server.pem", "server.key"].map((name) => Deno.readTextFileSync(name));
Deno.serve(
  { hostname: "127.0.0.1", port: 0, cert, key, onListen: ({ port }) => console.log(port) },
  async (request, { remoteAddr }) => { await request.text(); return new Response(String(remoteAddr.port)); },
);
"""
"""A webhook that offers HTTP/2, and answers with the client's port."""


def test_a_webhook_that_offers_http2_is_sent_it(pki):
    command = [Path(sys.executable).with_name("deno"), "eval", "--no-config", HTTP2]
    with subprocess.Popen(command, cwd=pki, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as process:
        try:
            made = Endpoint.from_connection(webhook(f"https://127.0.0.1:{process.stdout.readline()}", verify=str(pki / "ca.pem")))

            async def run():
                posts = [Payload().message([event]) for event in events(5)]
                async with made.session(5) as session:
                    return [await asyncio.gather(*(made.post(session, message) for message in posts)) for _ in range(4)]

            answers = list(itertools.chain(*asyncio.run(run())))
        finally:
            process.kill()
    assert {(answer.status, answer.reason) for answer in answers} == {(200, "")}  # HTTP/2 has no reason phrase
    assert len({answer.body for answer in answers}) <= 5


def tenant_ids(monkeypatch, host, **extra):
    set_connection(monkeypatch, "auth0_default", host=host, login=CLIENT_ID, password=CLIENT_SECRET, extra=json.dumps(extra))
    hook = TenantHook(tries=1)
    return [event.log_id for page in hook.pages(Position("0", None)) for event in page]


def test_a_tenant_behind_mutual_tls_and_a_proxy_is_read_whatever_the_environment_says(pki, mutual_tls, proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pki / "client.pem"))
    extra = {"verify": str(pki / "ca.pem"), "cert": [str(pki / "client.pem"), str(pki / "client.key")], "proxies": proxy.url}
    audience = "https://hooks.example.invalid/api/v2/"
    with Tenant(tls=mutual_tls, audience=audience).running() as tenant:
        proxy.to = tenant.port
        tenant.log_token_requests = False
        tenant.add_many(250)
        assert tenant_ids(monkeypatch, "hooks.example.invalid", **extra) == [log_id for log_id, _, _ in tenant.log()]
    assert set(proxy.asked) == {"hooks.example.invalid:443"}


@pytest.mark.parametrize("fault", ["hang", "drip", "drip body"])
def test_an_answer_over_tls_that_never_ends_is_given_up(pki, mutual_tls, monkeypatch, fault):
    with Tenant(tls=mutual_tls).running() as tenant:
        login = {"host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
        set_connection(
            monkeypatch, "auth0_default", **login, extra={"verify": str(pki / "ca.pem"), "cert": str(pki / "both.pem")}
        )
        hook = TenantHook(tries=1, waits=replace(QUICK, tenant_answer=0.5))
        tenant.fault, tenant.faults_left = fault, 1
        with pytest.raises(TenantUnavailableError, match=r"its answer was not complete after 0\.5 s"):
            list(hook.pages(Position("0", None)))


def test_a_tenant_that_demands_a_certificate_is_not_read_without(pki, mutual_tls, monkeypatch):
    with Tenant(tls=mutual_tls).running() as tenant, pytest.raises(TenantUnavailableError, match="no answer from Auth0"):
        tenant_ids(monkeypatch, tenant.url, verify=str(pki / "ca.pem"))


@pytest.mark.parametrize("extra", [{"verify": "/no/ca.pem"}, {"cert": ["/no/cert.pem", "/no/key.pem"]}])
def test_a_file_of_the_tenants_connection_that_is_not_there_is_named(tenant, monkeypatch, extra):
    with pytest.raises(SettingError, match="extra 'verify' or 'cert' names a file that does not exist: /no/c"):
        tenant_ids(monkeypatch, tenant.url, **extra)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::6810:84e5", True),
        *[
            (address, False)
            for address in (
                "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
                "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
                "64:ff9b::a00:1", "2002:a00:1::", "fec0::1", "::10.0.0.1", "::7f00:1", "::ffff:0:10.0.0.1", "3fff::1", "5f00::1",
                "192.88.99.1", "not an address",
            )
        ],
    ],
)  # fmt: skip
def test_an_address_is_public_or_not(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_webhook_at_an_address_that_is_not_public_is_refused_where_the_route_says_so(receiver, host):
    url = f"http://{host}:{receiver.port}"
    with pytest.raises(EndpointWrongError, match=f"http://{host}:{receiver.port} has no public address, .*nothing is sent"):
        post(webhook(url), allow_private=False)
    assert receiver.connections == set()
    assert post(webhook(url)).status == 200


def test_a_delivery_to_such_an_address_stops_at_once_and_saves_nothing_as_sent(receiver):
    made, keeper = events(20), Keeper()
    running = delivery(receiver.url, keeper, made)
    running._posting.endpoint = Endpoint.from_connection(webhook(receiver.url), allow_private=False)
    with pytest.raises(EndpointWrongError) as caught:
        running.run(lambda: [one_batch(made)])
    assert not caught.value.retry
    assert receiver.connections == set()


def test_a_proxy_and_a_check_of_the_address_exclude_each_other(proxy):
    with pytest.raises(SettingError, match="its proxy, or the environment's, decides which address is connected to"):
        Endpoint.from_connection(webhook("https://hooks.example.com", proxies=proxy.url), allow_private=False)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://hooks.example.com/x", True),
        ("http://10.0.0.1", True),
        ("https://hooks.example.com", False),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
        ("http://localhost", False),
    ],
)
def test_plain_http_to_anything_but_this_machine_is_warned_about(url, warned, caplog):
    base_url(webhook(url))
    assert ("is plain http to" in caplog.text) is warned
