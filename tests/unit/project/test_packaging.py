"""What is in the wheel, and what it says about itself."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import zipfile

import pytest

import auth0_webhooks
from tests.conftest import PROJECT
from tests.wheel.support import build

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with zipfile.ZipFile(build(tmp_path_factory.mktemp("wheel"))) as opened:
        yield opened


def metadata(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
    package = PROJECT / "plugins" / "auth0_webhooks"
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == files
    assert {"auth0_webhooks/py.typed", "auth0_webhooks/page/static/page.html"} <= files


def test_the_version_is_that_of_the_package(wheel):
    assert metadata(wheel)["Version"] == auth0_webhooks.__version__


def test_airflow_finds_provider_and_plugin_by_entry_points(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(name).decode()
    assert "[apache_airflow_provider]\nprovider_info = auth0_webhooks.connections.provider:get_provider_info" in text
    assert "[airflow.plugins]\nauth0_webhooks_page = auth0_webhooks.page.plugin:by_entry_point" in text


def test_the_wheel_takes_every_airflow_3_from_3_3_on(wheel):
    requires = metadata(wheel).get_all("Requires-Dist")
    assert "apache-airflow<4,>=3.3" in requires
    assert not [line for line in requires if "==" in line.partition(";")[0]]
    assert set(metadata(wheel).get_all("Provides-Extra")) == {"s3", "gcs", "azure"}
    assert metadata(wheel)["Requires-Python"] == "<3.15,>=3.10"


def test_every_requirement_has_a_lower_bound(wheel):
    assert [line for line in metadata(wheel).get_all("Requires-Dist") if ">=" not in line.partition(";")[0]] == []


def test_the_metadata_name_each_python_the_license_and_addresses(wheel):
    found = metadata(wheel)
    pythons = {f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)}
    assert pythons | {"Framework :: Apache Airflow", "Typing :: Typed"} <= set(found.get_all("Classifier"))
    assert found["License-Expression"] == "Apache-2.0 AND MIT"
    licenses = {"LICENSE", "plugins/auth0_webhooks/page/static/uplot/LICENSE"}
    assert set(found.get_all("License-File")) == licenses
    assert all("https://" in line for line in found.get_all("Project-URL"))


def named(lines):
    return {re.split(r"[\[<>=!; ]", line)[0].lower() for line in lines}


def test_requirements_txt_names_the_same_packages():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [line.strip() for line in (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()]
    assert named(project["dependencies"]) == named(line for line in lines if line and not line.startswith("#"))


def imported(tmp_path, **packages):
    """What importing the package says where these packages are installed, as far as their metadata goes."""
    for name, version in packages.items():
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(PROJECT / 'plugins')!r}]; import auth0_webhooks"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "packages",
    [
        {"apache_airflow_core": "3.2.1", "apache_airflow": "3.2.1"},
        {"apache_airflow_core": "3.0.0"},
        {"apache_airflow_core": "2.11.0"},
    ],
)
def test_an_older_airflow_is_an_import_error_that_names_the_version_needed(tmp_path, packages):
    done = imported(tmp_path, **packages)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: auth0_webhooks {auth0_webhooks.__version__} needs Apache Airflow 3.3 or later")
    assert f"this is Apache Airflow {packages['apache_airflow_core']}:" in last


@pytest.mark.parametrize("version", ["3.3.0", "3.3.0rc1", "3.10.0", "4.0.0.dev0"])
def test_a_later_airflow_is_taken(tmp_path, version):
    assert imported(tmp_path, apache_airflow_core=version).returncode == 0
