"""Shadows and a challenger on a real broker: what is shown stays what it was, clicks tell who is better."""

import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from app_processes import App, click, committed, forget, publish, read, running
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner
from verbs import under

from streamrec.cli import app as cli
from streamrec.config import Settings
from streamrec.contracts import TrainOptions
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.evaluation.teams import Pair
from streamrec.interleaving import in_share
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.preferences import read_preferences
from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.trials import challenge, end_shadow, shadow

CONTEST = {
    "contest": {"shadow_share": 1.0},
    "evaluation": {"cutoffs": [20]},
    "kafka": {"commit_interval_s": 0.1, "session_timeout_s": 6},
}
contest = pytest.mark.parametrize("settings", [CONTEST], indirect=True)


@pytest.fixture
def versions(settings: Settings) -> tuple[str, str]:
    """Two small models of other weights; the first is live."""
    names = []
    for seed in range(2):
        config = GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64)
        model = GRU4Rec(config)
        model.train(itertools.islice(click_sessions(bundled_clicks()), 500), TrainOptions(seed=seed))
        names.append(model.publish(Registry.of(settings)))
    announce(settings, "gru4rec", names[0])
    return names[0], names[1]


def real_clicks(first: int, n: int) -> list[tuple[bytes, bytes]]:
    clicks = bundled_clicks()
    now = time.time_ns() // 1_000_000 - n
    return [
        click(clicks.session_ids[place], clicks.item_ids[place], f"event-{place}", now + place - first)
        for place in range(first, first + n)
    ]


def bodies(settings: Settings, topic: str, n: int) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in read(settings, topic, n)]


def gauge(app: App, name: str) -> dict[tuple[str, ...], float]:
    """What /metrics says, by label values in the order of the labels' names."""
    families = {family.name: family for family in text_string_to_metric_families(app.page("metrics")[1])}
    return {
        tuple(value for _, value in sorted(each.labels.items())): each.value
        for each in families[name].samples
    }


def timeless(body: dict[str, Any]) -> bytes:
    return json.dumps({**body, "emit_time": 0}).encode()


@contest
def test_lists_are_the_same_bytes_beside_shadows_and_a_broken_shadow_is_refused(
    settings: Settings, versions: tuple[str, str], tmp_path: Path
) -> None:
    live, other = versions
    clicks = real_clicks(0, 150)
    with running("state", settings, tmp_path) as state, running("scoring", settings, tmp_path) as scoring:
        publish(settings, "interactions", clicks)
        alone = bodies(settings, "recommendations", 150)
        assert state.stop() == scoring.stop() == 0
    forget(settings)
    shadow(settings, "gru4rec", other)
    # Announced, and damaged afterwards.
    registry = Registry.of(settings)
    broken = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    broken.train(itertools.islice(click_sessions(bundled_clicks()), 100))
    damaged = broken.publish(registry)
    shadow(settings, "gru4rec", damaged)
    file = registry.directory("gru4rec", damaged) / "step.onnx"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path) as scoring:
        both = bodies(settings, "recommendations", 300)
        shadows = bodies(settings, "shadow-recommendations", 150)
        assert gauge(scoring, "streamrec_contenders_refused")["load",] == 1
        assert gauge(scoring, "streamrec_contender_info") == {("shadow", other): 1.0}
        assert sum(gauge(scoring, "streamrec_shadow_lists_dropped").values()) == 0
        end_shadow(settings, "gru4rec", other)
        scoring.wait(lambda: not gauge(scoring, "streamrec_contender_info"))
    first = {each["rec_id"]: timeless(each) for each in alone}
    beside = Counter((each["rec_id"], timeless(each)) for each in both)
    assert beside == dict.fromkeys(first.items(), 2), "byte for byte"
    shown = {each["rec_id"]: each for each in alone}
    assert {each["rec_id"] for each in shadows} == shown.keys()
    for each in shadows:
        assert (each["release"], each["shown_release"]) == (other, live)
        assert each["shown"] == [item["item_id"] for item in shown[each["rec_id"]]["items"]]
    assert any([item["item_id"] for item in each["items"]] != each["shown"] for each in shadows)


@contest
def test_clicks_on_interleaved_lists_are_credited_and_shadows_stand_beside_live(
    settings: Settings, versions: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other = versions
    challenge(settings, "gru4rec", other, 0.5)
    shadow(settings, "gru4rec", other)
    with (
        running("state", settings, tmp_path),
        running("scoring", settings, tmp_path),
        running("evaluation", settings, tmp_path) as evaluation,
    ):
        publish(settings, "interactions", real_clicks(0, 300))
        lists = bodies(settings, "recommendations", 300)
        assert len(bodies(settings, "shadow-recommendations", 300)) == 300
        interleaved = [each for each in lists if "challenger" in each]
        for each in lists:
            chosen = in_share(each["visitor_id"], 0.5, f"challenger/{other}")
            assert ("challenger" in each) == chosen
            assert each["release"] == live
            assert {item.get("team") for item in each["items"]} == (
                {"live", "challenger"} if chosen else {None}
            )
        # Visitors of interleaved lists click an item of the challenger's, one of three one of live's.
        newest = {each["visitor_id"]: each for each in interleaved}
        answers = []
        for n, (visitor_id, each) in enumerate(newest.items()):
            team = "live" if n % 3 == 0 else "challenger"
            item = next(item["item_id"] for item in each["items"] if item["team"] == team)
            key, value = click(visitor_id, item, f"credited-{n}", time.time_ns() // 1_000_000)
            answers.append((key, json.dumps({**json.loads(value), "rec_id": each["rec_id"]}).encode()))
        publish(settings, "interactions", answers)
        total = 300 + len(answers)
        bodies(settings, "recommendations", total)
        bodies(settings, "shadow-recommendations", total)
        # One more click of anybody lets what came before be judged, in every partition.
        last = [click(f"last-{n}", "x", f"last-{n}", time.time_ns() // 1_000_000) for n in range(20)]
        publish(settings, "interactions", last)
        bodies(settings, "shadow-recommendations", total + 20)
        evaluation.wait(lambda: (lambda a, b: sum(b.values()) == total + 20 and a == b)(*_progress(settings)))
        publish(
            settings,
            "interactions",
            [click(f"z-{n}", "x", f"z-{n}", 1 + int(time.time() * 1e3)) for n in range(20)],
        )
        bodies(settings, "shadow-recommendations", total + 40)
        evaluation.wait(lambda: (lambda a, b: sum(b.values()) == total + 40 and a == b)(*_progress(settings)))
        found = read_preferences(settings)[Pair(live, other)]
        assert gauge(evaluation, "streamrec_interleaving_lists") == {
            key: n
            for key, n in {
                (other, "challenger", live): found.preference.wins,
                (other, "live", live): found.preference.losses,
                (other, "tie", live): found.preference.ties,
            }.items()
            if n or key in gauge(evaluation, "streamrec_interleaving_lists")
        }
        recall = gauge(evaluation, "streamrec_shadow_recall")
        assert set(recall) == {("20", "live", other), ("20", "shadow", other)}
        assert gauge(evaluation, "streamrec_shadow_clicks")[other,] > 100
        ignored = gauge(evaluation, "streamrec_online_ignored_lists")
        assert ignored["interleaved",] > 0
    named = read_preferences(settings, named_only=True)[Pair(live, other)]
    assert named.clicks == named.named == found.named == len(answers)
    assert named.preference.losses == len(range(0, len(answers), 3))
    assert named.preference.wins == len(answers) - named.preference.losses
    under(settings, monkeypatch)
    said = CliRunner().invoke(cli, ["models", "interleaving", "--named-only", "--json"])
    (row,) = json.loads(said.stdout)
    assert (row["challenger"], row["version"], row["wins"]) == (other, live, named.preference.wins)


@contest
def test_verbs_put_versions_into_their_slots_and_out_again(
    settings: Settings, versions: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other = versions
    under(settings, monkeypatch)

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["models", *words])

    assert run("shadow", other).exit_code == 0
    assert run("challenge", other, "--share", "0.2").exit_code == 0
    slots = released(settings)
    assert slots[f"gru4rec/shadow:{other}"].version == other
    assert (slots["gru4rec/challenger"].version, slots["gru4rec/challenger"].share) == (other, 0.2)
    assert slots["gru4rec/live"].version == live
    assert run("shadow", other, "--end").exit_code == run("challenge", "--end").exit_code == 0
    assert set(released(settings)) == {"gru4rec/live"}
    for words, message in [
        (("shadow", live), "is live"),
        (("challenge", live), "is live"),
        (("shadow", other, "--end"), "is no shadow"),
        (("challenge", "--end"), "there is no challenger"),
        (("challenge", other, "--share", "1.5"), "at most 1"),
        (("challenge", other, "--end"), "either a version or --end"),
    ]:
        refused = run(*words)
        assert refused.exit_code != 0
        assert message in refused.output + str(refused.exception)


def _progress(settings: Settings) -> tuple[dict[int, int], dict[int, int]]:
    return committed(settings, "recommendations", "evaluation")
