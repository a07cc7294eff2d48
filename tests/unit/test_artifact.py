"""What is loaded is what was exported, or it is refused with the file and the fault named."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_models import Published, edit_manifest

from streamrec.artifact import FORMAT, MANIFEST, artifact_digest, read_artifact, read_manifest
from streamrec.errors import ArtifactError

FILES = ["bias.npy", "score.onnx", "step.onnx", "vocabulary.json"]


def test_manifest_and_files_come_back(artifact: Path, published: Published) -> None:
    manifest, files = read_artifact(artifact)
    assert sorted(files) == FILES
    assert all(files[name] == (artifact / name).read_bytes() for name in FILES)
    assert (manifest.format, manifest.model, manifest.version) == (FORMAT, "gru4rec", published.version)
    assert (manifest.n_items, manifest.hidden_size) == (len(published.model.vocabulary), 16)
    assert manifest.config == published.model.config.model_dump()
    assert manifest.probes
    assert read_manifest(artifact) == manifest


def test_the_digest_names_the_whole_artifact(artifact: Path) -> None:
    digest = hashlib.sha256((artifact / MANIFEST).read_bytes()).hexdigest()
    assert artifact_digest(artifact) == digest
    assert read_artifact(artifact, digest) == read_artifact(artifact)
    edit_manifest(artifact, lambda manifest: manifest.update(seed=5))
    with pytest.raises(ArtifactError, match=f"the release says {digest}"):
        read_artifact(artifact, digest)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: cannot be read \(No such file.*incomplete"):
        read_artifact(artifact)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(artifact: Path, name: str) -> None:
    value = (artifact / name).read_bytes()
    (artifact / name).write_bytes(value[:-1])
    with pytest.raises(ArtifactError, match=rf"{name}: {len(value) - 1} bytes instead of {len(value)}"):
        read_artifact(artifact)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_single_flipped_bit_is_found(artifact: Path, data: st.DataObject) -> None:
    digest = artifact_digest(artifact)
    path = artifact / data.draw(st.sampled_from([*FILES, MANIFEST]))
    good = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    damaged = bytearray(good)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        with pytest.raises(ArtifactError):
            read_artifact(artifact, digest)
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "sub/file", "..", ".", "", ".hidden", "a\\b", "a\n", "a" * 200]
)
def test_a_name_that_leads_out_of_the_directory_is_refused(artifact: Path, name: str) -> None:
    (artifact.parent / "secret").write_bytes(b"")
    entry = {"size_bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    edit_manifest(artifact, lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(ArtifactError, match=r"manifest\.json: files"):
        read_artifact(artifact)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_link_is_no_plain_file(artifact: Path, name: str) -> None:
    outside = artifact.parent / "outside"
    (artifact / name).rename(outside)
    (artifact / name).symlink_to(outside)
    with pytest.raises(ArtifactError, match=f"{name}: an artifact holds plain files only"):
        read_artifact(artifact)


def test_a_pipe_is_refused_and_not_waited_for(artifact: Path) -> None:
    (artifact / "bias.npy").unlink()
    os.mkfifo(artifact / "bias.npy")
    with pytest.raises(ArtifactError, match="plain files only"):
        read_artifact(artifact)


def test_a_file_beyond_all_bounds_is_not_read(artifact: Path) -> None:
    with (artifact / "step.onnx").open("wb") as file:
        file.truncate(3 << 30)  # sparse: takes no room
    with pytest.raises(ArtifactError, match="3221225472 bytes, more than"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": FORMAT + 1}, f"format {FORMAT + 1}, this streamrec reads {FORMAT}"),
        ({"format": None}, "format None"),
        ({"n_items": 0}, "n_items"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": 17}, "hidden_size is 17"),
        ({"probes": []}, "probes"),
        ({"files": {"step.onnx": {"size_bytes": -1, "sha256": "0" * 64}}}, "size_bytes"),
        ({"files": {"step.onnx": {"size_bytes": 1, "sha256": "no digest"}}}, "sha256"),
        ({"version": 7}, "version"),
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_is_refused(artifact: Path, change: dict[str, Any], named: str) -> None:
    edit_manifest(artifact, lambda manifest: manifest.update(change))
    with pytest.raises(ArtifactError, match=named):
        read_artifact(artifact)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000], ids=repr)
def test_a_manifest_that_is_no_json_object_is_refused(artifact: Path, value: bytes) -> None:
    (artifact / MANIFEST).write_bytes(value)
    with pytest.raises(ArtifactError, match=MANIFEST):
        read_artifact(artifact)
