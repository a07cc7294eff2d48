"""The files in docs/schemas say what the code does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamrec.errors import RecordError
from streamrec.events import (
    Check,
    Interaction,
    Item,
    ModelRelease,
    Recommendation,
    RecommendedItem,
    ShadowRecommendation,
    Verdict,
    Window,
    decode_interaction,
    encode,
)
from streamrec.schemas import ASYNCAPI_FILE, RECORDS, render_schemas, schema_of, write_schemas

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"

SAMPLES: dict[str, list[msgspec.Struct]] = {
    "interaction": [
        Interaction(event_id="e1", type="view", visitor_id="v1", item_id="i1", time=0),
        Interaction(
            event_id="e2",
            type="rating",
            visitor_id="v1",
            item_id="i1",
            time=1_700_000_000_000,
            session_id="s1",
            value=4.5,
            context={"device": "phone", "slot": 3, "price": 9.5, "new": True, "campaign": None},
            rec_id="r1",
        ),
    ],
    "recommendation": [
        Recommendation(
            rec_id="r1",
            visitor_id="v1",
            session_id="s1",
            event_id="e1",
            items=[RecommendedItem("i1", 0.5, ["gru4rec", "popularity"], "often next")],
            model="gru4rec",
            release="20240101T000000-abc",
            event_time=1,
            emit_time=2,
            input_partition=0,
            input_offset=7,
            candidates={"gru4rec": ["i1"]},
        ),
        Recommendation(
            rec_id="r2",
            visitor_id="v1",
            session_id="s1",
            event_id="e2",
            items=[
                RecommendedItem("i1", 0.5, ["gru4rec"], "often next", "live"),
                RecommendedItem("i2", 0.6, ["gru4rec"], "often next", "challenger"),
            ],
            model="gru4rec",
            release="20240101T000000-abc",
            event_time=1,
            emit_time=2,
            input_partition=0,
            input_offset=8,
            challenger="20240102T000000-abc",
        ),
    ],
    "shadow-recommendation": [
        ShadowRecommendation(
            rec_id="r1",
            visitor_id="v1",
            session_id="s1",
            event_id="e1",
            items=[RecommendedItem("i1", 0.5, ["gru4rec", "popularity"], "often next")],
            model="gru4rec",
            release="20240102T000000-abc",
            shown=["i2", "i1"],
            shown_release="20240101T000000-abc",
            event_time=1,
            emit_time=2,
            input_partition=0,
            input_offset=7,
        )
    ],
    "item": [
        Item(item_id="i1"),
        Item(
            item_id="i2",
            available=False,
            title="A lamp",
            tags=["red"],
            categories=["home"],
            price=9.5,
            time=1,
        ),
    ],
    "model-release": [
        ModelRelease(model="gru4rec", slot="live", version="v1", sequence=1, digest="0" * 64, time=1)
    ],
    "verdict": [
        Verdict(
            model="gru4rec",
            version="v2",
            outcome="refused",
            checks=[Check(name="size", passed=False, text="too large", value=2.5, bound=2.0)],
            window=Window(sessions=1000, clicks=4000, digest="0" * 64, first=1, last=2),
            rules="0" * 64,
            time=1,
            against="v1",
        )
    ],
}


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def _at(document: Any, pointer: str) -> Any:
    for part in pointer.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def test_the_files_are_those_that_the_code_gives() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert found == render_schemas(), "run `streamrec topics schemas` and commit docs/schemas"


def test_writing_them_makes_the_folder(tmp_path: Path) -> None:
    paths = write_schemas(tmp_path / "new" / "folder")
    assert {path.name: path.read_text(encoding="utf-8") for path in paths} == render_schemas()


@pytest.mark.parametrize("name", RECORDS)
def test_schemas_are_valid_and_complete_in_themselves(name: str) -> None:
    schema = schema_of(RECORDS[name])
    Draft202012Validator.check_schema(schema)
    for ref in _refs(schema):
        assert _at(schema, ref)


@pytest.mark.parametrize(("name", "record"), [(name, each) for name in SAMPLES for each in SAMPLES[name]])
def test_sample_records_validate(name: str, record: msgspec.Struct) -> None:
    Draft202012Validator(schema_of(RECORDS[name])).validate(json.loads(encode(record)))


def test_every_record_type_has_a_sample() -> None:
    assert SAMPLES.keys() == RECORDS.keys()


_values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2) | st.just([]) | st.just({})
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["event_id", "type", "visitor_id", "item_id", "session_id", "value", "context", "schema"]
        ),
        _values,
        min_size=1,
    )
)
def test_the_schema_takes_what_the_decoder_takes(fields: dict[str, Any]) -> None:
    record = {"event_id": "e", "type": "view", "visitor_id": "v", "item_id": "i", "time": 1, **fields}
    valid = Draft202012Validator(schema_of(Interaction)).is_valid(record)
    try:
        decode_interaction(json.dumps(record).encode())
    except RecordError:
        assert not valid
    else:
        assert valid


def test_asyncapi_names_every_topic_that_apps_see_and_every_reference_resolves() -> None:
    files = render_schemas()
    document = json.loads(files[ASYNCAPI_FILE])
    assert {channel["address"] for channel in document["channels"].values()} == {
        f"streamrec.{name}"
        for name in (
            *("interactions", "recommendations", "shadow-recommendations"),
            *("items", "models", "dead-letters"),
        )
    }
    assert document["operations"].keys() == document["channels"].keys()
    refs = list(_refs(document))
    assert {ref.removeprefix("./") for ref in refs if ref.startswith("./")} == files.keys() - {ASYNCAPI_FILE}
    for ref in refs:
        assert ref.startswith("./") or _at(document, ref)


def test_asyncapi_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render_schemas()
    monkeypatch.setenv("STREAMREC_KAFKA__PREFIX", "mine.")
    monkeypatch.setenv("STREAMREC_KAFKA__PARTITIONS", "99")
    assert render_schemas() == before
