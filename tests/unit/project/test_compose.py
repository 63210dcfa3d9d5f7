"""docker-compose.yaml and what goes with it, looked at without an engine; test_stack.py tries it with one."""

from __future__ import annotations

import functools
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

pytestmark = pytest.mark.slow

FILE = PROJECT / "docker-compose.yaml"
TEXT = FILE.read_text(encoding="utf-8")
SERVICES = yaml.safe_load(TEXT)["services"]
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
MONITORING = {"statsd-exporter", "prometheus", "grafana"}
ONCE = {"init", "demo"}
"""The services that do their work and end."""


FILES = ("docker-compose.yaml", ".env.example", "airflow.env.example", "connections.env.example")
OWN = (".env", "airflow.env", "connections.env")
KEYS = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": {"init", "api-server", "scheduler", "dag-processor", "triggerer", "demo"},
    "AIRFLOW__CORE__FERNET_KEY": {"init", "api-server", "scheduler", "dag-processor", "triggerer", "demo"},
    "AIRFLOW__CELERY__BROKER_URL": {"scheduler", "worker"},
    "AIRFLOW__CELERY__RESULT_BACKEND": {"scheduler", "worker"},
    "AIRFLOW__API_AUTH__JWT_SECRET": {"api-server", "scheduler"},
    "AIRFLOW__API__SECRET_KEY": {"api-server"},
    "ADMIN_PASSWORD": {"init"},
    "GF_SECURITY_ADMIN_PASSWORD": {"grafana"},
    "POSTGRES_PASSWORD": {"postgres"},
    "REDISCLI_AUTH": {"redis"},
}
"""Each variable that holds a key or password, and the services that need it."""
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
COMPOSE_FILE=docker-compose.yaml

# --- Connections and anything else of Airflow ---------------------------------------------------------------------------------

# Every line of this file is in the environment of all parts of Airflow: connections (AIRFLOW_CONN_...), settings (AIRFLOW__...).
# Where docker-compose.yaml sets the same name under `environment` (executor, keys, database, XCom), its value wins: change it there.
# Those set here do not show in the UI. README.md says what each field means; docs/operations.md how to use a secrets backend.
#AIRFLOW_CONN_WEBHOOK_DEFAULT='{"conn_type": "http", "host": "https://hooks.example.com/auth0"}'
#AIRFLOW_CONN_SECOND='{"conn_type": "http"}'"""  # noqa: E501
"""The .env of version 0.1.0, the only file of its stack, with settings of a user's own."""


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


@functools.cache
def compose_is_installed():
    version = ["docker", "compose", "version"]
    return shutil.which("docker") and not subprocess.run(version, capture_output=True, check=False).returncode


def config(folder, *arguments):
    if not compose_is_installed():
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


def test_make_env_changes_nothing_of_complete_files(folder, capsys):
    before = [(folder / name).read_bytes() for name in OWN]
    capsys.readouterr()
    assert write_env.main(folder) == 0
    assert [(folder / name).read_bytes() for name in OWN] == before
    said = capsys.readouterr().out
    assert "were not changed" in said
    assert len(said.splitlines()) == 1


def test_a_new_stack_is_named_after_its_folder_as_docker_compose_would(empty_folder):
    folder = empty_folder.rename(empty_folder.parent / "_Auth0 Webhooks.2")
    assert write_env.main(folder) == 0
    assert settings(folder / ".env")["COMPOSE_PROJECT_NAME"] == "auth0webhooks2"


@pytest.mark.parametrize("end", ["", "\n", "\nCOMPOSE_PROJECT_NAME=", "\nCOMPOSE_PROJECT_NAME=\n"])
def test_an_older_stack_keeps_its_name_and_every_value(older, end):
    (older / ".env").write_text(OLDER + end, encoding="utf-8")
    assert write_env.main(older) == 0
    kept, rest = (older / ".env").read_text(encoding="utf-8").split("# Ours:\n")
    assert kept == OLDER.split("# Ours:\n", maxsplit=1)[0]
    *others, name, redis, grafana = rest.splitlines()
    assert [line for line in others if line] == ["HTTPS_PROXY=http://proxy:3128", "COMPOSE_FILE=docker-compose.yaml"]
    assert name == f"COMPOSE_PROJECT_NAME={write_env.project_name(older)}"
    assert re.fullmatch(r"REDIS_PASSWORD=[A-Za-z0-9_-]{32,}", redis)
    assert re.fullmatch(r"GRAFANA_PASSWORD=[A-Za-z0-9_-]{16,}", grafana)


def test_connections_of_an_older_stack_move_to_the_file_of_the_services_that_use_them(older, capsys):
    write_env.main(older)
    connections, others = ((older / name).read_text(encoding="utf-8") for name in ("connections.env", "airflow.env"))
    example = (PROJECT / "connections.env.example").read_text(encoding="utf-8")
    assert connections == (
        example
        + """AIRFLOW_CONN_AUTH0_DEFAULT='{"conn_type": "http", "password": "a=b#c"}'\n"""
        + """AIRFLOW_CONN_WEBHOOK_DEFAULT='{\n  "conn_type": "http"\n}'\n"""
        + "AIRFLOW__SECRETS__BACKEND=a.backend\n"
        + """#AIRFLOW_CONN_SECOND='{"conn_type": "http"}'\n"""
    )
    assert others == (
        (PROJECT / "airflow.env.example").read_text(encoding="utf-8")
        + "AIRFLOW__METRICS__STATSD_ON=True\nHTTPS_PROXY=http://proxy:3128\n"
    )
    assert {stat.S_IMODE((older / name).stat().st_mode) for name in OWN} == {0o600}
    said = capsys.readouterr().out
    assert "AIRFLOW_CONN_AUTH0_DEFAULT was moved to connections.env" in said
    assert "HTTPS_PROXY was copied to airflow.env" in said
    assert "former-" not in said
    assert "a=b#c" not in said


def test_an_upgrade_that_was_interrupted_moves_no_setting_twice(older):
    write_env.main(older)
    moved = [(older / name).read_bytes() for name in OWN[1:]]
    (older / ".env").write_text(OLDER, encoding="utf-8")
    write_env.main(older)
    assert [(older / name).read_bytes() for name in OWN[1:]] == moved


def test_a_connection_of_connections_env_wins_over_one_in_env(folder, capsys):
    with (folder / "connections.env").open("a", encoding="utf-8") as file:
        file.write("AIRFLOW_CONN_AUTH0_DEFAULT='newer'\n")
    with (folder / ".env").open("a", encoding="utf-8") as file:
        file.write("AIRFLOW_CONN_AUTH0_DEFAULT='older'\n")
    before = [(folder / name).read_bytes() for name in OWN]
    assert write_env.main(folder) == 0
    assert [(folder / name).read_bytes() for name in OWN] == before
    assert "AIRFLOW_CONN_AUTH0_DEFAULT is in connections.env with another value" in capsys.readouterr().out


@pytest.mark.parametrize("key", sorted(write_env.FORMER))
def test_a_lost_key_that_the_database_depends_on_is_asked_for_and_not_invented(older, key, capsys):
    (older / ".env").write_text(re.sub(rf"(?m)^{key}=.*$", f"{key}=", OLDER), encoding="utf-8")
    assert write_env.main(older) == 1
    assert not settings(older / ".env")[key]
    said = capsys.readouterr().err
    assert f"{key} is missing" in said
    assert "former value" in said


def test_docker_compose_sends_an_older_stack_to_make_env(older):
    done = config(older, "-q")
    assert done.returncode != 0
    assert "REDIS_PASSWORD" in done.stderr
    assert "make env" in done.stderr


def test_docker_compose_accepts_an_older_stack_after_make_env(older):
    write_env.main(older)
    done = config(older)
    assert done.returncode == 0, done.stderr
    worker = yaml.safe_load(done.stdout)["services"]["worker"]["environment"]
    assert worker["AIRFLOW_CONN_AUTH0_DEFAULT"] == '{"conn_type": "http", "password": "a=b#c"}'
    assert worker["HTTPS_PROXY"] == "http://proxy:3128"


def test_the_name_that_the_shell_gave_an_older_stack_goes_before_the_folder_s(older, monkeypatch):
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "ours")
    write_env.main(older)
    assert settings(older / ".env")["COMPOSE_PROJECT_NAME"] == "ours"


def test_a_copy_of_a_stack_in_another_folder_has_the_same_name(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("elsewhere")
    for name in (*FILES, *OWN):
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


def test_only_what_people_look_at_has_a_port_and_only_on_this_machine():
    ports = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert ports == {
        "api-server": ["127.0.0.1:${AIRFLOW_PORT:-8080}:8080"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }


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


@pytest.mark.parametrize("name", ["postgres", "redis", *sorted(MONITORING)])
def test_a_server_does_not_start_as_root(name):
    assert SERVICES[name]["user"] in {name, "nobody", "472"}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_is_known_only_to_the_services_that_need_it(key):
    assert {name for name, service in SERVICES.items() if key in service.get("environment", {})} == KEYS[key]


def test_no_key_reaches_a_service_by_another_variable():
    keys = "|".join(write_env.FRESH)
    for name, service in SERVICES.items():
        text = yaml.safe_dump({k: v for k, v in service.items() if k != "environment"})
        assert not re.search(rf"\$\{{({keys})", text), name
        for variable, value in service.get("environment", {}).items():
            assert variable in KEYS or not re.search(rf"\$\{{({keys})", value), f"{variable} of {name}"


def test_only_the_services_that_use_connections_read_them():
    reading = {name for name, service in SERVICES.items() if "connections.env" in service.get("env_file", [])}
    assert reading == {"worker", "triggerer", "dag-processor", "demo"}
    assert not any(".env" in service.get("env_file", []) for service in SERVICES.values())


def test_docker_compose_gives_a_worker_its_connections_and_no_key_but_that_of_the_queue(folder):
    with (folder / "connections.env").open("a", encoding="utf-8") as file:
        file.write("""AIRFLOW_CONN_AUTH0_DEFAULT='{"conn_type": "http"}'\n""")
    done = config(folder)
    assert done.returncode == 0, done.stderr
    found = {name: service.get("environment", {}) for name, service in yaml.safe_load(done.stdout)["services"].items()}
    assert found["worker"]["AIRFLOW_CONN_AUTH0_DEFAULT"] == '{"conn_type": "http"}'
    assert "AIRFLOW_CONN_AUTH0_DEFAULT" not in found["scheduler"]
    values = settings(folder / ".env")
    known = "\n".join(map(str, found["worker"].values()))
    assert [key for key in write_env.FRESH if values[key] in known] == ["REDIS_PASSWORD"]


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_every_part_of_airflow_has_the_same_settings_and_waits_for_the_database(name):
    init, service = SERVICES["init"], SERVICES[name]
    own = {*KEYS, "ADMIN_USER", "DUMB_INIT_SETSID", "CONNECTION_CHECK_MAX_COUNT"}
    assert {k: v for k, v in init["environment"].items() if k not in own} == {
        k: v for k, v in service["environment"].items() if k not in own
    }
    assert service["env_file"][0] == init["env_file"][0] == "airflow.env"
    assert service["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert service["volumes"] == init["volumes"]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_an_image_of_others_is_named_by_its_version_its_system_and_its_digest(name):
    assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z]+@sha256:[0-9a-f]{64}", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(MONITORING))
def test_an_image_of_the_monitoring_is_named_by_its_version_and_its_digest(name):
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", SERVICES[name]["image"])


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
    assert {name for name in kept if not name.startswith("./")} == yaml.safe_load(TEXT)["volumes"].keys()
    assert all((PROJECT / name).exists() for name in kept if name.startswith("./"))


def test_the_monitoring_is_started_only_when_asked_for_and_knows_none_of_airflows_keys():
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["monitoring"]} == MONITORING
    for name in MONITORING:
        assert "env_file" not in SERVICES[name]
        assert "depends_on" not in SERVICES[name]
    assert not any(MONITORING & set(service.get("depends_on", {})) for service in SERVICES.values())


def test_the_monitoring_reads_each_of_its_files_and_one_service_finds_the_other():
    scraped = yaml.safe_load((PROJECT / "monitoring" / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    source = yaml.safe_load((PROJECT / "monitoring" / "grafana" / "datasources.yaml").read_text(encoding="utf-8"))["datasources"]
    assert scraped[0]["static_configs"] == [{"targets": ["statsd-exporter:9102"]}]
    assert source[0]["url"] == "http://prometheus:9090"
    example = (PROJECT / "airflow.env.example").read_text(encoding="utf-8")
    assert "#AIRFLOW__METRICS__STATSD_HOST=statsd-exporter\n#AIRFLOW__METRICS__STATSD_PORT=9125\n" in example
    mounted = {volume.split(":")[0] for name in MONITORING for volume in SERVICES[name].get("volumes", [])}
    used = {f"./{path.relative_to(PROJECT)}" for path in (PROJECT / "monitoring").rglob("*.*")}
    assert used - mounted == {"./monitoring/alerts_test.yaml", "./monitoring/collector.yaml"}


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
