"""What is loaded is what was exported, or it is refused with the file and the fault named."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_models import Published, edit_manifest

from streamrec import artifact as artifact_module
from streamrec.artifact import (
    FORMAT,
    MANIFEST,
    MAX_ARTIFACT_BYTES,
    MAX_HIDDEN_SIZE,
    MAX_ITEMS,
    SIGNATURE,
    artifact_digest,
    read_artifact,
    read_manifest,
    sign_artifact,
)
from streamrec.errors import ArtifactError, SignatureError
from streamrec.signing import SigningKey

FILES = ["bias.npy", "first_layer.npz", "score.onnx", "step.onnx", "vocabulary.json"]


def test_manifest_and_files_come_back(artifact: Path, published: Published) -> None:
    manifest, files = read_artifact(artifact)
    assert sorted(files) == FILES
    assert all(files[name] == (artifact / name).read_bytes() for name in FILES)
    assert (manifest.format, manifest.model, manifest.version) == (FORMAT, "gru4rec", published.version)
    assert (manifest.n_items, manifest.hidden_size) == (len(published.model.items), 16)
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


def test_a_file_that_grows_while_it_is_read_is_not_read_on(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (artifact / "bias.npy").stat().st_size
    with (artifact / "bias.npy").open("ab") as file:
        file.write(b"more" * 100)
    stat = os.fstat

    def before_it_grew(descriptor: int) -> os.stat_result:
        found = stat(descriptor)
        return os.stat_result((*found[:6], min(found.st_size, size), *found[7:10]))

    monkeypatch.setattr(os, "fstat", before_it_grew)
    with pytest.raises(ArtifactError, match=rf"bias\.npy: {size + 1} bytes, more than the {size} allowed"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": FORMAT + 1}, f"format {FORMAT + 1}, this streamrec reads {FORMAT}"),
        ({"format": None}, "format None"),
        ({"n_items": 0}, "n_items"),
        ({"n_items": MAX_ITEMS + 1}, f"n_items: .* less than or equal to {MAX_ITEMS}"),
        ({"n_items": 10**30}, "n_items"),
        ({"n_items": 40.5}, "n_items"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": MAX_HIDDEN_SIZE + 1}, f"hidden_size: .* less than or equal to {MAX_HIDDEN_SIZE}"),
        ({"hidden_size": 17}, "a hidden state of 17"),
        ({"probes": []}, "probes"),
        ({"probes": [{}] * 65}, "probes: .* at most 64 items"),
        (
            {"files": {f"f{n}": {"size_bytes": 0, "sha256": "0" * 64} for n in range(129)}},
            "at most 128 items",
        ),
        ({"files": {"step.onnx": {"size_bytes": (2 << 30) + 1, "sha256": "0" * 64}}}, "size_bytes"),
        (
            {"files": {f"f{n}": {"size_bytes": 2 << 30, "sha256": "0" * 64} for n in range(3)}},
            f"{6 << 30} bytes together, {MAX_ARTIFACT_BYTES} are allowed",
        ),
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


# -- signatures ---------------------------------------------------------------------------------


@pytest.fixture
def trusted(signing_key: Path) -> list[str]:
    """The public key that the artifact is signed with."""
    return [SigningKey.load(signing_key).public]


def test_what_a_trusted_key_has_signed_is_read(artifact: Path, trusted: list[str], tmp_path: Path) -> None:
    other = SigningKey.create(tmp_path / "other.key").public
    for keys in (trusted, [other, *trusted], [*trusted, other]):
        assert read_artifact(artifact, trusted=keys) == read_artifact(artifact)
        assert artifact_digest(artifact, keys) == artifact_digest(artifact)


def _flip(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        (SIGNATURE, lambda _: b"", "by none of the 1 trusted keys"),
        (SIGNATURE, lambda value: value[:-1], "by none of the 1 trusted keys"),
        (SIGNATURE, lambda value: value + b"\n", "65 bytes, more than the 64 allowed"),
        (SIGNATURE, _flip, "by none of the 1 trusted keys"),
        (SIGNATURE, lambda _: bytes(64), "by none of the 1 trusted keys"),
        (MANIFEST, lambda value: value + b"\n", "is not what was signed"),
        (MANIFEST, lambda value: value.replace(b'"seed": 0', b'"seed": 1'), "is not what was signed"),
        (MANIFEST, lambda _: b"{}", "is not what was signed"),
    ],
    ids=[
        *("empty", "truncated", "too long", "one bit", "zeros"),
        *("a line more", "another seed", "another manifest"),
    ],
)
def test_other_bytes_than_were_signed_are_refused(
    artifact: Path, trusted: list[str], name: str, change: Callable[[bytes], bytes], named: str
) -> None:
    good = (artifact / name).read_bytes()
    assert change(good) != good
    (artifact / name).write_bytes(change(good))
    for read in (read_artifact, read_manifest):
        with pytest.raises(SignatureError, match=named):
            read(artifact, trusted=trusted)


def test_without_a_signature_or_a_key_to_trust_nothing_is_read(
    artifact: Path, trusted: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SignatureError, match=r"no key is trusted; .*STREAMREC_REGISTRY__TRUSTED_KEYS"):
        read_artifact(artifact, trusted=[])
    with pytest.raises(SignatureError, match="by none of the 1 trusted keys"):
        read_artifact(artifact, trusted=[SigningKey.create(tmp_path / "other.key").public])
    (artifact / SIGNATURE).rename(tmp_path / "elsewhere")
    with pytest.raises(SignatureError, match=r"not signed; .*`streamrec models sign artifact`"):
        read_artifact(artifact, trusted=trusted)
    (artifact / SIGNATURE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SignatureError, match="plain files only"):
        read_artifact(artifact, trusted=trusted)


def test_what_is_parsed_is_what_was_verified(
    artifact: Path, trusted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = read_manifest(artifact)
    read = artifact_module._read

    def read_and_swap(path: Path, max_bytes: int) -> bytes:
        value = read(path, max_bytes)
        if path.name == MANIFEST:  # as somebody might who waits for the moment
            edit_manifest(artifact, lambda manifest: manifest.update(seed=good.seed + 1))
        return value

    monkeypatch.setattr(artifact_module, "_read", read_and_swap)
    manifest, _ = read_artifact(artifact, trusted=trusted)
    assert manifest == good
    with pytest.raises(SignatureError):
        read_artifact(artifact, trusted=trusted)


def test_an_artifact_is_signed_again_by_another_key(
    artifact: Path, trusted: list[str], tmp_path: Path
) -> None:
    other = SigningKey.create(tmp_path / "other.key")
    files = sorted(path.name for path in artifact.iterdir())
    sign_artifact(artifact, other)
    assert sorted(path.name for path in artifact.iterdir()) == files
    assert read_artifact(artifact, trusted=[other.public])
    with pytest.raises(SignatureError):
        read_artifact(artifact, trusted=trusted)


def test_a_damaged_artifact_is_not_signed(artifact: Path, signing_key: Path) -> None:
    (artifact / SIGNATURE).unlink()
    (artifact / "bias.npy").write_bytes(b"")
    files = sorted(path.name for path in artifact.iterdir())
    with pytest.raises(ArtifactError, match=r"bias\.npy"):
        sign_artifact(artifact, SigningKey.load(signing_key))
    assert sorted(path.name for path in artifact.iterdir()) == files
