"""What a webhook, or whatever stands before it, can send: on servers that send it as raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import threading
from dataclasses import replace

import pytest
from airflow.sdk import Connection

from auth0_webhooks.payload.payload import Message, Payload
from auth0_webhooks.webhook.answers import Outcome, outcome_of
from auth0_webhooks.webhook.endpoint import Endpoint
from tests.support.factory import events, wait_for
from tests.support.raw_server import answering

END = b"\r\n\r\n"
# What can follow a status line that no HTTP client, or not every one, can read.
AFTER_THE_STATUS = {
    "nothing": b"",
    "a header of 9 kB": b"X: " + b"x" * 9_000 + END,
    "a header of 200 kB": b"X: " + b"x" * 200_000 + END,
    "200 headers": b"".join(b"X-%d: x\r\n" % number for number in range(200)) + b"\r\n",
    "a million bytes of headers": b"X: 12345678\r\n" * 80_000 + b"\r\n",
    "a header without a colon": b"no header" + END,
    "a header with a NUL": b"X: a\x00b" + END,
    "br that is none": b"Content-Encoding: br\r\nContent-Length: 4" + END + b"nope",
    "zstd that is none": b"Content-Encoding: zstd\r\nContent-Length: 4" + END + b"nope",
    "gzip that is none": b"Content-Encoding: gzip\r\nContent-Length: 4" + END + b"nope",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5" + END + b"nope",
    "a length that is no number": b"Content-Length: four" + END + b"nope",
    "a length below zero": b"Content-Length: -4" + END + b"nope",
    "a length beyond all": b"Content-Length: 99999999999999999999999" + END + b"nope",
    "half a body": b"Content-Length: 100" + END + b"half",
    "a bad first chunk": b"Transfer-Encoding: chunked" + END + b"zz\r\nnope\r\n",
    "half a chunk": b"Transfer-Encoding: chunked" + END + b"64\r\nhalf",
    "an unknown encoding": b"Transfer-Encoding: nonsense" + END + b"nope",
    "a body that has no end": b"\r\n" + b"x" * 3_000_000,
    "a redirect to nowhere": b"Location: ht!tp://" + END,
    "a cookie": b"Set-Cookie: \x01=\x02; Domain=.\r\nContent-Length: 0" + END,
    "a switch of protocol": b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0" + END,
    "a bad Retry-After": b"Retry-After: \xff\x00soon\r\nContent-Length: 0" + END,
}


def endpoint(url, **settings):
    extra = settings.pop("extra", {})
    return Endpoint.from_connection(Connection(conn_id="c", conn_type="http", host=url, extra=json.dumps(extra)), **settings)


def post(sent_to, *messages):
    async def run():
        async with sent_to.session(1) as session:
            return [await sent_to.post(session, message) for message in messages or [Payload().message(events(1))]]

    return asyncio.run(run())[-1]


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"299"])
@pytest.mark.parametrize("rest", AFTER_THE_STATUS.values(), ids=AFTER_THE_STATUS)
def test_once_a_2xx_status_line_is_read_the_event_is_delivered_whatever_follows(status, rest):
    with answering(b"HTTP/1.1 " + status + b"\r\n" + rest) as url:
        answer = post(endpoint(url))
    assert answer.status == int(status[:3])
    assert outcome_of(answer) is Outcome.DELIVERED


@pytest.mark.parametrize("status", [302, 401, 410, 413, 429, 503, 999])
@pytest.mark.parametrize("rest", AFTER_THE_STATUS.values(), ids=AFTER_THE_STATUS)
def test_every_other_status_means_what_the_table_says_whatever_follows(status, rest):
    with answering(b"HTTP/1.1 %d X\r\n" % status + rest) as url:
        answer = post(endpoint(url))
    assert (answer.status, answer.reason) == (status, "X")


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"\x00", b"HTTP/1.1", b"HTTP/1.1 20", b"nonsense\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/7.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)  # fmt: skip
def test_what_is_no_answer_counts_as_none(sent):
    with answering(sent) as url:
        answer = post(endpoint(url))
    assert answer.status is None
    assert answer.reason.startswith("no answer: ")
    assert outcome_of(answer) is Outcome.FOR_NOW


def test_answers_before_the_final_one_do_not_count():
    with answering(b"HTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n") as url:
        answer = post(endpoint(url))
    assert (answer.status, answer.reason, answer.retry_after) == (503, "Busy", 7)


def test_only_the_first_characters_of_an_answer_are_kept_as_text():
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n" + "é\xff".encode("latin-1") + b"x" * 100_000) as url:
        answer = post(endpoint(url))
    assert (len(answer.body), answer.body[:3]) == (500, "\ufffd\ufffdx")


@contextlib.contextmanager
def server(serve):
    """A server that hands each connection to ``serve``, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def read_head(connection):
    head = b""
    while not head.endswith(END) and (more := connection.recv(1)):
        head += more
    return head


@pytest.mark.parametrize("size", [200_000, 8_000_000])
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "waits"])
def test_an_answer_before_the_body_is_sent_counts(size, ends):
    done = threading.Event()

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            read_head(connection)
            connection.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
            if not ends:
                done.wait(60)
                return
            # Like nginx: a close amid the body would reset the connection, and may destroy the answer on its way.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    message = Message("1", json.dumps("x" * size), ("1",))
    with server(serve) as url:
        try:
            answers = {post(endpoint(url), message).status for _ in range(5)}
        finally:
            done.set()
    assert answers == {413}


def test_an_endless_answer_is_not_read_to_its_end():
    def serve(connection):
        with connection, contextlib.suppress(OSError):
            read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 10_000)

    with server(serve) as url:
        assert post(endpoint(url)).status == 200


def test_a_webhook_that_falls_silent_is_given_up_and_its_status_counts():
    done, sent = threading.Event(), [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\n"]

    def serve(connection):
        with connection:
            connection.sendall(sent[int(read_head(connection).split()[1][1:])])
            done.wait(60)

    async def run(url):
        sent_to = [replace(endpoint(f"{url}/{number}"), timeout=2.0) for number in range(len(sent))]

        async def one(each):
            async with each.session(1) as session:
                return await each.post(session, Payload().message(events(1)))

        return await asyncio.gather(*map(one, sent_to))

    with server(serve) as url:
        silent, accepted, busy = asyncio.run(run(url))
        done.set()
    assert (silent.status, silent.reason) == (None, "no answer within 2 s")
    assert (accepted.status, busy.status) == (200, 503)


def test_no_cookie_comes_back_and_nothing_follows_a_redirect(receiver):
    receiver.behave = lambda _post: (200, {"Set-Cookie": "a=b; Path=/"})
    post(endpoint(receiver.url), *(Payload().message([event]) for event in events(2)))
    assert [post.headers.get("Cookie") for post in receiver.posts] == [None, None]


def test_the_environment_does_not_choose_the_proxy_or_the_login(receiver, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("default login ada password secret\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(endpoint(receiver.url, extra={"trust_env": False})).status == 200
    assert "Authorization" not in receiver.posts[0].headers
    monkeypatch.setenv("no_proxy", "*")
    assert post(endpoint("http://hooks.example.invalid", extra={"proxies": {"http": receiver.url}})).status == 200


def test_header_values_are_sent_as_they_are_set(receiver):
    post(endpoint(receiver.url, extra={"X-Empty": "", "X-Name": "Zoë", "Accept": "text/plain"}))
    sent = receiver.posts[0].headers
    assert (sent["X-Empty"], sent["X-Name"], sent["Accept"]) == ("", "Zoë", "text/plain")
    assert "Expect" not in sent


def test_a_path_may_be_in_any_alphabet(receiver):
    post(endpoint(f"{receiver.url}/a b/Zoë?c=ü%20&d=e/f#g"))
    assert receiver.posts[0].path == "/a%20b/Zo%C3%AB?c=%C3%BC%20&d=e/f"


@pytest.mark.parametrize("has_epoll", [True, False])
def test_connections_are_kept_and_there_are_no_more_than_calls(receiver, monkeypatch, has_epoll):
    if not has_epoll:
        monkeypatch.delattr(select, "epoll", raising=False)
    sent_to = endpoint(receiver.url)

    async def run():
        async with sent_to.session(4) as session:
            for _ in range(5):
                await asyncio.gather(*(sent_to.post(session, Payload().message([event])) for event in events(4)))
            for event in events(5):
                await sent_to.post(session, Payload().message([event]))
            await asyncio.gather(*(sent_to.post(session, Payload().message([event])) for event in events(4)))

    asyncio.run(run())
    assert len(receiver.posts) == 29
    assert len(receiver.connections) == 4


def test_a_post_that_hangs_holds_up_no_other(receiver):
    receiver.behave = lambda post: (
        ("after", lambda: len(receiver.accepted) == 4, 200) if post.log_id == events(1)[0].log_id else 200
    )
    sent_to = endpoint(receiver.url, timeout=20.0)  # by then the receiver has not given up

    async def run():
        async with sent_to.session(5) as session:
            return await asyncio.gather(*(sent_to.post(session, Payload().message([event])) for event in events(5)))

    assert {answer.status for answer in asyncio.run(run())} == {200}


def test_a_kept_connection_that_the_webhook_closed_is_replaced(receiver):
    sent_to = endpoint(receiver.url)

    async def run():
        async with sent_to.session(1) as session:
            message = Payload().message(events(1))
            assert (await sent_to.post(session, message)).status == 200
            await asyncio.to_thread(receiver.stop)
            await asyncio.to_thread(receiver.start)
            return [await sent_to.post(session, message) for _ in range(2)][-1]

    assert asyncio.run(run()).status == 200


def test_a_post_that_is_cancelled_disturbs_no_other(receiver):
    receiver.behave = lambda post: "hang" if post.log_id == events(1)[0].log_id else 200
    sent_to, messages = endpoint(receiver.url), [Payload().message([event]) for event in events(20)]

    async def run():
        async with sent_to.session(2) as session:
            hanging = asyncio.create_task(sent_to.post(session, messages[0]))
            await asyncio.to_thread(wait_for, lambda: receiver.posts)
            hanging.cancel()
            answers = [await sent_to.post(session, message) for message in messages[1:]]
            await asyncio.wait([hanging])
            return hanging.cancelled(), {answer.status for answer in answers}

    assert asyncio.run(run()) == (True, {200})


def test_a_binary_body_arrives_whole(receiver):
    made = replace(endpoint(receiver.url), gzip=True)
    assert post(made, *(Payload().message([event]) for event in events(20))).status == 200
    assert receiver.problems == []
    assert [post.log_id for post in receiver.posts] == [event.log_id for event in events(20)]
