"""docker-compose.yaml and what goes with it, looked at without an engine; test_stack.py tries it with one."""

from __future__ import annotations

import re
import shutil
import socket
import stat
import subprocess
import sys

import pytest
import yaml
from cryptography.fernet import Fernet

from stack import health, write_env
from tests.conftest import PROJECT

FILE = PROJECT / "docker-compose.yaml"
TEXT = FILE.read_text(encoding="utf-8")
SERVICES = yaml.safe_load(TEXT)["services"]
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
ONCE = {"init", "demo"}
"""The services that do their work and end."""


FILES = ("docker-compose.yaml", ".env.example")
OLDER = """\
# --- Keys
FERNET_KEY=c2l4dGVlbmJ5dGVzLi5zaXh0ZWVuYnl0ZXMuLjAwMDA=
JWT_SECRET=former-jwt
API_SECRET_KEY=former-api
POSTGRES_PASSWORD=former-postgres
ADMIN_USER=operator
ADMIN_PASSWORD=former-admin
AIRFLOW_PORT=8090
XCOM_PATH=file:///opt/airflow/xcom
# Ours:
AIRFLOW_CONN_AUTH0_DEFAULT='{"conn_type": "http", "password": "a=b#c"}'
AIRFLOW_CONN_WEBHOOK_DEFAULT='{
  "conn_type": "http"
}'
AIRFLOW__SECRETS__BACKEND=a.backend
AIRFLOW__METRICS__STATSD_ON=True
HTTPS_PROXY=http://proxy:3128
COMPOSE_FILE=docker-compose.yaml"""
"""The .env of a stack that has no name in it."""


@pytest.fixture(autouse=True)
def no_name(monkeypatch):
    """The shell's own name for a stack goes before all others."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)


@pytest.fixture
def empty_folder(tmp_path):
    """A folder with the stack's files, before ``make env``."""
    for name in FILES:
        shutil.copy(PROJECT / name, tmp_path)
    return tmp_path


@pytest.fixture
def folder(empty_folder):
    """A folder with the stack's files and a fresh .env."""
    assert write_env.main(empty_folder) == 0
    return empty_folder


@pytest.fixture
def older(empty_folder):
    """A folder with the .env of an earlier version."""
    (empty_folder / ".env").write_text(OLDER, encoding="utf-8")
    return empty_folder


def settings(path):
    """The settings of an env file, as far as they are not commented out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_file_follows_the_compose_specification():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def config(folder, *arguments):
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    command = ["docker", "compose", "--project-directory", str(folder), "-f", str(folder / "docker-compose.yaml"), "config"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=folder)


def test_docker_compose_accepts_the_file_with_a_fresh_env(folder):
    done = config(folder, "-q")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key", sorted(write_env.FRESH))
def test_a_missing_key_stops_docker_compose_with_a_message_that_names_it(folder, key):
    path = folder / ".env"
    path.write_text(re.sub(rf"(?m)^{key}=.*$", f"{key}=", path.read_text(encoding="utf-8")), encoding="utf-8")
    done = config(folder, "-q")
    assert done.returncode != 0
    assert key in done.stderr
    assert "make env" in done.stderr


def test_every_variable_of_the_file_is_explained_in_the_example():
    example = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    for name in set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT)):
        (at,) = [number for number, line in enumerate(example) if line.startswith(f"{name}=")]
        above = [line for line in example[:at] if not line or line.startswith("#")]
        assert above[-1].startswith("# ") or example[at - 1].startswith("ADMIN_USER="), f"{name} has no comment"


def test_every_setting_of_the_example_is_used_by_the_file():
    assert settings(PROJECT / ".env.example").keys() - {"COMPOSE_PROJECT_NAME"} == set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))


def test_make_env_fills_in_every_key_and_lets_nobody_else_read_them(folder):
    path = folder / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = settings(path)
    assert {key for key, value in written.items() if not value} == {"EXTRA_REQUIREMENTS"}
    Fernet(written["FERNET_KEY"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{32,}", written["POSTGRES_PASSWORD"])
    assert (written["ADMIN_USER"], written["ADMIN_PASSWORD"]) != ("admin", "admin")
    assert len(written["ADMIN_PASSWORD"]) >= 16


def test_make_env_makes_other_keys_each_time(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for name in FILES:
        shutil.copy(PROJECT / name, other)
    write_env.main(other)
    first, second = settings(folder / ".env"), settings(other / ".env")
    assert all(first[key] != second[key] for key in write_env.FRESH)


def test_make_env_changes_nothing_of_a_complete_env(folder, capsys):
    before = (folder / ".env").read_bytes()
    assert write_env.main(folder) == 0
    assert (folder / ".env").read_bytes() == before
    assert "No value was changed" in capsys.readouterr().out


def test_a_new_stack_is_named_after_its_folder_as_docker_compose_would(empty_folder):
    folder = empty_folder.rename(empty_folder.parent / "_Auth0 Webhooks.2")
    assert write_env.main(folder) == 0
    assert settings(folder / ".env")["COMPOSE_PROJECT_NAME"] == "auth0webhooks2"


@pytest.mark.parametrize("end", ["", "\n", "\nCOMPOSE_PROJECT_NAME=", "\nCOMPOSE_PROJECT_NAME=\n"])
def test_an_older_stack_keeps_its_name_and_every_value(older, end):
    (older / ".env").write_text(OLDER + end, encoding="utf-8")
    assert write_env.main(older) == 0
    written = (older / ".env").read_text(encoding="utf-8")
    assert written == f"{OLDER}\nCOMPOSE_PROJECT_NAME={write_env.project_name(older)}\n"
    assert stat.S_IMODE((older / ".env").stat().st_mode) == 0o600


def test_the_name_that_the_shell_gave_an_older_stack_goes_before_the_folder_s(older, monkeypatch):
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "ours")
    write_env.main(older)
    assert settings(older / ".env")["COMPOSE_PROJECT_NAME"] == "ours"


def test_a_copy_of_a_stack_in_another_folder_has_the_same_name(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("elsewhere")
    for name in (*FILES, ".env"):
        shutil.copy(folder / name, copy)
    assert write_env.main(copy) == 0
    assert settings(copy / ".env")["COMPOSE_PROJECT_NAME"] == write_env.project_name(folder) != write_env.project_name(copy)


def test_env_can_be_written_without_the_project_being_set_up(tmp_path):
    """``make env`` comes before everything else: Python's standard library must do."""
    for name in FILES:
        shutil.copy(PROJECT / name, tmp_path)
    script = [sys.executable, "-I", "-S", str(PROJECT / "stack" / "write_env.py"), str(tmp_path)]
    assert subprocess.run(script, capture_output=True, check=False).returncode == 0
    assert (tmp_path / ".env").exists()


def test_no_key_has_a_value_of_its_own_in_the_file():
    for key in write_env.FRESH:
        assert f"${{{key}:-" not in TEXT, f"{key} has a default"
        assert f"${{{key}:?" in TEXT, f"{key} may be missing"


def test_only_the_api_server_has_a_port_and_only_on_this_machine():
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"api-server"}
    assert SERVICES["api-server"]["ports"] == ["127.0.0.1:${AIRFLOW_PORT:-8080}:8080"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_every_lasting_service_has_a_health_check_and_comes_back_by_itself(name):
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_a_memory_limit_and_bounded_output(name):
    assert SERVICES[name]["mem_limit"]
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_has_rights_that_it_does_not_need(name):
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert not {"cap_add", "privileged"} & SERVICES[name].keys()


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_does_not_start_as_root(name):
    assert SERVICES[name]["user"] == name


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_every_part_of_airflow_has_the_same_settings_and_waits_for_the_database(name):
    init, service = SERVICES["init"], SERVICES[name]
    own = {"ADMIN_USER", "ADMIN_PASSWORD", "DUMB_INIT_SETSID"}
    assert {k: v for k, v in init["environment"].items() if k not in own} == {
        k: v for k, v in service["environment"].items() if k not in own
    }
    assert service["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert service["volumes"] == init["volumes"]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_an_image_of_others_is_named_by_its_version_its_system_and_its_digest(name):
    assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z]+@sha256:[0-9a-f]{64}", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_a_health_check_asks_no_other_service(name):
    program, *arguments = SERVICES[name]["healthcheck"]["test"][1:]
    assert all(host.startswith("localhost:") for host in re.findall(r"//([^/\s]+)", " ".join([program, *arguments])))
    assert program != "python" or arguments == ["/opt/airflow/stack/health.py", name]


@pytest.fixture
def closed_port():
    """A port of this machine at which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("name", sorted(health.JOBS))
def test_a_service_is_not_unhealthy_because_the_database_does_not_answer(name, monkeypatch, capsys, closed_port):
    monkeypatch.setenv(
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"postgresql+psycopg2://airflow:secret@127.0.0.1:{closed_port}/airflow"
    )
    assert health.main(name) == 0
    said = capsys.readouterr().out
    assert "Look at postgres" in said
    assert "secret" not in said


def test_workers_can_be_scaled():
    """A fixed name would allow one only."""
    assert not {"container_name", "hostname"} & SERVICES["worker"].keys()


def test_what_docker_must_keep_lies_in_named_volumes():
    kept = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert kept - {"./dags"} == yaml.safe_load(TEXT)["volumes"].keys()


def test_the_demo_is_started_only_when_asked_for_and_gets_no_keys():
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["demo"]} == {"tenant", "receiver", "demo"}
    for name in ("tenant", "receiver"):
        assert not SERVICES[name]["env_file"]
        assert not SERVICES[name]["environment"]


def test_the_image_holds_what_the_dags_import_and_no_keys():
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    airflow = re.search(r"^apache-airflow==(\S+)$", (PROJECT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert airflow
    assert f"FROM apache/airflow:{airflow[1]}\n" in dockerfile
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == {
        "requirements.txt", "constraints.txt", "pyproject.toml", "README.md", "plugins", "dags", "demo", "simulation",
        "stack/health.py",
    }  # fmt: skip


def test_all_that_see_dead_letters_run_as_one_user():
    """A dead letter can be read by its owner alone."""
    sharing = [service for service in SERVICES.values() if any("dead-letters:" in str(one) for one in service.get("volumes", []))]
    assert len(sharing) >= len(AIRFLOW)
    assert {service.get("user") for service in sharing} == {None}, "the user of their one image"
    assert len({service["image"] for service in sharing}) == 1
    assert "run_as_user" not in TEXT.lower()
    assert "DEFAULT_IMPERSONATION" not in TEXT
