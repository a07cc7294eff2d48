"""Places for history and versions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamrec.config import StorageSettings, load_settings
from streamrec.errors import ConfigError
from streamrec.registry import Registry
from streamrec.storage import open_place


def test_a_plain_path_is_a_local_folder(tmp_path):
    system, path = open_place(str(tmp_path / "here"), StorageSettings())
    assert path == str(tmp_path / "here")
    system.makedirs(path)
    assert (tmp_path / "here").is_dir()


def test_an_unknown_kind_of_place_is_refused():
    with pytest.raises(ConfigError, match="a folder or s3://bucket/prefix, not http://"):
        open_place("http://somewhere/history", StorageSettings())


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ConfigError, match=r"fsspec is not installed; pip install \"streamrec\[history\]\""):
        open_place("history", StorageSettings())


def test_a_local_registry_imports_nothing_of_object_stores(tmp_path):
    code = (
        "import sys; from pathlib import Path; from streamrec.config import load_settings; "
        "from streamrec.registry import Registry; Registry.of(load_settings()).models(); "
        "import streamrec.scorer; found = {'fsspec', 's3fs', 'botocore', 'pyarrow'} & set(sys.modules); "
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_registry_in_an_object_store_names_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    settings = load_settings(registry={"path": "s3://models/here"})
    with pytest.raises(
        ConfigError, match=r"botocore.session is not installed; pip install \"streamrec\[s3\]\""
    ):
        Registry.of(settings)


@pytest.mark.parametrize("place", ["s3://models", "s3://models/", "s3://models/a/b"])
def test_the_registry_may_be_in_an_object_store(place):
    settings = load_settings(registry={"path": place})
    assert settings.registry.path == place.rstrip("/")
    assert json.loads(settings.environment()["STREAMREC_REGISTRY"])["path"] == place.rstrip("/")


@pytest.mark.parametrize(
    "place",
    ["s3:/models/a", "gs://models/a", "http://host/a", "s3://", "s3://x", "s3://models/../a", "s3://a b/c"],
)
def test_a_place_that_is_neither_is_refused(place):
    with pytest.raises(ConfigError, match=r"REGISTRY__PATH: .*a folder or s3://bucket/prefix is wanted"):
        load_settings(registry={"path": place})


def test_a_folder_stays_a_folder(tmp_path):
    assert load_settings(registry={"path": str(tmp_path)}).registry.path == tmp_path
    assert load_settings(registry={"path": tmp_path}).registry.path == tmp_path
    assert load_settings().registry.path == Path("build/registry")
