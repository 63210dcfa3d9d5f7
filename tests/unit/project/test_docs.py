"""README.md and docs/: the example is true, and every link leads somewhere."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from auth0_webhooks.filtering.log_types import log_types
from auth0_webhooks.filtering.selection import Tally, select
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.settings.routes_file import load_routes
from tests.conftest import PROJECT
from tests.support.factory import START, Keeper, delivery

MARKDOWN = sorted(path for path in PROJECT.rglob("*.md") if not {".venv", ".airflow"} & set(path.relative_to(PROJECT).parts))
README = (PROJECT / "README.md").read_text(encoding="utf-8")
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def test_readme_is_short():
    assert len(README.split()) <= 1_000


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return found


def test_the_example_of_readme_sends_the_event_that_it_shows_and_nothing_else(tmp_path, receiver):
    """From the route file to the headers and the body at the webhook."""
    (tmp_path / "webhook_routes.yaml").write_text(block("yaml"), encoding="utf-8")
    (route,), errors = load_routes(tmp_path / "webhook_routes.yaml")
    assert errors == []
    head, body = block("http").split("\n\n")
    shown = json.loads(body)
    assert shown["type"] in route.log_types
    texts = [body, *(body.replace(shown["type"], kind) for kind in ("s", "fp", "limit_mu"))]
    made = [LogEvent(shown["log_id"], shown["date"], json.loads(text)["type"], text, START) for text in texts]
    wanted = select(Batch(START, made[0].position, made), route.selection, Tally())
    delivery(f"{receiver.url}/auth0", Keeper(), wanted.events).run(lambda: [wanted])
    (post,) = receiver.posts
    request, *headers = head.splitlines()
    assert request == f"POST {post.path}"
    arrived = {name.lower(): value for name, value in post.headers.items()}
    for name, value in (header.split(": ") for header in headers):
        assert name == "webhook-timestamp" or arrived[name.lower()] == value
    assert post.body == body
    assert all("Blocked" in log_types()[code].description for code in route.log_types)


def anchors(text):
    """The anchors that GitHub gives the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", head).lower()).replace(" ", "-") for head in heads}


LINKS = [
    (path.relative_to(PROJECT).as_posix(), link)
    for path in MARKDOWN
    for link in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", CODE.sub("", path.read_text(encoding="utf-8")))
    if not re.match(r"https?://|mailto:", link)
]


@pytest.mark.parametrize("name", sorted({name for name, _ in LINKS}))
def test_every_link_leads_to_a_file_and_a_heading(name):
    broken = []
    for link in (link for source, link in LINKS if source == name):
        file, _, anchor = link.partition("#")
        target = (PROJECT / name).parent / file if file else PROJECT / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_readme():
    reached, new = set(), {"README.md"}
    while new:
        reached |= new
        targets = ((PROJECT / name).parent / link.partition("#")[0] for name, link in LINKS if name in new)
        new = {path.resolve().relative_to(PROJECT).as_posix() for path in targets if path.suffix == ".md"} - reached
    assert {path.relative_to(PROJECT).as_posix() for path in MARKDOWN if path.parent.name == "docs"} <= reached


def test_the_overview_of_the_docs_lists_every_page():
    listed = {link for name, link in LINKS if name == "docs/README.md"}
    assert {path.name for path in (PROJECT / "docs").glob("*.md")} - listed == {"README.md"}


def test_what_other_files_say_of_pages_is_there():
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False).stdout.split()
    named = set()
    for name in listed or ["Makefile", "docker-compose.yaml", ".env.example", "dags/webhook_routes.yaml"]:
        if not name.endswith((".png", ".svg")) and (PROJECT / name).is_file():
            named |= set(re.findall(r"\bdocs/[a-z-]+\.md\b", (PROJECT / name).read_text(encoding="utf-8")))
    assert [page for page in sorted(named) if not (PROJECT / page).exists()] == []


def test_the_way_of_an_event_names_files_and_what_is_in_them():
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| ((?:`[\w/]+\.py`(?:, )?)+) \| ((?:`\w+`(?:, )?)+) \|$", page, re.MULTILINE)
    assert len(rows) > 20
    missing = []
    for files, names in rows:
        found = [PROJECT / "plugins" / "auth0_webhooks" / file for file in re.findall("`(.+?)`", files)]
        code = "".join(path.read_text(encoding="utf-8") for path in found)
        missing += [name for name in re.findall("`(.+?)`", names) if not re.search(rf"^(class|def) {name}\b", code, re.MULTILINE)]
    assert missing == []


def test_every_file_that_contributing_names_is_there():
    named = re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|md))`", (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    roots = (PROJECT, PROJECT / "plugins" / "auth0_webhooks")
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


def test_every_picture_is_shown_on_a_page():
    shown = {link.rpartition("/")[2] for _, link in LINKS}
    assert {path.name for path in (PROJECT / "docs" / "images").iterdir()} <= shown
