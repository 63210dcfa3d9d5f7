"""What the docs say of filters, payloads, privacy and receivers is so: their examples are loaded, run and compared."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.request import urlopen

import pytest

from auth0_webhooks.errors import EndpointWrongError
from auth0_webhooks.filtering.where import Where
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.payload.envelope import Envelope
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.privacy.redaction import Redaction
from auth0_webhooks.settings.routes_file import load_routes
from auth0_webhooks.webhook.endpoint import _PROVIDER_KEYS
from auth0_webhooks.webhook.signing import Signer
from tests.conftest import PROJECT
from tests.support.factory import Keeper, delivery, endpoint, events, one_batch, wait_for
from tests.unit.delivery.test_faults import a_port

PAGES = {
    name: (PROJECT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("connections", "filters", "payload", "privacy", "receivers")
}
PAGE = "\n".join(PAGES.values())
SECRET = "whsec_" + "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u"
SAMPLES = [
    {
        "connection": "Partners",
        "client_name": "Shop",
        "client_id": "x",
        "user_name": "Ada@Example.com",
        "ip": "203.0.113.7",
        "description": "Wrong password",
        "details": {"stats": {"loginsCount": 101}, "prompts": [{"name": "mfa"}]},
    },
    {
        "connection": "Users",
        "client_name": "Phone",
        "client_id": "aaiBEsqSYMhkTTcVYqgQhHSXoTnaRFYT",
        "user_name": "grace@example.org",
        "ip": "198.51.100.7",
        "details": {"stats": {"loginsCount": 1}, "prompts": [{"name": "login"}]},
    },
    {"type": "sapi"},
]


def blocks(language, text=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def load(tmp_path, text):
    path = tmp_path / "webhook_routes.yaml"
    path.write_text(text, encoding="utf-8")
    return load_routes(path)


def test_every_route_of_the_pages_loads(tmp_path):
    routes = []
    for block in blocks("yaml"):
        good, errors = load(tmp_path, block)
        assert errors == []
        routes += good
    assert {route.payload for route in routes} == {"lines", "array", "event"}
    assert any(route.redact.get('details."https://example.com/plan"') == "mask" for route in routes)
    assert any(route.where and route.include_types for route in routes)
    assert any(not route.allow_private_addresses for route in routes)


WHERE = [
    re.split(r"(?<!\\)\|", line) for line in PAGE.split("| wanted | `where` |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
]


@pytest.mark.parametrize("expression", [cells[2].strip(" `").replace("\\|", "|") for cells in WHERE])
def test_every_expression_of_the_page_picks_some_events_and_not_others(expression):
    if expression.endswith("`100"):  # its last backtick is Markdown's
        expression += "`"
    fits = [Where(expression).fits(json.dumps(sample)) for sample in SAMPLES]
    assert True in fits
    assert False in fits
    assert None not in fits


def test_the_error_on_the_page_is_the_one_that_is_shown(tmp_path):
    block = next(block for block in blocks("yaml") if "partners_failed_logins" in block)
    (error,) = load(tmp_path, re.sub(r"where: .*", "where: \"connection = 'Partners'\"", block))[1]
    shown = re.search(r"^webhook_routes.yaml:\d+: route .*$", PAGE, re.MULTILINE)
    assert shown
    assert error.split(", got ")[0] == shown[0]


def test_the_envelopes_on_the_page_are_those_that_are_sent():
    standard, cloud, stream = (json.loads(block) for block in blocks("json", PAGES["payload"]))
    data = standard["data"]
    event = LogEvent(data["log_id"], data["date"], data["type"], json.dumps(data), Position(None, None))
    assert json.loads(Envelope("standard").wrap(event)) == standard
    assert json.loads(Envelope("cloudevents", "https://example.eu.auth0.com").wrap(event)) == cloud
    assert json.loads(Envelope("log_stream").wrap(event)) == stream


def test_the_pseudonym_on_the_page_is_the_one_that_is_sent():
    code = next(block for block in blocks("python") if "def pseudonym" in block)
    names: dict[str, object] = {}
    exec(code, names)
    (event,) = events(1)
    sent = json.loads(Redaction({"user_name": "pseudonym"}, b"k" * 32).body(event._replace(body='{"user_name": "Ada@x.org"}')))
    assert names["pseudonym"]("k" * 32, "ada@x.ORG") == sent["user_name"]


def test_no_setting_of_a_connection_on_the_page_is_sent_as_a_header():
    assert json.loads(blocks("json", PAGES["connections"])[0]).keys() <= _PROVIDER_KEYS


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("form", ["array", "lines"])
def test_the_receiver_on_the_page_takes_batches_and_drops_repeats(tmp_path, form, gzip):
    code, port, made = next(block for block in blocks("python") if "class Receiver" in block), a_port(), events(30)
    script, printed = tmp_path / "receiver.py", tmp_path / "printed"
    script.write_text(code.replace("whsec_...", SECRET).replace("8091", str(port)), encoding="utf-8")
    with printed.open("w") as output, subprocess.Popen([sys.executable, str(script)], stdout=output) as process:
        try:
            wait_for(lambda: listening(port), 120)
            for size in (10, 7):  # the second time in other batches
                payload = Payload(form, max_events=size)
                running = delivery(f"http://127.0.0.1:{port}", Keeper(), made, payload=payload)
                running._posting.endpoint = endpoint(
                    f"http://127.0.0.1:{port}", signer=Signer([SECRET]), gzip=gzip, content_type=payload.content_type
                )
                running.run(lambda: [one_batch(made)])
        finally:
            process.terminate()
    assert len(printed.read_text(encoding="utf-8").splitlines()) == len(made)


def test_the_receiver_of_single_events_takes_each_once_and_refuses_what_is_not_signed_by_its_secret(tmp_path):
    code, port, made = next(block for block in blocks("python") if "FastAPI" in block), a_port(), events(5)
    (tmp_path / "receiver.py").write_text(code.replace("whsec_...", SECRET), encoding="utf-8")
    printed, url = tmp_path / "printed", f"http://127.0.0.1:{port}/auth0"
    command = [sys.executable, "-m", "uvicorn", "receiver:app", "--port", str(port), "--log-level", "error"]
    with printed.open("w") as output, subprocess.Popen(command, stdout=output, cwd=tmp_path) as process:
        try:
            wait_for(lambda: listening(port, 404), 120)
            for _ in range(2):  # everything comes twice
                signed = delivery(url, Keeper(), made)
                signed._posting.endpoint = endpoint(url, signer=Signer([SECRET]))
                signed.run(lambda: [one_batch(made)])
            with pytest.raises(EndpointWrongError, match="401"):
                delivery(url, Keeper(), made).run(lambda: [one_batch(made)])
        finally:
            process.terminate()
    assert printed.read_text(encoding="utf-8").split() == [word for event in made for word in (event.date, event.type)]


def listening(port, answer=501):
    try:
        urlopen(f"http://127.0.0.1:{port}", timeout=1)
    except OSError as error:
        return str(answer) in str(error)
    return True
