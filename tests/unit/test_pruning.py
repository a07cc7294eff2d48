"""What is pruned is what nothing names; the rest says why it stays."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_models import Published
from verbs import Run, runner

from streamrec.artifact import MANIFEST, Manifest
from streamrec.pruning import Named, reasons_to_keep
from streamrec.registry import Entry, Registry

DAY_S = 86_400.0


def entries(published: Published, *versions: str, **parents: str) -> list[Entry]:
    manifest, _ = published.registry.read("gru4rec", published.version)
    return [
        Entry("gru4rec", each, manifest.model_copy(update={"parent": parents.get(each)}), signed=True)
        for each in versions
    ]


def reasons(
    held: list[Entry], slots: dict[str, str] | None = None, rows: set[str] | None = None, **options: object
) -> dict[str, str]:
    published_s = {each.version: place * DAY_S for place, each in enumerate(held)}
    given_: dict[str, object] = {"keep": 1, "younger_than_s": 0.0, "now_s": 100 * DAY_S, **options}
    return reasons_to_keep(held, published_s, Named(slots or {}, rows or set()), **given_)


def test_old_versions_that_nothing_names_may_go(published: Published) -> None:
    found = reasons(entries(published, "a", "b", "c", "d"), keep=2)
    assert found == {"a": "", "b": "", "c": "one of the newest 2", "d": "one of the newest 2"}


@pytest.mark.parametrize("slot", ["live", "previous", "canary", "challenger", "shadow:a"])
def test_what_a_slot_names_stays_however_old(published: Published, slot: str) -> None:
    assert reasons(entries(published, "a", "b", "c"), {slot: "a"}) == {
        "a": slot,
        "b": "",
        "c": "one of the newest 1",
    }


def test_what_a_row_names_that_has_no_list_stays(published: Published) -> None:
    assert reasons(entries(published, "a", "b", "c"), rows={"b"})["b"] == "named by rows without a list yet"


def test_what_is_young_stays(published: Published) -> None:
    found = reasons(entries(published, "a", "b", "c"), younger_than_s=99.5 * DAY_S)
    assert [found[each] for each in "ab"] == ["", "too young"]


def test_the_parent_of_a_kept_version_stays_but_not_the_parents_parent(published: Published) -> None:
    held = entries(published, "a", "b", "c", b="a", c="b")
    assert reasons(held) == {"a": "", "b": "c went on from it", "c": "one of the newest 1"}
    assert reasons(held, parents=False)["b"] == ""


def test_the_parent_of_what_goes_goes_too(published: Published) -> None:
    held = entries(published, "a", "b", "c", b="a")
    assert reasons(held) == {"a": "", "b": "", "c": "one of the newest 1"}


def test_a_version_that_cannot_be_read_is_old_like_others() -> None:
    held = [Entry("gru4rec", each, None, signed=False, fault="damaged") for each in "ab"]
    assert reasons(held) == {"a": "", "b": "one of the newest 1"}


VERSIONS = [f"v{n}" for n in range(8)]


@given(
    slots=st.dictionaries(st.sampled_from(["live", "previous", "canary"]), st.sampled_from(VERSIONS)),
    rows=st.sets(st.sampled_from(VERSIONS)),
    keep=st.integers(1, 10),
    parents=st.dictionaries(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS)),
)
def test_whatever_is_asked_nothing_that_is_named_goes(
    slots: dict[str, str], rows: set[str], keep: int, parents: dict[str, str]
) -> None:
    manifest = Manifest.model_construct(parent=None)
    held = [
        Entry("gru4rec", each, manifest.model_copy(update={"parent": parents.get(each)}), signed=True)
        for each in VERSIONS
    ]
    found = reasons(held, slots, rows, keep=keep)
    gone = {each for each, why in found.items() if not why}
    must_stay = {*slots.values(), *rows, *VERSIONS[-keep:]}
    assert not gone & must_stay
    assert not gone & {parents[each] for each in must_stay if each in parents}


# -- the verb -----------------------------------------------------------------------------------


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(tmp_path / "registry"))
    monkeypatch.setenv("STREAMREC_REGISTRY__REQUIRE_SIGNATURE", "false")
    monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    return Registry(tmp_path / "registry", trusted=None)


@pytest.fixture
def run(registry: Registry, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb on the registry."""
    return runner(capsys)


@pytest.fixture
def three(registry: Registry, published: Published) -> list[str]:
    versions = ["v1", "v2", "v3"]
    for version in versions:
        registry.publish(
            "gru4rec", version, lambda place, name=version: published.model.export(place, version=name)
        )
    return versions


def test_where_kafka_cannot_be_asked_nothing_is_removed(
    run: Run, registry: Registry, three: list[str]
) -> None:
    code, _, err = run("models", "prune", "--keep", "1", "--older-than", "0")
    assert code == 1
    assert "Nothing is removed: which versions serve" in err
    assert "--force goes without" in err
    assert registry.versions("gru4rec") == three


def test_force_goes_without_and_says_so(run: Run, registry: Registry, three: list[str]) -> None:
    code, out, err = run(
        "models", "prune", "--keep", "1", "--older-than", "0", "--force", "--dry-run", "--json"
    )
    assert code == 0
    assert "Kafka was not asked" in err
    assert [row["version"] for row in json.loads(out) if row["kept"] is None] == ["v1", "v2"]
    assert registry.versions("gru4rec") == three
    code, out, _ = run("models", "prune", "--keep", "1", "--older-than", "0", "--force")
    assert code == 0
    assert "kept: one of the newest 1" in out
    assert registry.versions("gru4rec") == ["v3"]
    assert [path.name for path in (registry.path / "gru4rec").iterdir()] == ["v3"]


def test_what_is_younger_than_a_day_stays_unless_told(run: Run, registry: Registry, three: list[str]) -> None:
    code, out, _ = run("models", "prune", "--keep", "1", "--force")
    assert code == 0
    assert "too young" in out
    assert registry.versions("gru4rec") == three


def test_verify_all_goes_through_every_version_and_fails_if_one_does(
    run: Run, registry: Registry, three: list[str]
) -> None:
    code, out, _ = run("models", "verify", "--all", "--json")
    assert code == 0
    assert [row["version"] for row in json.loads(out)] == three
    (registry.directory("gru4rec", "v2") / "bias.npy").write_bytes(b"")
    code, out, _ = run("models", "verify", "--all")
    assert code == 1
    assert "bias.npy: 0 bytes" in out
    assert out.count("whole") == 2
    (registry.directory("gru4rec", "v1") / MANIFEST).write_text("{")
    code, out, _ = run("models", "verify", "--all", "--json")
    assert code == 1
    assert ["fault" in row for row in json.loads(out)] == [True, True, False]
