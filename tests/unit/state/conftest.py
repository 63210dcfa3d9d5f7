"""Object storage, for dead letters and kept hashes."""

from __future__ import annotations

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath


@pytest.fixture
def object_storage(monkeypatch):
    """A place in an object storage of this process. As in S3 there are no folders: one without files is not there."""
    monkeypatch.setattr("auth0_webhooks.state.stored_files.ObjectStoragePath", UPath)
    for name in ("mkdir", "makedirs"):
        monkeypatch.setattr(MemoryFileSystem, name, lambda *_, **__: None)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return "memory://bucket/letters"
