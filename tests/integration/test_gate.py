"""The gate on a real Kafka: what it lets in, what it refuses, and what the models topic says then."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gated import TRAINED_UNTIL, publish_as, ring_window
from session_models import TINY, Published, ring_sessions
from verbs import under

from streamrec.cli import main
from streamrec.config import Settings
from streamrec.datasets import write_clicks
from streamrec.gate import deciding, judge_and_release
from streamrec.models.gru4rec import GRU4Rec
from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.topics import read_topic
from streamrec.verdicts import verdicts

SMALL_WINDOWS = pytest.mark.parametrize("settings", [{"gate": {"min_sessions": 100}}], indirect=True)
pytestmark = SMALL_WINDOWS


@pytest.fixture(autouse=True)
def _pages_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registry(settings: Settings, published: Published) -> Registry:
    """The settings' registry: v1 and v2 are the same model, weak has learned next to nothing."""
    registry = Registry.of(settings)
    publish_as(registry, published, "v1", "v2")
    weak = GRU4Rec(TINY.model_copy(update={"epochs": 1, "learning_rate": 1e-4}))
    weak.train(ring_sessions(20))
    registry.publish("gru4rec", "weak", lambda place: weak.export(place, version="weak", data=TRAINED_UNTIL))
    return registry


def keys(settings: Settings) -> list[str]:
    """Keys of all records of the models topic, in order."""
    found: list[str] = []
    read_topic(settings, "models", lambda records: found.extend(record.key.decode() for record in records))
    return found


def live(settings: Settings) -> str | None:
    found = released(settings).get("gru4rec/live")
    return found.version if found else None


def test_the_first_version_needs_only_limits_and_an_equal_one_follows_it(
    settings: Settings, registry: Registry
) -> None:
    first = judge_and_release(settings, "v1", ring_window())
    assert (first.outcome, first.against, first.released) == ("passed", None, 1)
    assert "popularity" in [check.name for check in first.checks]
    second = judge_and_release(settings, "v2", ring_window())
    assert (second.outcome, second.against, second.released) == ("passed", "v1", 2)
    assert live(settings) == "v2"
    assert released(settings)["gru4rec/previous"].version == "v1"
    assert verdicts(settings) == {"v1": first, "v2": second}
    assert (settings.gate.pages / "gru4rec-v2.html").read_text().count("passed") > 5


def test_a_worse_version_is_refused_and_the_live_release_stays_as_it_is(
    settings: Settings, registry: Registry
) -> None:
    before = announce(settings, "gru4rec", "v1")
    verdict = judge_and_release(settings, "weak", ring_window())
    assert verdict.outcome == "refused"
    assert {"recall@20", "mrr@20"} <= {check.name for check in verdict.failed}
    assert released(settings) == {"gru4rec/live": before}
    assert keys(settings) == ["gru4rec/live", "gru4rec/verdict:weak"]
    assert verdicts(settings)["weak"] == verdict
    assert "refused" in (settings.gate.pages / "gru4rec-weak.html").read_text()


def test_what_was_judged_is_not_judged_again_unless_something_is_new(
    settings: Settings, registry: Registry
) -> None:
    announce(settings, "gru4rec", "v1")
    first = judge_and_release(settings, "weak", ring_window())
    for _ in range(2):
        assert judge_and_release(settings, "weak", ring_window()) == first
    assert keys(settings).count("gru4rec/verdict:weak") == 1
    assert judge_and_release(settings, "weak", ring_window(), force=True).time > first.time
    assert judge_and_release(settings, "weak", ring_window(seed=8)).window != first.window
    assert keys(settings).count("gru4rec/verdict:weak") == 3
    announce(settings, "gru4rec", "v2")
    assert judge_and_release(settings, "weak", ring_window(seed=8)).against == "v2"


def test_a_verdict_without_a_release_is_acted_on_later_and_a_replaced_version_is_not_brought_back(
    settings: Settings, registry: Registry
) -> None:
    announce(settings, "gru4rec", "v1")
    only_judged = judge_and_release(settings, "v2", ring_window(), release=False)
    assert (only_judged.outcome, live(settings)) == ("passed", "v1")
    let_in = judge_and_release(settings, "v2", ring_window())
    assert (let_in.time, let_in.released, live(settings)) == (only_judged.time, 2, "v2")
    announce(settings, "gru4rec", "v1")  # as a rollback does
    again = judge_and_release(settings, "v2", ring_window())
    assert live(settings) == "v1"
    assert "replaced since" in str(again.note)
    assert judge_and_release(settings, "v2", ring_window(), force=True).released == 4


def test_too_few_sessions_are_no_judgement(settings: Settings, registry: Registry) -> None:
    announce(settings, "gru4rec", "v1")
    verdict = judge_and_release(settings, "v2", ring_window(99))
    assert (verdict.outcome, live(settings)) == ("undecided", "v1")
    assert "99 sessions" in verdict.failed[0].text
    assert "100 are needed" in verdict.failed[0].text


def test_a_damaged_candidate_is_refused_with_the_reason(settings: Settings, registry: Registry) -> None:
    announce(settings, "gru4rec", "v1")
    (registry.directory("gru4rec", "v2") / "step.onnx").write_bytes(b"")
    verdict = judge_and_release(settings, "v2", ring_window())
    assert (verdict.outcome, [check.name for check in verdict.failed]) == ("refused", ["loads"])
    assert "step.onnx" in verdict.failed[0].text
    assert live(settings) == "v1"


def test_a_version_that_another_overtook_is_not_released(
    settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(settings, "gru4rec", "v1")
    judged = deciding.judged

    def overtaken(*arguments: Any) -> Any:
        verdict = judged(*arguments)
        announce(settings, "gru4rec", "weak")
        return verdict

    monkeypatch.setattr(deciding, "judged", overtaken)
    verdict = judge_and_release(settings, "v2", ring_window())
    assert (verdict.outcome, verdict.released, live(settings)) == ("passed", None, "weak")
    assert "weak has become live meanwhile" in str(verdict.note)


# -- verbs --------------------------------------------------------------------------------------

Run = Callable[..., Any]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb with these settings; returns its output, as JSON if so asked, and its errors."""
    under(settings, monkeypatch)

    def run(*arguments: str, code: int = 0) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        return (json.loads(out) if "--json" in arguments else out), err

    return run


@pytest.fixture
def newest(tmp_path: Path) -> str:
    path = tmp_path / "newest.tsv.gz"
    write_clicks(path, ring_window())
    return str(path)


def test_the_gate_is_a_verb_that_says_what_it_found_and_exits_with_1_on_a_refusal(
    settings: Settings, registry: Registry, run: Run, newest: str
) -> None:
    announce(settings, "gru4rec", "v1")
    out, _ = run("models", "gate", "v2", "--data", newest, "--no-release")
    assert "passed" in out
    assert "Recall@20 is" in out
    assert live(settings) == "v1"
    out, _ = run("models", "gate", "weak", "--data", newest, code=1)
    assert "FAILED" in out
    assert "refused by recall@20" in out
    assert str(settings.gate.pages / "gru4rec-weak.html") in out.replace("\n", "")
    verdict, _ = run("models", "gate", "v2", "--data", newest, "--json")
    assert (verdict["outcome"], verdict["released"], live(settings)) == ("passed", 2, "v2")


def test_lists_show_verdicts_and_a_release_by_hand_warns_of_one_that_is_bad_or_missing(
    settings: Settings, registry: Registry, run: Run, newest: str
) -> None:
    _, err = run("models", "release", "v1")
    assert "warning: the gate has not judged v1" in err
    run("models", "gate", "weak", "--data", newest, code=1)
    run("models", "gate", "v2", "--data", newest)
    rows, _ = run("models", "list", "--json")
    assert {row["version"]: (row["verdict"] or {}).get("outcome") for row in rows} == {
        "v1": None,
        "v2": "passed",
        "weak": "refused",
    }
    assert "verdict" in run("models", "list")[0]
    shown, _ = run("models", "show", "weak", "--json")
    assert shown["verdict"]["outcome"] == "refused"
    assert "FAILED" in run("models", "show", "weak")[0]
    _, err = run("models", "release", "weak")
    assert "warning: weak against v1: refused by" in err
    assert live(settings) == "weak"
    assert "warning" not in run("models", "release", "v2")[1]


def test_two_versions_side_by_side(registry: Registry, run: Run, newest: str) -> None:
    found, _ = run("models", "compare", "v1", "weak", "--data", newest, "--json")
    one, other = found["versions"]
    assert (one["version"], other["version"]) == ("v1", "weak")
    assert one["metrics"]["recall@20"][0] > other["metrics"]["recall@20"][0]
    assert found["differences"]["recall@20"][1] > 0
    assert ["learning_rate", 0.05, 0.0001] in found["config"] or "learning_rate" in str(found["config"])
    out, _ = run("models", "compare", "v1", "weak", "--data", newest)
    for part in ("recall@20", "size_bytes", "latency_ms", "config.epochs", "200 sessions"):
        assert part in out


SMALL = ["embedding_size=16", "hidden_size=16", "batch_size=8", "n_sample=16", "dropout_hidden=0"]


def train(data: str, *options: str, epochs: int = 4) -> list[str]:
    parameters = [each for value in [*SMALL, f"epochs={epochs}"] for each in ("--param", value)]
    return ["train", "gru4rec", "--data", data, *parameters, *options]


def test_a_training_is_released_through_the_gate_where_there_is_one_to_beat(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    # 300 sessions, one a minute; the last 120 are held out.
    path = tmp_path / "clicks.tsv.gz"
    write_clicks(path, ring_window(300))
    until = f"{180 / 1440:.4f}"
    out, _ = run(*train(str(path), "--until", until, "--release"))
    assert "released without the gate: no version was live before" in out
    first = live(settings)
    out, _ = run(
        *train(str(path), "--until", until, "--release", "--param", "learning_rate=1e-4", epochs=1), code=1
    )
    assert f"against {first}: refused by" in out
    assert live(settings) == first
    out, _ = run(*train(str(path), "--release"))
    assert "released without the gate: nothing is held out" in out
    made, _ = run(*train(str(path), "--until", until, "--release", "--no-gate", "--json"))
    assert (live(settings), made["verdict"]) == (made["version"], None)
