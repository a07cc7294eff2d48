"""How every topic has to be, given the settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.config import SESSION_SOURCES, Settings, load_settings
from streamrec.engine.log import MAX_BATCH_BYTES
from streamrec.errors import ConfigError
from streamrec.events import Recommendation, RecommendedItem, encode
from streamrec.topics import Problem, TopicSpec, topic_specs

VISITOR_TOPICS = (
    *("interactions", "visitor-states", "recommendations", "shadow-recommendations"),
    "dead-letters",
)


def _settings(**kafka: object) -> Settings:
    return load_settings(kafka=kafka)


def _by_name(settings: Settings) -> dict[str, TopicSpec]:
    return {spec.name.removeprefix(settings.kafka.prefix): spec for spec in topic_specs(settings)}


@given(partitions=st.integers(1, 64), prefix=st.sampled_from(["", "streamrec.", "shop-"]))
def test_topics_of_visitors_are_cut_alike_and_broadcast_ones_are_whole(partitions: int, prefix: str) -> None:
    specs = _by_name(_settings(partitions=partitions, prefix=prefix))
    assert {name: spec.partitions for name, spec in specs.items()} == {
        **dict.fromkeys(VISITOR_TOPICS, partitions),
        "items": 1,
        "models": 1,
    }
    assert all(spec.name == prefix + name for name, spec in specs.items())


def test_only_events_are_deleted_by_age_and_all_state_is_compacted() -> None:
    specs = _by_name(load_settings())
    policies = {name: spec.config["cleanup.policy"] for name, spec in specs.items()}
    assert policies == {
        "interactions": "delete",
        "recommendations": "delete",
        "shadow-recommendations": "delete",
        "dead-letters": "delete",
        "visitor-states": "compact",
        "items": "compact",
        "models": "compact",
    }
    for name, policy in policies.items():
        assert ("retention.ms" in specs[name].defaults) == (policy == "delete")


def test_rows_are_kept_for_the_compaction_lag_and_fit_in_one_append() -> None:
    states = _by_name(_settings(compaction_lag_s=120))["visitor-states"]
    assert states.config["min.compaction.lag.ms"] == "120000"
    assert int(states.config["max.message.bytes"]) == 16 * 1024 * 1024
    assert int(states.defaults["segment.bytes"]) > int(states.config["max.message.bytes"])


def test_what_workers_write_has_the_brokers_time_and_interactions_have_their_own() -> None:
    specs = _by_name(load_settings())
    kinds = {name: specs[name].config["message.timestamp.type"] for name in VISITOR_TOPICS}
    assert kinds == {**dict.fromkeys(VISITOR_TOPICS, "LogAppendTime"), "interactions": "CreateTime"}


def test_a_dead_letter_has_room_for_the_largest_interaction_and_its_headers() -> None:
    specs = _by_name(load_settings())
    largest = int(specs["interactions"].config["max.message.bytes"])
    assert int(specs["dead-letters"].config["max.message.bytes"]) >= largest + 64 * 1024
    assert largest > load_settings().state.max_event_bytes


def test_the_longest_list_that_settings_allow_fits_a_record() -> None:
    widest = "\0"  # six bytes of JSON
    item_id, title = widest * 256, widest * 1024
    sources = ["gru4rec", "online_mf", "popularity", *SESSION_SOURCES]
    with pytest.raises(ConfigError, match=r"SCORING__K: .* less than or equal to 500"):
        load_settings(scoring={"k": 501})
    place = RecommendedItem(item_id, -1 / 3e300, sources, f"visitors who viewed {title} also viewed it")
    longest = Recommendation(
        rec_id="-" * 36,
        visitor_id=item_id,
        session_id=item_id,
        event_id=item_id,
        items=[place] * 500,
        model="gru4rec",
        release=item_id,
        event_time=10**15,
        emit_time=10**15,
        input_partition=10**9,
        input_offset=10**18,
        candidates={source: [item_id] * 500 for source in sources},
    )
    allowed = int(_by_name(load_settings())["recommendations"].config["max.message.bytes"])
    assert len(encode(longest)) + 4096 < min(allowed, MAX_BATCH_BYTES)


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_copy_may_be_down(replication: int, in_sync: str) -> None:
    for spec in topic_specs(_settings(replication=replication)):
        assert spec.replication == replication
        assert spec.config["min.insync.replicas"] == in_sync


def test_nothing_is_both_required_and_the_operators_choice() -> None:
    for spec in topic_specs(load_settings()):
        assert not spec.config.keys() & spec.defaults.keys()


def test_a_problem_reads_as_a_sentence() -> None:
    problem = Problem("t", "partitions", "2", "4", "set it")
    assert str(problem) == "t: partitions is 2, has to be 4; set it"
