"""Versions appear whole or not at all, and are never changed."""

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_models import Published

from streamrec.artifact import MANIFEST
from streamrec.config import RegistrySettings, Settings
from streamrec.errors import ArtifactError, ConfigError, RegistryError, SignatureError
from streamrec.registry import Registry
from streamrec.signing import SigningKey


def write(directory: Path) -> None:
    (directory / MANIFEST).write_text("{}")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def test_a_registry_that_does_not_exist_yet_is_empty(registry: Registry) -> None:
    assert registry.models() == []
    assert registry.versions("gru4rec") == []
    with pytest.raises(
        RegistryError, match="no version of gru4rec; `streamrec train gru4rec` with --data FILE"
    ):
        registry.latest("gru4rec")
    with pytest.raises(RegistryError, match="no version of wals; `streamrec train recommender wals` with"):
        registry.latest("wals")
    assert not registry.path.exists()


def test_published_versions_are_listed_by_name_and_the_last_is_the_latest(registry: Registry) -> None:
    for version in ("20260103t000000-a", "20260101t000000-c", "20260102t000000-b"):
        assert registry.publish("gru4rec", version, write) == registry.directory("gru4rec", version)
    assert registry.models() == ["gru4rec"]
    assert registry.versions("gru4rec") == ["20260101t000000-c", "20260102t000000-b", "20260103t000000-a"]
    assert registry.latest("gru4rec") == "20260103t000000-a"
    assert (registry.directory("gru4rec", "20260101t000000-c") / MANIFEST).read_text() == "{}"


def test_a_failing_writer_leaves_nothing(registry: Registry) -> None:
    def fail(directory: Path) -> None:
        write(directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.publish("gru4rec", "v1", fail)
    assert list((registry.path / "gru4rec").iterdir()) == []


def test_a_version_is_invisible_until_it_is_whole(registry: Registry) -> None:
    def look(directory: Path) -> None:
        write(directory)
        assert registry.versions("gru4rec") == []
        assert registry.models() == []
        with pytest.raises(RegistryError, match="no version v1"):
            registry.directory("gru4rec", "v1")

    registry.publish("gru4rec", "v1", look)
    assert registry.versions("gru4rec") == ["v1"]


def test_versions_are_never_changed(registry: Registry) -> None:
    registry.publish("gru4rec", "v1", write)
    with pytest.raises(RegistryError, match="this version exists; versions are never changed"):
        registry.publish("gru4rec", "v1", lambda _: pytest.fail("written anew"))


def test_of_two_that_publish_a_version_at_once_one_wins(registry: Registry) -> None:
    both = threading.Barrier(2, timeout=10)
    outcomes = []

    def publish(name: str) -> None:
        def fill(directory: Path) -> None:
            (directory / MANIFEST).write_text(name)
            both.wait()

        try:
            registry.publish("gru4rec", "v1", fill)
            outcomes.append(name)
        except RegistryError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=publish, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = (registry.directory("gru4rec", "v1") / MANIFEST).read_text()
    assert sorted(outcomes)[-1] == winner
    assert "cannot be published" in sorted(outcomes)[0]
    assert [path.name for path in (registry.path / "gru4rec").iterdir()] == ["v1"]


def test_what_is_no_version_is_not_listed(registry: Registry) -> None:
    registry.publish("gru4rec", "v1", write)
    (registry.path / "README").write_text("")
    (registry.path / "lost+found").mkdir()
    (registry.path / "gru4rec" / "notes").write_text("")
    (registry.path / "gru4rec" / ".v2-unfinished").mkdir()
    (registry.path / "gru4rec" / "v3-half-copied").mkdir()
    assert registry.models() == ["gru4rec"]
    assert registry.versions("gru4rec") == ["v1"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", ".a", "A", "a b", "a\n", "ä", "a" * 129]
)
def test_names_that_could_lead_elsewhere_are_refused(registry: Registry, name: str) -> None:
    for call in (
        lambda: registry.versions(name),
        lambda: registry.directory(name, "v1"),
        lambda: registry.directory("gru4rec", name),
        lambda: registry.publish(name, "v1", write),
        lambda: registry.publish("gru4rec", name, write),
    ):
        with pytest.raises(RegistryError, match="is no name of a model or version"):
            call()
    assert not registry.path.exists()


@given(name=st.text())
def test_a_name_that_is_accepted_stays_below_the_registry(name: str) -> None:
    registry = Registry(Path("registry"))
    try:
        registry.directory("gru4rec", name)
    except RegistryError as error:
        if "is no name" not in str(error):
            place = registry.path / "gru4rec" / name
            assert place.parent == registry.path / "gru4rec"
            assert place.name == name
            assert ".." not in place.parts


def test_a_place_that_cannot_be_written_to_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="STREAMREC_REGISTRY__PATH"):
        Registry(tmp_path / "file").publish("gru4rec", "v1", write)


# -- signatures ---------------------------------------------------------------------------------


@pytest.fixture
def unsigned(published: Published, tmp_path: Path) -> Registry:
    """A registry without keys, and a whole version in it."""
    registry = Registry(tmp_path / "registry")
    registry.publish("gru4rec", "v1", lambda place: published.model.export(place, version="v1"))
    return registry


def test_nothing_is_trusted_unless_it_is_said(unsigned: Registry, published: Published) -> None:
    assert not unsigned.is_signed("gru4rec", "v1")
    for read in (unsigned.read, unsigned.digest):
        with pytest.raises(SignatureError, match="no key is trusted"):
            read("gru4rec", "v1")
    manifest, _ = unsigned.read("gru4rec", "v1", signed=False)
    assert manifest.version == "v1"
    assert Registry(unsigned.path, trusted=None).read("gru4rec", "v1")[0] == manifest
    assert published.registry.is_signed("gru4rec", published.version)


def test_a_version_is_signed_where_it_lies(unsigned: Registry, signing_key: Path) -> None:
    public = SigningKey.load(signing_key).public
    registry = Registry(unsigned.path, trusted=[public], signing_key=signing_key)
    with pytest.raises(SignatureError, match="`streamrec models sign v1`"):
        registry.read("gru4rec", "v1")
    assert registry.sign("gru4rec", "v1") == public
    assert registry.is_signed("gru4rec", "v1")
    assert registry.read("gru4rec", "v1") == unsigned.read("gru4rec", "v1", signed=False)
    with pytest.raises(ConfigError, match="STREAMREC_REGISTRY__SIGNING_KEY"):
        unsigned.sign("gru4rec", "v1")


def test_a_key_that_cannot_be_used_publishes_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry", signing_key=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="nowhere"):
        registry.publish("gru4rec", "v1", lambda _: pytest.fail("written without a key to sign with"))


def test_who_publishes_for_workers_needs_a_key_that_they_trust(
    registry: Registry, signing_key: Path, tmp_path: Path
) -> None:
    public = SigningKey.load(signing_key).public
    with pytest.raises(ConfigError, match="no key to sign with"):
        registry.require_trusted_signer()
    with pytest.raises(ConfigError, match=r"is not trusted; .*STREAMREC_REGISTRY__TRUSTED_KEYS"):
        Registry(tmp_path, signing_key=signing_key).require_trusted_signer()
    Registry(tmp_path, trusted=[public], signing_key=signing_key).require_trusted_signer()
    Registry(tmp_path, trusted=None).require_trusted_signer()


def test_the_settings_say_whose_models_are_read(published: Published) -> None:
    path, version = published.registry.path, published.version
    unasked = Settings(registry=RegistrySettings(path=path, require_signature=False))
    assert Registry.of(unasked).read("gru4rec", version)
    with pytest.raises(SignatureError, match="no key is trusted"):
        Registry.of(Settings(registry=RegistrySettings(path=path))).read("gru4rec", version)


def test_a_signed_copy_under_another_name_is_refused(
    published: Published, signing_key: Path, tmp_path: Path
) -> None:
    path = tmp_path / "registry"
    shutil.copytree(published.directory, path / "gru4rec" / "copy")
    registry = Registry(path, trusted=[SigningKey.load(signing_key).public])
    for ask in (registry.read, registry.digest):
        with pytest.raises(
            ArtifactError, match=f"holds gru4rec {published.version}; publish it under its own"
        ):
            ask("gru4rec", "copy")
