"""Artifacts of recommenders that somebody else may have made: refused before they do anything."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from recommender_answers import ratings

from streamrec.artifact import FileEntry, Manifest, write_manifest
from streamrec.errors import ArtifactError
from streamrec.feedback import make_feedback
from streamrec.recommender_artifacts import load_recommender, train_recommender
from streamrec.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", trusted=None)


def published(registry: Registry, model: str = "item_popularity") -> tuple[Path, str]:
    trained = train_recommender({"model": model}, ratings(), registry)
    return Path(trained.directory), trained.version


def put(directory: Path, **files: bytes) -> None:
    """Put files in, as the manifest then says."""
    manifest = Manifest.model_validate_json((directory / "manifest.json").read_bytes())
    entries = {
        name: FileEntry(size_bytes=len(value), sha256=hashlib.sha256(value).hexdigest())
        for name, value in files.items()
    }
    for name, value in files.items():
        (directory / name).write_bytes(value)
    write_manifest(directory, manifest.model_copy(update={"files": {**manifest.files, **entries}}))


@pytest.mark.parametrize("name", ["a--..--..--escaped.txt", "more.npz", "part0--part--model.json"])
def test_a_file_that_is_none_of_a_recommender_is_not_unpacked(name: str, registry: Registry) -> None:
    directory, version = published(registry)
    put(directory, **{name: b"x"})
    before = set(Path(directory.root, "tmp").rglob("escaped.txt"))
    with pytest.raises(ArtifactError, match=f"{name} is no file of a recommender.*train it again"):
        load_recommender(registry, "item_popularity", version)
    assert set(Path(directory.root, "tmp").rglob("escaped.txt")) == before


def test_arrays_of_another_version_of_streamrec_are_refused(registry: Registry, tmp_path: Path) -> None:
    directory, version = published(registry)
    np.savez(tmp_path / "other.npz", of_old=np.ones(3))
    put(directory, **{"arrays.npz": (tmp_path / "other.npz").read_bytes()})
    with pytest.raises(ArtifactError, match=r"none that this version of streamrec reads \(KeyError"):
        load_recommender(registry, "item_popularity", version)


def test_a_probe_of_items_that_there_are_not_is_refused(registry: Registry) -> None:
    directory, version = published(registry)
    manifest = Manifest.model_validate_json((directory / "manifest.json").read_bytes())
    probe = manifest.probes[0].model_copy(update={"top": [10_000], "scores": [1.0]})
    write_manifest(directory, manifest.model_copy(update={"probes": [probe]}))
    with pytest.raises(ArtifactError, match=r"reads \(IndexError"):
        load_recommender(registry, "item_popularity", version)


def test_what_is_more_than_an_artifact_may_hold_is_not_published(registry: Registry) -> None:
    feedback = make_feedback(["u" * 300], ["i"])
    with pytest.raises(ArtifactError, match=r"item_popularity is more than can be published: visitor_id"):
        train_recommender({"model": "item_popularity"}, feedback, registry)
    assert registry.models() == []
