"""Which record goes under which slot when a version is given a role."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.errors import ReleaseError
from streamrec.events import ModelRelease
from streamrec.slots import Slots


class Topic:
    """The slots of a models topic after some changes."""

    def __init__(self) -> None:
        self.held: dict[str, ModelRelease] = {}
        self.sequences: list[int] = []

    def do(self, verb: str, *arguments: object, **options: object) -> None:
        for slot, release in getattr(self.slots, verb)(*arguments, **options):
            self.held.pop(f"gru4rec/{slot}", None)
            if release is not None:
                assert release.slot == slot
                self.held[f"gru4rec/{slot}"] = release
                if slot in ("live", "canary"):
                    self.sequences.append(release.sequence)

    def live(self, version: str, *, automatic: bool = False) -> None:
        self.do("make_live", version, "0" * 64, automatic=automatic)

    def canary(self, version: str, share: float = 0.1, *, automatic: bool = False) -> None:
        self.do("make_canary", version, "0" * 64, share, automatic=automatic)

    @property
    def slots(self) -> Slots:
        other = ModelRelease(model="other", slot="live", version="x", sequence=99, digest="0" * 64, time=0)
        return Slots("gru4rec", {"other/live": other, **self.held})

    @property
    def versions(self) -> dict[str, str]:
        return {key.partition("/")[2]: each.version for key, each in self.held.items()}


def test_what_was_live_becomes_the_previous_one_and_numbers_rise() -> None:
    topic = Topic()
    for version in ("a", "b", "b", "c"):
        topic.live(version)
    assert topic.versions == {"live": "c", "previous": "b"}
    assert topic.sequences == [1, 2, 3, 4]
    assert topic.held["gru4rec/previous"].sequence == 3


def test_a_rollback_makes_the_previous_one_live_and_remembers_what_it_took_back() -> None:
    topic = Topic()
    topic.live("a")
    topic.live("b")
    topic.do("roll_back", "worse")
    assert topic.versions == {"live": "a", "previous": "b", "rolled-back:b": "b"}
    assert topic.sequences == [1, 2, 3]
    assert topic.held["gru4rec/rolled-back:b"].reason == "worse"
    with pytest.raises(ReleaseError, match=r"before a there was b, which was rolled back \(worse\)"):
        topic.do("roll_back", "again")
    with pytest.raises(ReleaseError, match=r"b was rolled back \(worse\); `streamrec models release b`"):
        topic.live("b", automatic=True)
    with pytest.raises(ReleaseError, match="b was rolled back"):
        topic.canary("b", automatic=True)
    topic.live("c", automatic=True)
    topic.live("b")
    assert topic.versions == {"live": "b", "previous": "c"}


def test_a_pinned_version_is_replaced_by_hand_only() -> None:
    topic = Topic()
    topic.live("a")
    topic.live("b")
    topic.do("pin", True)
    assert (topic.held["gru4rec/live"].pinned, topic.sequences) == (True, [1, 2, 3])
    for replace in (
        lambda: topic.live("c", automatic=True),
        lambda: topic.do("roll_back", "", automatic=True),
    ):
        with pytest.raises(ReleaseError, match="b is pinned: it is replaced by hand only"):
            replace()
    topic.do("pin", False)
    topic.live("c", automatic=True)
    topic.do("pin", True)
    topic.do("roll_back", "by hand")
    assert topic.versions == {"live": "b", "previous": "c", "rolled-back:c": "c"}
    assert not any(each.pinned for each in topic.held.values())


def test_a_canary_grows_is_promoted_or_ended() -> None:
    topic = Topic()
    with pytest.raises(ReleaseError, match="no version of gru4rec is live"):
        topic.canary("b")
    topic.live("a")
    with pytest.raises(ReleaseError, match="a is live: as a canary"):
        topic.canary("a")
    with pytest.raises(ReleaseError, match="there is no canary"):
        topic.do("promote")
    topic.canary("b", 0.1)
    topic.canary("b", 0.5)
    assert (topic.held["gru4rec/canary"].share, topic.sequences) == (0.5, [1, 2, 3])
    topic.do("promote")
    assert topic.versions == {"live": "b", "previous": "a"}
    assert topic.held["gru4rec/live"].share is None
    topic.canary("c")
    topic.do("end_canary")
    assert topic.versions == {"live": "b", "previous": "a"}
    topic.canary("c")
    assert topic.sequences == [1, 2, 3, 4, 5, 6, 7]
    topic.live("d")
    assert topic.versions == {"live": "d", "previous": "b", "canary": "c"}
    with pytest.raises(ReleaseError, match="x is not the canary any more, c is"):
        topic.do("end_canary", only="x")
    topic.do("end_canary", reason="bad", only="c")
    assert topic.versions == {"live": "d", "previous": "b", "rolled-back:c": "c"}


def test_the_version_that_is_live_again_is_no_canary_any_more() -> None:
    topic = Topic()
    for version in ("a", "b"):
        topic.live(version)
    topic.canary("a")
    topic.do("roll_back", "worse")
    assert topic.versions == {"live": "a", "previous": "b", "rolled-back:b": "b"}


def test_nothing_to_go_back_to() -> None:
    topic = Topic()
    with pytest.raises(ReleaseError, match="no version of gru4rec is live"):
        topic.do("roll_back", "")
    topic.live("a")
    with pytest.raises(ReleaseError, match="a is live and none was before it"):
        topic.do("roll_back", "")
    topic.live("b")
    with pytest.raises(ReleaseError, match="a is not live any more, b is"):
        topic.do("roll_back", "", only="a")


VERBS = st.sampled_from(["live", "canary", "promote", "end_canary", "roll_back", "pin", "unpin"])


@given(st.lists(st.tuples(VERBS, st.sampled_from("abc"), st.booleans()), max_size=25))
def test_whatever_is_done_roles_exclude_each_other_and_numbers_rise(
    steps: list[tuple[str, str, bool]],
) -> None:
    topic = Topic()
    for verb, version, automatic in steps:
        before = dict(topic.held)
        try:
            if verb in ("live", "canary"):
                getattr(topic, verb)(version, automatic=automatic)
            elif verb == "roll_back":
                topic.do(verb, "reason", automatic=automatic)
            elif verb in ("pin", "unpin"):
                topic.do("pin", verb == "pin")
            else:
                topic.do(verb)
        except ReleaseError:
            assert topic.held == before
            continue
        live, pinned = topic.versions["live"], before.get("gru4rec/live")
        assert topic.versions.get("canary") != live
        assert topic.versions.get("previous") != live
        assert f"rolled-back:{live}" not in topic.versions
        if automatic and pinned is not None and pinned.pinned and verb in ("live", "roll_back"):
            raise AssertionError("a pinned version was replaced")
    assert topic.sequences == sorted(set(topic.sequences))
