"""Where a route stores files, and how one is written: dead letters, and the hashes that the audit compares the log with."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from auth0_webhooks.errors import SettingError

if TYPE_CHECKING:
    from auth0_webhooks.settings.route import Route

DEFAULT_FOLDER = "auth0_webhook_dead_letters"
"""Below AIRFLOW_HOME, if a route names no other place."""


def folder_of(route: Route) -> Any:
    """The route's ``dead_letter_path``: a ``Path`` on a disk, else an ``ObjectStoragePath``.

    :raises SettingError: when the path cannot be used, or is a folder of this machine while tasks may run on others.
    """
    try:
        place = ObjectStoragePath(_path_of(route))
        local = place.protocol in {"", "file", "local"}
        place.fs  # noqa: B018 - finds out whether anything serves this scheme, and its connection
    except (ValueError, ImportError, OSError, AirflowNotFoundException) as error:
        raise SettingError(
            f"route {route.name!r}: key 'dead_letter_path': no object storage can be reached by it "
            f"({type(error).__name__}): expected a folder or a URL such as s3://CONNECTION@bucket/folder"
        ) from None
    if local and not route.dead_letter_path_shared and not _tasks_stay_here():
        raise SettingError(
            f"route {route.name!r}: key 'dead_letter_path' is a folder of this machine, but the executor runs tasks on "
            "several: name an object storage URL, or a folder that every worker sees and set dead_letter_path_shared: true"
        )
    return Path(place.path) if local else place


def write_whole(path: Any, content: bytes) -> None:
    """Write a file under a temporary name, then move it: it is complete, or absent, or as it was before."""
    if isinstance(path, Path):
        _write_to_disk(path, content)
    else:
        _write_to_store(path, content)


def make_folder(path: Any) -> None:
    """Make a folder where a store knows folders. On a disk, writing a file makes its folder."""
    if not isinstance(path, Path):
        path.mkdir(parents=True, exist_ok=True)


def paths_in(folder: Any) -> list[Any]:
    """What is in a folder, by name; nothing where there is no such folder. Raises what the disk or the store raises."""
    # Not checked beforehand, because a folder that this user may not see would seem to be missing.
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        # Object storage knows no folders, so before the first file is stored universal_pathlib says that it is none.
        if isinstance(folder, Path) or folder.exists():
            raise
        return []


def write_on(path: Path, content: bytes, at: int, *, durable: bool) -> None:
    """Write to a file of this machine from a place on, which is its end but for what a failed call has left there.

    Whatever is killed, what was written is kept. What is to survive a power cut, too, must be ``durable``.
    """
    if at == 0:
        _make_folders(path.parent)
    handle = os.open(path, os.O_WRONLY | (os.O_CREAT if at == 0 else 0), 0o600)
    with os.fdopen(handle, "wb") as file:
        file.seek(at)
        file.write(content)
        file.truncate()
        if durable:
            file.flush()
            os.fsync(handle)
    if at == 0:
        _sync_folder(path.parent)


def remove_folder(path: Any) -> None:
    """Remove a folder and all in it; what somebody else has removed meanwhile does not matter."""
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError):
        path.fs.rm(path.path, recursive=True)


def _write_to_disk(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, and that survives a power cut."""
    _make_folders(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _make_folders(path: Path) -> None:
    for folder in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, if its file system can do that."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(handle)


def _write_to_store(path: Any, content: bytes) -> None:
    """Write an object, whole or not at all."""
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("wb") as file:
        file.write(content)
    temporary.fs.mv(temporary.path, path.path)


def _path_of(route: Route) -> str:
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return route.dead_letter_path or f"file://{home / DEFAULT_FOLDER}"


def _tasks_stay_here() -> bool:
    from airflow.sdk.configuration import conf

    executors = conf.get("core", "executor").split(",")
    return all(name.split(":")[-1].rsplit(".", 1)[-1] == "LocalExecutor" for name in executors)
