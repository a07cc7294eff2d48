"""Workers that are killed and stopped: rows and lists are those of an undisturbed run."""

import signal

import msgspec
import pytest
from app_processes import last, publish, read
from bench import Bench

from streamrec.datasets import bundled_clicks
from streamrec.events import Item, encode
from streamrec.state.rows import WATERMARK_KEY, decode_watermark

KILLED = -signal.SIGKILL
# As many sessions are kept as a few hundred clicks bring to their end.
SESSION_SOURCES = {
    "state": {"recent_sessions": 50},
    "scoring": {
        "weights": {"gru4rec": 1, "online_mf": 0.5, "popularity": 0.15, "vmis_knn": 0.5, "markov": 0.2}
    },
}


def run(bench: Bench, kills: int, *roles: str, per_s: float = 200.0) -> None:
    """Kill workers of these roles, `kills` times, all at once, at random moments of steady traffic."""
    with bench.system() as system:
        workers = {each: system.start(each) for each in ("state", "scoring")}
        with system.traffic(per_s):
            system.wait_until_flowing()
            for _ in range(kills):
                system.pause(0.1, 2)
                system.fault()
                for role in roles:
                    workers[role].kill()
                system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits.count(KILLED) == kills * len(roles)
    if "scoring" not in roles:
        assert verdict.repeats == 0


@pytest.mark.chaos
def test_state_killed_ten_times(bench: Bench) -> None:
    run(bench, 10, "state")


@pytest.mark.chaos
def test_scoring_killed_ten_times(bench: Bench) -> None:
    run(bench, 10, "scoring")


def test_state_and_scoring_killed_at_once_with_a_catalogue(bench: Bench) -> None:
    """Items are published before the traffic: every list sees the same ones."""
    ids = sorted(set(bundled_clicks().item_ids))
    hidden = set(ids[::7])
    items = [
        Item(item_id=each, title=f"Title {n}", available=each not in hidden) for n, each in enumerate(ids)
    ]
    publish(bench.settings, "items", [(each.item_id.encode(), encode(each)) for each in items])
    run(bench, 2, "state", "scoring")
    lists = [msgspec.json.decode(each.value) for each in read(bench.settings, "recommendations")]
    shown = [place for each in lists for place in each["items"]]
    assert not hidden & {place["item_id"] for place in shown}
    assert any("Title" in place["reason"] for place in shown)


@pytest.mark.parametrize("bench", [SESSION_SOURCES], indirect=True)
def test_state_and_scoring_killed_at_once_with_sources_that_learn_from_sessions(bench: Bench) -> None:
    run(bench, 2, "state", "scoring")
    kept = [
        decode_watermark(each.value).n_sessions
        for each in last(bench.settings, "visitor-states", WATERMARK_KEY).values()
    ]
    assert max(kept) > bench.settings.state.recent_sessions, "the ring goes round"


def test_stopped_under_load(bench: Bench) -> None:
    """SIGTERM ends both within ten seconds and with exit code 0; nothing is sent twice."""
    with bench.system() as system:
        with system.traffic(per_s=1000):
            for _ in range(2):
                workers = [system.start(role) for role in ("state", "scoring")]
                system.wait_until_flowing()
                system.fault()
                for each in workers:
                    code, seconds = each.stop()
                    assert code == 0, each.log[-3000:]
                    assert seconds < 10
        for role in ("state", "scoring"):
            system.start(role)
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits == [0] * 6
    assert verdict.repeats == 0


FAILPOINTS = [
    ("state", "before-write"),
    ("state", "sent"),
    ("state", "acknowledged"),
    ("state", "before-commit"),
    ("scoring", "before-write"),
    ("scoring", "sent"),
    ("scoring", "acknowledged"),
    ("scoring", "before-commit"),
]


def run_failpoint(bench: Bench, role: str, fault: str) -> None:
    times = bench.random.randint(5, 30)
    with bench.system() as system:
        for each in ("state", "scoring"):
            system.start(each, [f"{fault} {times}"] if each == role else ())
        system.fault()
        with system.traffic():
            system.wait(lambda: KILLED in [code for each in system.workers for code in each.exits])
            system.wait_until_flowing()
        system.settle()
        system.stop()
        verdict = bench.judge(system)
    verdict.check()
    assert verdict.exits.count(KILLED) == 1
    if role == "state":  # the lists of batches before may have been sent and not committed
        assert verdict.repeats == 0
    elif fault == "acknowledged":
        assert verdict.repeats > 0


@pytest.mark.chaos
@pytest.mark.parametrize(("role", "fault"), FAILPOINTS, ids=["-".join(each) for each in FAILPOINTS])
def test_killed_at_a_failpoint(bench: Bench, role: str, fault: str) -> None:
    run_failpoint(bench, role, fault)


def test_killed_with_an_append_on_its_way(bench: Bench) -> None:
    run_failpoint(bench, "state", "sent")


def test_killed_with_lists_sent_and_not_committed(bench: Bench) -> None:
    run_failpoint(bench, "scoring", "acknowledged")
