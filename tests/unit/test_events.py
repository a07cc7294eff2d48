"""Records: what goes in comes out, and nothing that is not a record gets in."""

import contextlib
import json
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.errors import RecordError
from streamrec.events import (
    MAX_ITEM_BYTES,
    MAX_RELEASE_BYTES,
    MAX_VERDICT_BYTES,
    Check,
    Interaction,
    Item,
    ModelRelease,
    Verdict,
    Window,
    decode_interaction,
    decode_item,
    decode_release,
    decode_verdict,
    encode,
    recommendation_id,
)

_FIELDS = {"event_id": '"e"', "type": '"view"', "visitor_id": '"v"', "item_id": '"i"', "time": "1"}
_DEEP = 10_000
_HUGE = "9" * 5_000


def _json(**fields: str) -> bytes:
    """A record whose fields are given as JSON text."""
    return ("{" + ",".join(f'"{name}":{text}' for name, text in {**_FIELDS, **fields}.items()) + "}").encode()


def _without(name: str) -> bytes:
    return ("{" + ",".join(f'"{key}":{text}' for key, text in _FIELDS.items() if key != name) + "}").encode()


UNDECODABLE = {
    "nothing": b"",
    "not JSON": b"view of i by v",
    "cut off": _json()[:-1],
    "something after it": _json() + b"x",
    "not UTF-8": _json(visitor_id='"?"').replace(b"?", b"\xff"),
    "UTF-16": _json().decode().encode("utf-16"),
    "NaN": _json(value="NaN"),
    "Infinity": _json(value="-Infinity"),
    "a lone high surrogate": _json(visitor_id='"\\ud800"'),
    "a lone low surrogate in the context": _json(context='{"a":"\\udc00"}'),
    "a lone surrogate as raw bytes": _json(visitor_id='"?"').replace(b"?", b"\xed\xa0\x80"),
    "a bare line break": _json(visitor_id='"a\nb"'),
    "unknown arrays too deep": _json(unknown="[" * _DEEP + "]" * _DEEP),
    "unknown objects too deep": _json(unknown='{"a":' * _DEEP + "1" + "}" * _DEEP),
    "too deep and never closed": b'{"a":' * _DEEP,
}

INVALID = {
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a list too deep": b"[" * _DEEP + b"]" * _DEEP,
    **{f"no {name}": _without(name) for name in _FIELDS},
    **{f"{name} null": _json(**{name: "null"}) for name in _FIELDS},
    "type a number": _json(type="1"),
    "type empty": _json(type='""'),
    "visitor_id empty": _json(visitor_id='""'),
    "visitor_id a list": _json(visitor_id='["v"]'),
    "item_id too long": _json(item_id=json.dumps("i" * 257)),
    "event_id too long": _json(event_id=json.dumps("e" * 100_000)),
    "session_id empty": _json(session_id='""'),
    "time text": _json(time='"1"'),
    "time true": _json(time="true"),
    "time with a fraction": _json(time="1.5"),
    "time negative": _json(time="-1"),
    "time in nanoseconds": _json(time="1700000000000000000"),
    "time beyond 64 bits": _json(time=str(2**64)),
    "time huge": _json(time=_HUGE),
    "value text": _json(value='"1"'),
    "value huge": _json(value=_HUGE),
    "value beyond a float": _json(value="1e400"),
    "context a list": _json(context="[]"),
    "context too deep": _json(context="[" * _DEEP + "]" * _DEEP),
    "context's value too deep": _json(context='{"a":' + "[" * _DEEP + "]" * _DEEP + "}"),
    "context's value an object": _json(context='{"a":{}}'),
    "context's value beyond 64 bits": _json(context=f'{{"a":{2**63}}}'),
    "context's value huge": _json(context=f'{{"a":-{_HUGE}}}'),
    "context with too many keys": _json(context=json.dumps(dict.fromkeys(map(str, range(33))))),
    "context's key too long": _json(context=json.dumps({"k" * 65: 1})),
    "another schema": _json(schema="2"),
    "a repeated field that is wrong the first time": b'{"time":"x",' + _json()[1:],
}


@pytest.mark.parametrize("value", UNDECODABLE.values(), ids=UNDECODABLE.keys())
def test_what_is_no_json_is_undecodable(value: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        decode_interaction(value)
    assert caught.value.reason == "undecodable"
    assert 0 < len(str(caught.value)) < 200


@pytest.mark.parametrize("value", INVALID.values(), ids=INVALID.keys())
def test_json_that_breaks_the_schema_is_invalid(value: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        decode_interaction(value)
    assert caught.value.reason == "invalid"
    assert 0 < len(str(caught.value)) < 200


def test_depth_is_bounded_however_deep_the_caller_is() -> None:
    def descend(levels: int) -> str:
        if levels:
            return descend(levels - 1)
        with pytest.raises(RecordError) as caught:
            decode_interaction(UNDECODABLE["unknown arrays too deep"])
        return caught.value.reason

    assert descend(300) == "undecodable"


ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (_json(), {}),
    "a whole value": (_json(value="5"), {"value": 5.0}),
    "a large value": (_json(value="1e308"), {"value": 1e308}),
    "optional fields null": (_json(session_id="null", value="null", context="null", rec_id="null"), {}),
    "a surrogate pair": (_json(visitor_id='"\\ud83d\\ude00"'), {"visitor_id": "😀"}),
    "the longest id": (
        _json(visitor_id=json.dumps("é" * 256, ensure_ascii=False)),
        {"visitor_id": "é" * 256},
    ),
    "a context": (
        _json(context=f'{{"a":{-(2**63)},"b":1.5,"c":true,"d":null,"e":""}}'),
        {"context": {"a": -(2**63), "b": 1.5, "c": True, "d": None, "e": ""}},
    ),
    "unknown fields, which are ignored": (_json(unknown='{"a":[1,{"b":null}]}'), {}),
    "a repeated field, of which the last counts": (b'{"visitor_id":"another",' + _json()[1:], {}),
    "space around it": (b" \n" + _json() + b"\t", {}),
}


@pytest.mark.parametrize(("value", "expected"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_is_accepted(value: bytes, expected: dict[str, Any]) -> None:
    plain = {"event_id": "e", "type": "view", "visitor_id": "v", "item_id": "i", "time": 1}
    assert decode_interaction(value) == Interaction(**{**plain, **expected})


# Without surrogates: they are no characters, and UTF-8 has no bytes for them.
_characters = st.characters(codec="utf-8")
_ids = st.text(_characters, min_size=1, max_size=256)
_labels = st.text(_characters, min_size=1, max_size=64)
_times = st.integers(0, 253_402_300_799_000)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _numbers | st.text(_characters)

interactions = st.builds(
    Interaction,
    event_id=_ids,
    type=_labels,
    visitor_id=_ids,
    item_id=_ids,
    time=_times,
    session_id=st.none() | _ids,
    value=st.none() | _numbers,
    context=st.none() | st.dictionaries(_labels, _scalars, max_size=32),
    rec_id=st.none() | _ids,
    schema=st.just(1),
)
items = st.builds(
    Item,
    item_id=_ids,
    available=st.booleans(),
    title=st.none() | st.text(_characters, max_size=1024),
    text=st.none() | st.text(_characters),
    tags=st.lists(_labels, max_size=8),
    categories=st.lists(_labels, max_size=8),
    price=st.none() | _numbers,
    time=st.none() | _times,
    schema=st.just(1),
)
releases = st.builds(
    ModelRelease,
    model=_labels,
    slot=_labels,
    version=_ids,
    sequence=st.integers(1, 2**63 - 1),
    digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    time=_times,
    schema=st.just(1),
)
_digests = st.text("0123456789abcdef", min_size=64, max_size=64)
_counts = st.integers(0, 2**63 - 1)
_checks = st.builds(
    Check,
    name=_labels,
    passed=st.booleans(),
    text=st.text(_characters, max_size=2048),
    **{
        name: st.none() | _numbers.map(float)
        for name in ("value", "bound", "candidate", "live", "low", "high")
    },
)
verdicts = st.builds(
    Verdict,
    model=_labels,
    version=_ids,
    outcome=st.sampled_from(["passed", "refused", "undecided"]),
    checks=st.lists(_checks, max_size=4),
    window=st.builds(
        Window,
        sessions=_counts,
        clicks=_counts,
        digest=_digests,
        first=st.none() | _times,
        last=st.none() | _times,
    ),
    rules=_digests,
    time=_times,
    digest=st.none() | _digests,
    against=st.none() | _ids,
    against_digest=st.none() | _digests,
    released=st.none() | _counts,
    note=st.none() | st.text(_characters, max_size=1024),
    schema=st.just(1),
)


@given(interactions)
def test_an_interaction_comes_back_from_its_bytes(event: Interaction) -> None:
    assert decode_interaction(encode(event)) == event
    # Any JSON library may write it.
    assert decode_interaction(json.dumps(msgspec.to_builtins(event)).encode()) == event


@given(items)
def test_an_item_comes_back_from_its_bytes(item: Item) -> None:
    assert decode_item(encode(item)) == item


@given(releases)
def test_a_release_comes_back_from_its_bytes_and_its_key_names_model_and_slot(release: ModelRelease) -> None:
    assert decode_release(encode(release)) == release
    assert release.key.decode() == f"{release.model}/{release.slot}"


@given(verdicts)
def test_a_verdict_comes_back_from_its_bytes_under_a_key_that_no_release_has(verdict: Verdict) -> None:
    assert decode_verdict(encode(verdict)) == verdict
    assert verdict.key.decode() == f"{verdict.model}/verdict:{verdict.version}"
    assert [check.passed for check in verdict.failed] == [False] * len(verdict.failed)


def test_the_largest_verdict_within_its_limits_is_no_oversized_one() -> None:
    # A control character takes six bytes in JSON, as many as any.
    check = Check(name="\x01" * 64, passed=False, text="\x01" * 2048, value=-1e-300, bound=-1e-300)
    window = Window(sessions=2**63 - 1, clicks=2**63 - 1, digest="0" * 64, first=1, last=2)
    verdict = Verdict(
        model="\x01" * 64,
        version="\x01" * 256,
        outcome="undecided",
        checks=[check] * 32,
        window=window,
        rules="0" * 64,
        time=253_402_300_799_000,
        against="\x01" * 256,
        note="\x01" * 1024,
    )
    assert decode_verdict(encode(verdict)) == verdict


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    value = bytearray(encode(draw(interactions)))
    for _ in range(draw(st.integers(1, 3))):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(0, len(value)))])


@given(st.binary(max_size=64) | _damaged())
def test_damaged_bytes_give_an_interaction_or_a_record_error(value: bytes) -> None:
    with contextlib.suppress(RecordError):
        decode_interaction(value).visitor_id.encode()


BAD = {
    "nothing": b"",
    "no fields": b"{}",
    "null": b"null",
    "a list too deep": b"[" * _DEEP,
    "a field too deep": b'{"unknown":' + b"[" * _DEEP,
    "not UTF-8": b'{"item_id":"\xff","model":"\xff"}',
}


@pytest.mark.parametrize(
    "decode", [decode_item, decode_release, decode_verdict], ids=lambda decode: decode.__name__
)
@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_a_bad_item_or_release_is_a_record_error(decode: Any, value: bytes) -> None:
    with pytest.raises(RecordError, match=r"^(item|model release|verdict): ") as caught:
        decode(value)
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize(
    ("decode", "limit"),
    [(decode_item, MAX_ITEM_BYTES), (decode_release, MAX_RELEASE_BYTES), (decode_verdict, MAX_VERDICT_BYTES)],
)
def test_an_oversized_item_or_release_is_refused_before_it_is_decoded(decode: Any, limit: int) -> None:
    for size, reason in ((limit, "invalid"), (limit + 1, "oversized")):
        with pytest.raises(RecordError) as caught:
            decode(b"[" * size)
        assert caught.value.reason == reason
        assert len(str(caught.value)) < 200
    assert str(caught.value).endswith(f"{limit + 1} bytes, {limit} are allowed")


def test_the_largest_item_within_its_limits_is_no_oversized_one() -> None:
    widest = "\U0001f600"
    fields = {
        "item_id": widest * 256,
        "title": widest * 1024,
        "text": widest * 65_536,
        "tags": [widest * 64] * 256,
        "categories": [widest * 64] * 64,
    }
    assert len(encode(decode_item(json.dumps(fields, ensure_ascii=False).encode()))) < MAX_ITEM_BYTES
    with pytest.raises(RecordError, match=r"at `\$\.text`"):
        decode_item(json.dumps({"item_id": "i", "text": "t" * 65_537}).encode())


OUT_OF_RANGE = {
    "an id too long": {"item_id": "i" * 257},
    "an id empty": {"item_id": ""},
    "a title too long": {"title": "t" * 1025},
    "too many tags": {"tags": ["t"] * 257},
    "a tag too long": {"tags": ["t" * 65]},
    "too many categories": {"categories": ["c"] * 65},
    "a time before 1970": {"time": -1},
    "a time in nanoseconds": {"time": 1_700_000_000_000_000_000},
    "a number for a switch": {"available": 1},
    "a price of text": {"price": "1"},
    "another schema": {"schema": 2},
}


@pytest.mark.parametrize("fields", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE.keys())
def test_an_item_out_of_its_limits_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=r"^item: "):
        decode_item(json.dumps({"item_id": "i", **fields}).encode())


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_a_price_that_is_no_finite_number_is_refused(price: str) -> None:
    with pytest.raises(RecordError, match=r"^item: "):
        decode_item(f'{{"item_id":"i","price":{price}}}'.encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": 0},
        {"sequence": 2**64},
        {"version": "v" * 257},
        {"model": "m" * 65},
        {"slot": ""},
        {"time": -1},
        {"schema": 2},
    ],
    ids=str,
)
def test_a_release_out_of_its_limits_is_refused(fields: dict[str, Any]) -> None:
    good = {"model": "m", "slot": "live", "version": "v", "sequence": 1, "digest": "0" * 64, "time": 1}
    decode_release(json.dumps(good).encode())
    with pytest.raises(RecordError, match=r"^model release: "):
        decode_release(json.dumps({**good, **fields}).encode())


@given(
    data=st.data(),
    records=st.sampled_from([(items, decode_item), (releases, decode_release), (verdicts, decode_verdict)]),
)
def test_a_damaged_item_or_release_gives_one_or_a_record_error(data: st.DataObject, records: Any) -> None:
    strategy, decode = records
    value = bytearray(encode(data.draw(strategy)))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RecordError):
        decode(bytes(value[: data.draw(st.integers(0, len(value)))]))


def test_a_releases_digest_is_64_hexadecimal_digits() -> None:
    good = {"model": "m", "slot": "live", "version": "v", "sequence": 1, "digest": "0" * 64, "time": 1}
    assert decode_release(encode(good)).digest == "0" * 64
    for digest in ("0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n"):
        with pytest.raises(RecordError):
            decode_release(encode({**good, "digest": digest}))


@given(st.text(max_size=20), st.integers(0, 99), st.integers(0, 2**63 - 1))
def test_a_recommendations_id_is_a_uuid_of_version_5(topic: str, partition: int, offset: int) -> None:
    namespace = uuid.uuid5(uuid.NAMESPACE_DNS, "recommendations.streamrec")
    expected = str(uuid.uuid5(namespace, f"{topic}/{partition}/{offset}"))
    assert recommendation_id(topic, partition, offset) == expected


def test_a_recommendations_id_follows_from_the_place_of_its_interaction() -> None:
    first = recommendation_id("streamrec.interactions", 0, 7)
    assert first == recommendation_id("streamrec.interactions", 0, 7)
    assert uuid.UUID(first).version == 5
    others = [
        ("streamrec.interactions", 0, 8),
        ("streamrec.interactions", 1, 7),
        ("other.interactions", 0, 7),
    ]
    assert len({first, *(recommendation_id(*place) for place in others)}) == 4
