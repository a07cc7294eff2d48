"""Both stores keep the same promise: a version is there whole or not at all, and never changes."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from object_store import ObjectStore, object_store
from session_models import Published

from streamrec.artifact import MANIFEST, SIGNATURE
from streamrec.config import StorageSettings
from streamrec.errors import ArtifactError, RegistryError, SignatureError, StorageError
from streamrec.registry import Registry
from streamrec.scorer import load_scorer, load_step
from streamrec.signing import SigningKey
from streamrec.stores import Store, open_store

Damage = Callable[[str, bytes | None], None]


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of either kind."""
    if request.param == "local":
        return open_store(tmp_path / "registry", StorageSettings())
    s3: ObjectStore = request.getfixturevalue("s3")
    return open_store(f"{s3.url}/{tmp_path.name}", s3.storage)


@pytest.fixture
def registry(store: Store, signing_key: Path) -> Registry:
    return Registry(store, trusted=[SigningKey.load(signing_key).public], signing_key=signing_key)


@pytest.fixture
def version(registry: Registry, published: Published) -> str:
    """A whole, signed version."""
    registry.publish("gru4rec", "v1", lambda place: published.model.export(place, version="v1"))
    return "v1"


@pytest.fixture
def damage(store: Store, request: pytest.FixtureRequest) -> Damage:
    """Puts other bytes in the place of a file of v1, behind the registry's back; None removes it."""

    def on_disk(name: str, value: bytes | None) -> None:
        path = Path(store.location("gru4rec", "v1")) / name
        path.unlink() if value is None else path.write_bytes(value)

    def in_store(name: str, value: bytes | None) -> None:
        s3: ObjectStore = request.getfixturevalue("s3")
        key = f"{store.place.removeprefix(f'{s3.url}/')}/gru4rec/v1/{name}"
        s3.delete(key) if value is None else s3.put(key, value)

    return in_store if store.place.startswith("s3://") else on_disk


def write(directory: Path) -> None:
    (directory / MANIFEST).write_text("{}")
    (directory / "weights").write_bytes(b"1234")


def test_a_store_that_is_empty_has_no_models(registry: Registry) -> None:
    assert registry.models() == []
    assert registry.versions("gru4rec") == []
    with pytest.raises(RegistryError, match="no version of gru4rec"):
        registry.latest("gru4rec")
    with pytest.raises(RegistryError, match="gru4rec has no version v1"):
        registry.read("gru4rec", "v1")


def test_what_was_published_is_read_back_and_served(registry: Registry, version: str) -> None:
    manifest, files = registry.read("gru4rec", version)
    assert sorted(files) == sorted(manifest.files)
    assert registry.manifest("gru4rec", version) == manifest
    assert registry.models() == ["gru4rec"]
    assert registry.versions("gru4rec") == [version]
    assert abs(registry.published("gru4rec")[version] - time.time()) < 60
    digest = registry.digest("gru4rec", version)
    assert load_step(registry, version, digest).version == version
    assert load_scorer(registry, version, digest).version == version
    (entry,) = registry.entries("gru4rec")
    assert entry.manifest == manifest
    assert entry.signed


def test_a_version_is_invisible_until_it_is_whole(store: Store) -> None:
    def look(directory: Path) -> None:
        write(directory)
        assert store.versions("gru4rec") == {}
        assert not store.has("gru4rec", "v1")

    store.publish("gru4rec", "v1", look)
    assert list(store.versions("gru4rec")) == ["v1"]
    assert store.has("gru4rec", "v1")
    assert store.files("gru4rec", "v1").read("weights", 4) == b"1234"


def test_a_failing_writer_leaves_nothing(store: Store) -> None:
    def fail(directory: Path) -> None:
        write(directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish("gru4rec", "v1", fail)
    assert store.versions("gru4rec") == {}
    assert store.leftovers("gru4rec", time.time() + 60) == []


def test_versions_are_never_changed(store: Store) -> None:
    store.publish("gru4rec", "v1", write)
    with pytest.raises(RegistryError, match="this version exists; versions are never changed"):
        store.publish("gru4rec", "v1", lambda _: pytest.fail("written anew"))


def test_of_two_that_publish_a_version_at_once_one_wins(store: Store) -> None:
    both = threading.Barrier(2, timeout=30)
    outcomes = []

    def publish(name: str) -> None:
        def fill(directory: Path) -> None:
            for file in (MANIFEST, "a", "b"):
                (directory / file).write_text(name * 100)
            both.wait()

        try:
            store.publish("gru4rec", "v1", fill)
            outcomes.append(name * 100)
        except RegistryError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=publish, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = store.files("gru4rec", "v1")
    winner = files.read(MANIFEST, 100).decode()
    assert winner in outcomes
    assert [files.read(name, 100).decode() for name in ("a", "b")] == [winner, winner]
    assert len([each for each in outcomes if "publish" in each]) == 1


def test_a_version_is_signed_where_it_lies(store: Store, published: Published, signing_key: Path) -> None:
    public = SigningKey.load(signing_key).public
    Registry(store).publish("gru4rec", "v1", lambda place: published.model.export(place, version="v1"))
    registry = Registry(store, trusted=[public], signing_key=signing_key)
    with pytest.raises(SignatureError, match="`streamrec models sign v1`"):
        registry.read("gru4rec", "v1")
    assert not registry.is_signed("gru4rec", "v1")
    assert registry.sign("gru4rec", "v1") == public
    assert registry.is_signed("gru4rec", "v1")
    assert registry.read("gru4rec", "v1")[0].version == "v1"


def test_a_removed_version_is_gone_and_leaves_nothing(registry: Registry, version: str, store: Store) -> None:
    store.publish("gru4rec", "v2", write)
    registry.remove("gru4rec", version)
    assert registry.versions("gru4rec") == ["v2"]
    with pytest.raises(RegistryError, match="no version v1"):
        registry.read("gru4rec", version)
    assert store.leftovers("gru4rec", time.time() + 60) == []
    with pytest.raises(RegistryError, match="no version v1"):
        registry.remove("gru4rec", version)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("score.onnx", lambda good: good[:-1], r"score\.onnx: \d+ bytes instead of \d+"),
        ("score.onnx", lambda good: bytes([good[0] ^ 1]) + good[1:], r"score\.onnx: the sha256 is not"),
        ("score.onnx", lambda good: good + b"more", r"score\.onnx: \d+ bytes, more than the \d+ allowed"),
        ("score.onnx", lambda good: b"", r"score\.onnx: 0 bytes instead of"),
        ("bias.npy", lambda _: None, r"bias\.npy: cannot be read .*incomplete"),
        (SIGNATURE, lambda good: good[:-1], "by none of the 1 trusted keys"),
        (SIGNATURE, lambda good: good + b"x", "65 bytes, more than the 64 allowed"),
        (SIGNATURE, lambda _: None, "not signed"),
        (MANIFEST, lambda good: good.replace(b'"seed": 0', b'"seed": 1'), "is not what was signed"),
    ],
    ids=["cut", "bit", "longer", "empty", "missing", "sig-cut", "sig-longer", "unsigned", "manifest"],
)
def test_damage_is_found_and_named(
    registry: Registry, version: str, store: Store, damage: Damage, name: str, value: Any, named: str
) -> None:
    damage(name, value(store.files("gru4rec", version).read(name, 1 << 24)))
    with pytest.raises(ArtifactError, match=named):
        registry.read("gru4rec", version)


def test_a_digest_that_is_not_the_released_one_is_refused(registry: Registry, version: str) -> None:
    with pytest.raises(ArtifactError, match=f"the release says {'0' * 64}"):
        registry.read("gru4rec", version, "0" * 64)


def test_a_version_under_another_name_is_refused(registry: Registry, published: Published) -> None:
    registry.publish("gru4rec", "v2", lambda place: published.model.export(place, version="v1"))
    with pytest.raises(ArtifactError, match="holds gru4rec v1; publish it under its own name"):
        registry.read("gru4rec", "v2")


# -- an object store's own faults ---------------------------------------------------------------


@pytest.fixture
def objects(s3: ObjectStore, tmp_path: Path) -> Any:
    """An S3Store with a client of its own, to be broken."""
    return open_store(f"{s3.url}/{tmp_path.name}", s3.storage)


def test_nothing_is_downloaded_of_what_is_too_large(objects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.publish("gru4rec", "v1", write)
    get, read = objects._client.get_object, []

    def counting(**asked: Any) -> Any:
        found = get(**asked)
        body = found["Body"]
        whole = body.read
        monkeypatch.setattr(body, "read", lambda *args: read.append(1) or whole(*args))
        return found

    monkeypatch.setattr(objects._client, "get_object", counting)
    with pytest.raises(ArtifactError, match="4 bytes, more than the 3 allowed"):
        objects.files("gru4rec", "v1").read("weights", 3)
    assert not read
    assert objects.files("gru4rec", "v1").read("weights", 4) == b"1234"
    assert read


def test_a_truncated_upload_is_not_published(objects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = objects._client.put_object

    def cut(**asked: Any) -> Any:
        return put(**{**asked, "Body": asked["Body"].read()[:-1]})

    monkeypatch.setattr(objects._client, "put_object", cut)
    with pytest.raises(
        StorageError, match=r"weights: 4 bytes were put .*there are 3; the version is not pub"
    ):
        objects.publish("gru4rec", "v1", write)
    assert objects.versions("gru4rec") == {}
    assert objects.leftovers("gru4rec", time.time() + 60) == []


class Killed(BaseException):
    """As SIGKILL would have it: nothing is cleaned up."""


@pytest.mark.parametrize("at", range(1, 6))
def test_a_publish_that_is_killed_in_the_middle_is_not_there_and_its_leftovers_are_found(
    objects: Any, published: Published, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    put, calls = objects._client.put_object, []

    def kill(**asked: Any) -> Any:
        calls.append(asked["Key"])
        if len(calls) > at:
            raise Killed
        return put(**asked)

    monkeypatch.setattr(objects._client, "put_object", kill)
    monkeypatch.setattr(objects, "_delete", lambda _: None)
    with pytest.raises(Killed):
        Registry(objects).publish("gru4rec", "v1", lambda place: published.model.export(place, version="v1"))
    monkeypatch.undo()
    assert objects.versions("gru4rec") == {}
    assert not objects.has("gru4rec", "v1")
    with pytest.raises(RegistryError, match="no version v1"):
        Registry(objects).read("gru4rec", "v1", signed=False)
    # The one that comes next has another name; the same is not published over it.
    with pytest.raises(RegistryError, match="was killed while doing so"):
        objects.publish("gru4rec", "v1", write)
    assert objects.leftovers("gru4rec", time.time() - 60) == []
    assert objects.leftovers("gru4rec", time.time() + 60) == ["v1"]
    objects.discard("gru4rec", "v1")
    assert objects.leftovers("gru4rec", time.time() + 60) == []
    objects.publish("gru4rec", "v1", write)


def test_the_manifest_is_put_last_and_removed_first(objects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    for call in ("put_object", "delete_object"):
        original = getattr(objects._client, call)

        def noted(original: Any = original, **asked: Any) -> Any:
            done.append(asked["Key"].rpartition("/")[2])
            return original(**asked)

        monkeypatch.setattr(objects._client, call, noted)

    def write_more(directory: Path) -> None:
        write(directory)
        (directory / "bias").write_bytes(b"12")

    objects.publish("gru4rec", "v1", write_more)
    objects.remove("gru4rec", "v1")
    assert done == ["bias", "weights", MANIFEST, MANIFEST, "bias", "weights"]


def test_an_answer_that_was_lost_does_not_make_a_publish_fail(
    objects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    put = objects._client.put_object

    def twice(**asked: Any) -> Any:
        put(**asked)
        raise ClientError(
            {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"RetryAttempts": 1}}, "PutObject"
        )

    monkeypatch.setattr(objects._client, "put_object", twice)
    objects.publish("gru4rec", "v1", write)
    assert list(objects.versions("gru4rec")) == ["v1"]


def test_an_answer_that_is_cut_short_is_the_stores_fault(
    objects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.publish("gru4rec", "v1", write)
    get = objects._client.get_object
    monkeypatch.setattr(objects._client, "get_object", lambda **asked: {**get(**asked), "ContentLength": 5})
    with pytest.raises(StorageError, match="sent 4 of 5 bytes"):
        objects.files("gru4rec", "v1").read("weights", 10)


def test_a_bucket_that_is_missing_is_named(s3: ObjectStore) -> None:
    registry = Registry(open_store("s3://nowhere-at-all/models", s3.storage))
    for ask in (
        registry.models,
        lambda: registry.versions("gru4rec"),
        lambda: registry.read("gru4rec", "v1"),
        lambda: registry.publish("gru4rec", "v1", write),
    ):
        with pytest.raises(StorageError, match=f"{s3.storage.endpoint} has no bucket nowhere-at-all"):
            ask()


def test_a_store_that_does_not_answer_is_named_with_its_setting(tmp_path: Path) -> None:
    with object_store() as gone:
        store = open_store(gone.url, gone.storage)
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"Could not connect.*STREAMREC_STORAGE__ENDPOINT"):
        store.models()
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_who_is_not_let_in_is_told_which_right_and_which_keys(
    objects: Any, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    from botocore.exceptions import ClientError

    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, "GetObject")

    monkeypatch.setattr(objects._client, "get_object", refuse)
    with pytest.raises(
        StorageError, match=rf"\({code}\): it takes s3:GetObject.*STREAMREC_STORAGE__ACCESS_KEY"
    ):
        objects.files("gru4rec", "v1").read("weights", 10)


def test_leftovers_of_a_killed_publish_on_a_disk_are_found_and_removed(tmp_path: Path) -> None:
    store = open_store(tmp_path, StorageSettings())
    store.publish("gru4rec", "v1", write)
    left = tmp_path / "gru4rec" / ".v2-abc"
    left.mkdir()
    (left / "score.onnx").write_bytes(b"12")
    day_ago = time.time() - 86_400
    assert store.leftovers("gru4rec", day_ago) == []
    os.utime(left / "score.onnx", (day_ago - 60, day_ago - 60))
    assert store.leftovers("gru4rec", day_ago) == [], "somebody may still be at work in the folder"
    os.utime(left, (day_ago - 60, day_ago - 60))
    assert store.leftovers("gru4rec", day_ago) == [".v2-abc"]
    store.discard("gru4rec", ".v2-abc")
    assert [path.name for path in (tmp_path / "gru4rec").iterdir()] == ["v1"]


def test_a_reader_never_sees_half_of_what_is_removed(registry: Registry, version: str) -> None:
    outcomes: set[str] = set()
    gone = threading.Event()

    def look() -> None:
        while not gone.is_set():
            for name in registry.versions("gru4rec"):
                outcomes.add(name)
                try:
                    json.dumps(registry.manifest("gru4rec", name).version)
                except (RegistryError, ArtifactError) as error:
                    outcomes.add(type(error).__name__)

    reader = threading.Thread(target=look)
    reader.start()
    registry.remove("gru4rec", version)
    gone.set()
    reader.join()
    # It may be gone between the list and the reading; a manifest is never seen without its files' list.
    assert outcomes <= {version, "RegistryError", "ArtifactError"}
    assert registry.versions("gru4rec") == []
