"""`streamrec evaluate`: its figures, its warnings, and what it says about wrong usage."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click_files import TINY, ring_clicks, write_tsv
from scored import NAN, Scored
from session_models import RING

from streamrec.cli import main
from streamrec.contracts import Session
from streamrec.datasets import click_sessions, load_clicks, make_clicks
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.summary import Evaluation, evaluate
from streamrec.models import SESSION_MODELS, session_model_class
from streamrec.models.markov import Markov
from streamrec.offline import contenders, load_groups, lost_to_baselines, named_models

Printed = pytest.CaptureFixture[str]
DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """--train and --test: the test begins when the training is over."""
    return [
        "--train",
        write_tsv(tmp_path / "train.tsv", ring_clicks(200)),
        "--test",
        write_tsv(tmp_path / "test.tsv", ring_clicks(40, seed=5, start_s=60 * 200)),
    ]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", *arguments])
    return int(caught.value.code or 0)


def run_json(capsys: Printed, *arguments: str) -> dict[str, Any]:
    assert run(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def params(label: str = "") -> list[str]:
    return [text for each in TINY for text in ("--param", label + each)]


def test_one_model_is_one_object_with_its_figures_at_the_top(files: list[str], capsys: Printed) -> None:
    found = run_json(capsys, *files, "--model", "gru4rec", *params(), "--param", "seed=7")
    assert (found["model"], found["label"], found["seed"]) == ("gru4rec", "gru4rec", 7)
    assert found["recall@20"] > 0.95
    assert 0.5 < found["mrr@20"] <= 1
    assert found["events_per_s"] > 0
    assert found["config"]["epochs"] == 3
    assert found["next_clicks"] == sum(len(each.items) - 1 for each in click_sessions(ring_clicks(40, 5)))
    assert found["warnings"] == []
    low, high = found["intervals"]["recall@20"]
    assert low <= found["recall@20"] <= high


def test_the_seed_makes_the_figures(files: list[str], capsys: Printed) -> None:
    arguments = [*files, "--model", "gru4rec", *params(), "--param", "learning_rate=0.001"]
    one = run_json(capsys, *arguments, "--seed", "3")
    again = run_json(capsys, *arguments, "--param", "seed=3")
    other = run_json(capsys, *arguments, "--param", "seed=4")
    assert one["mrr@20"] == again["mrr@20"] != other["mrr@20"]


def test_popularity_is_as_counted_by_hand(tmp_path: Path, capsys: Printed) -> None:
    # a has 3 clicks, b 2, c 1: after any click the list is a, b, c.
    train = make_clicks("1122334", "ababaca"[:7], [0, 1, 2, 3, 4, 5, 6])
    test = make_clicks("9999", "cbca", [10_000, 11_000, 12_000, 13_000])
    found = run_json(
        capsys,
        "--train",
        write_tsv(tmp_path / "train.tsv", train),
        "--test",
        write_tsv(tmp_path / "test.tsv", test),
        "--model",
        "popularity",
    )
    assert found["next_clicks"] == 3
    assert found["mrr@20"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 1) / 3)
    assert found["recall@20"] == 1


def test_several_models_are_compared_with_the_first(files: list[str], capsys: Printed) -> None:
    arguments = [*files, "--model", "gru4rec", "--model", "markov", "--model", "popularity"]
    found = run_json(capsys, *arguments, *params("gru4rec."))
    assert [each["model"] for each in found["models"]] == ["gru4rec", "markov", "popularity"]
    assert [(each["first"], each["second"]) for each in found["comparisons"]] == [
        ("markov", "gru4rec"),
        ("popularity", "gru4rec"),
    ]
    gru4rec, _, popularity = found["models"]
    worse = found["comparisons"][1]["differences"]["mrr@20"]
    assert worse["difference"] == pytest.approx(popularity["mrr@20"] - gru4rec["mrr@20"])
    assert worse["p"] < 0.01


def test_two_settings_of_one_model_have_labels(files: list[str], capsys: Printed) -> None:
    arguments = [
        "--model",
        "near=markov",
        "--model",
        "far=markov",
        "--param",
        "near.window=1",
        "--param",
        "far.window=7",
    ]
    found = run_json(capsys, *files, *arguments)
    assert [(each["label"], each["model"]) for each in found["models"]] == [
        ("near", "markov"),
        ("far", "markov"),
    ]
    assert [each["config"]["window"] for each in found["models"]] == [1, 7]


def test_a_table_shows_all_and_how_it_was_measured(files: list[str], capsys: Printed) -> None:
    assert run(*files, "--model", "markov", "--model", "popularity") == 0
    out, err = capsys.readouterr()
    columns = ["model", "recall@20", "mrr@20", "ndcg@20", "coverage@20", "events/s"]
    assert out.splitlines()[0].split() == columns
    assert "minus markov" in out
    assert "they cover neither what another seed of a training would change nor the number of" in out
    assert "of 40 sessions" in out
    assert "ties conservative" in out
    assert "popularity adds" not in out
    assert "warning" not in err


def test_the_docs_name_every_model_with_its_hyperparameters() -> None:
    section = DOCS.read_text().split("\n## ")[1]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(SESSION_MODELS)
    neighbours = re.findall(r"`(\w+)=([^`]+)`", dict(rows)["vs_knn"])[:6]
    for name, text in rows:
        said = dict(re.findall(r"`(\w+)=([^`]+)`", text))
        if "the first six of `vs_knn`" in text:
            said |= dict(neighbours)
        defaults = session_model_class(name).Config().model_dump()
        assert said == {parameter: str(value) for parameter, value in defaults.items()}


def test_what_is_split_already_is_not_split_again(files: list[str], capsys: Printed) -> None:
    assert run(*files, "--model", "popularity", "--test-days", "2") != 0
    assert "--train and --test are split already" in " ".join(capsys.readouterr().err.split())


def test_a_deep_model_alone_gets_a_hint_at_baselines(files: list[str], capsys: Printed) -> None:
    assert run(*files, "--model", "gru4rec", *params(), "--param", "epochs=1") == 0
    assert "--model popularity" in capsys.readouterr().out


def test_a_deep_model_that_loses_to_a_baseline_is_flagged(files: list[str], capsys: Printed) -> None:
    hopeless = ["--param", "gru4rec.learning_rate=0.000001"]
    arguments = [*files, "--model", "gru4rec", "--model", "markov", *params("gru4rec."), *hopeless]
    assert run(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    assert "gru4rec loses to markov, a baseline: recall@20 is" in err
    assert len(json.loads(out)["warnings"]) == 2
    assert all("chance" not in each for each in json.loads(out)["warnings"])


def test_baselines_that_lose_are_not_flagged(files: list[str], capsys: Printed) -> None:
    assert run_json(capsys, *files, "--model", "popularity", "--model", "markov")["warnings"] == []


def test_one_file_is_split_by_time(tmp_path: Path, capsys: Printed) -> None:
    data = ["--data", write_tsv(tmp_path / "all.tsv", ring_clicks(200)), "--model", "markov"]
    assert run_json(capsys, *data)["test_sessions"] == 40  # a fifth
    assert run_json(capsys, *data, "--test-share", "0.1")["test_sessions"] == 20
    an_hour = str(1 / 24)
    assert run_json(capsys, *data, "--test-days", an_hour)["test_sessions"] == 60  # one a minute


def test_leave_one_out_is_done_with_a_warning(tmp_path: Path, capsys: Printed) -> None:
    data = write_tsv(tmp_path / "all.tsv", ring_clicks(50))
    assert run("--data", data, "--leave-one-out", "--model", "markov", "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["judged"] == "last click"
    assert found["next_clicks"] == 50
    assert err.startswith("warning: leave-one-out")
    assert len(found["warnings"]) == 1


def test_a_training_that_knows_the_future_is_warned_of(tmp_path: Path, capsys: Printed) -> None:
    train = write_tsv(tmp_path / "train.tsv", ring_clicks(50))
    test = write_tsv(tmp_path / "test.tsv", ring_clicks(50, seed=5))
    assert run("--train", train, "--test", test, "--model", "markov", "--json") == 0
    out, err = capsys.readouterr()
    assert "not later than the last training click" in err
    assert len(json.loads(out)["warnings"]) == 1


def test_sessions_in_both_files_are_warned_of(tmp_path: Path, capsys: Printed) -> None:
    both = write_tsv(tmp_path / "both.tsv", ring_clicks(50))
    assert run("--train", both, "--test", both, "--model", "markov", "--json") == 0
    out, err = capsys.readouterr()
    assert "50 sessions are in the training clicks and in the test clicks" in err
    assert len(json.loads(out)["warnings"]) == 2


def test_unseen_items_are_left_out_or_missed(tmp_path: Path, capsys: Printed) -> None:
    test = make_clicks("aaa", [RING[0], "stranger", RING[1]], [10**9, 10**9 + 1, 10**9 + 2])
    arguments = [
        "--train",
        write_tsv(tmp_path / "train.tsv", ring_clicks(100)),
        "--test",
        write_tsv(tmp_path / "test.tsv", test),
        "--model",
        "markov",
    ]
    left_out = run_json(capsys, *arguments)
    assert (left_out["next_clicks"], left_out["recall@5"]) == (1, 1.0)
    missed = run_json(capsys, *arguments, "--unseen", "miss")
    assert (missed["next_clicks"], missed["recall@5"]) == (2, 0.5)


def test_groups_are_compared(files: list[str], tmp_path: Path, capsys: Printed) -> None:
    items, sessions = tmp_path / "items.tsv", tmp_path / "sessions.tsv"
    items.write_text("ItemId\tGroup\n" + "".join(f"{item}\t{int(item[1:]) % 2}\n" for item in RING))
    sessions.write_text(
        "SessionId\tGroup\n" + "".join(f"5-{n}\t{'new' if n < 20 else 'old'}\n" for n in range(40))
    )
    arguments = ["--model", "popularity", "--item-groups", str(items), "--session-groups", str(sessions)]
    found = run_json(capsys, *files, *arguments)
    assert sum(found["item_groups"].values()) == pytest.approx(1)
    assert set(found["item_groups"]) == {"0", "1"}
    means = found["session_groups"]["recall@20"]
    gap = found["session_group_gaps"]["recall@20"]
    assert gap == pytest.approx(abs(means["new"] - means["old"]))


def test_ids_of_groups_are_read_as_those_of_clicks(tmp_path: Path) -> None:
    ids = ['12" tablet', '"quoted"', '"', "x" * 200_000, "plain"]
    clicks = write_tsv(tmp_path / "clicks.tsv", make_clicks("s" * 5, ids, range(5)))
    groups = tmp_path / "groups.tsv"
    groups.write_text("Group\tItemId\n" + "".join(f"{n % 2}\t{each}\n" for n, each in enumerate(ids)))
    found = load_groups(groups, "ItemId")
    assert found == {each: str(n % 2) for n, each in enumerate(ids)}
    assert set(found) == set(load_clicks(Path(clicks)).item_ids)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Item\tGroup\n", "line 1: no column ItemId"),
        ("", "the file is empty"),
        ("ItemId\tGroup\na\tx\nb\n", "line 3: 1 cells, too few"),
        (None, "there is no such file"),
    ],
)
def test_groups_that_cannot_be_read(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "groups.tsv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        load_groups(tmp_path / "groups.tsv", "ItemId")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model", "gru5rec", "--bundled"],
            "there is no model 'gru5rec'; did you mean gru4rec? known are popularity",
        ),
        (["--model", "markov"], "which clicks?"),
        (["--model", "markov", "--bundled", "--train", "x.tsv"], "which clicks?"),
        (["--model", "markov", "--bundled", "--data", "x.tsv"], "which clicks?"),
        (["--model", "markov", "--bundled", "--leave-one-out", "--test-days", "3"], "how to split?"),
        (["--model", "markov", "--bundled", "--test-share", "2"], "share of 2"),
        (["--model", "markov", "--model", "markov", "--bundled"], "named twice; give labels"),
        (["--model", "markov", "--bundled", "--param", "window"], "give NAME=VALUE"),
        (["--model", "markov", "--bundled", "--param", "widow=3"], "widow: there is no such parameter"),
        (["--model", "markov", "--bundled", "--param", "seed=-1"], "a seed is a whole number"),
        (
            ["--model", "markov", "--model", "popularity", "--bundled", "--param", "window=3"],
            "markov.epochs=5",
        ),
        (["--model", "markov", "--bundled", "--param", "popularity.x=3"], "models are markov"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, capsys: Printed) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> None:
        raise AssertionError("it was trained, in vain")

    monkeypatch.setattr(Markov, "train", train)


@pytest.mark.usefixtures("no_training")
def test_a_report_that_cannot_be_written_is_found_out_before_training(
    files: list[str], tmp_path: Path, capsys: Printed
) -> None:
    assert run(*files, "--model", "markov", "--report", str(tmp_path)) == 2
    assert f"{tmp_path}: the report cannot be written: Is a directory" in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("unseen", ["leave-out", "miss"])
def test_a_test_without_next_clicks_is_found_out_before_training(
    unseen: str, tmp_path: Path, capsys: Printed
) -> None:
    train = make_clicks("aab", "xyx", [1, 2, 3])
    test = make_clicks("cd", "xy", [10_000, 20_000])
    names = [write_tsv(tmp_path / "train.tsv", train), write_tsv(tmp_path / "test.tsv", test)]
    arguments = ["--train", names[0], "--test", names[1], "--unseen", unseen, "--model", "markov"]
    assert run(*arguments) == 1
    assert "there is nothing to measure" in capsys.readouterr().err


def test_contenders_have_their_own_hyperparameters() -> None:
    named = named_models(["a=markov", "item-knn"], ["a.window=2", "item_knn.k=3", "a.seed=9"], seed=1)
    one, other = contenders(named)
    assert (one.label, one.model, one.config.window, one.seed, one.deep) == ("a", "markov", 2, 9, False)
    assert (other.label, other.model, other.config.k, other.seed) == ("item_knn", "item_knn", 3, 1)
    assert contenders(named_models(["gru4rec"], []))[0].deep
    with pytest.raises(ConfigError):
        named_models(["markov"], ["=3"])


def test_a_difference_that_may_be_chance_is_called_that() -> None:
    def measured(name: str, after_c: list[float], test: list[Session]) -> Evaluation:
        model = Scored("abc", {"a": [0, 1, 0], "c": after_c})
        return evaluate(model, name, [Session("abc")], test)

    deep = {"deep": True, "good": False}
    # After c the deep model has no score for b; in one session of ten, then in all of them.
    for test, chance in ([Session("ab")] * 9 + [Session("cb")], True), ([Session("cb")] * 10, False):
        bad, good = measured("deep", [1, NAN, 0], test), measured("good", [0, 1, 0], test)
        said = lost_to_baselines([bad, good], deep)
        assert [each.split(":")[1].split()[0] for each in said] == ["recall@20", "mrr@20"]
        assert [each.endswith(", may be chance)") for each in said] == [chance] * 2
        assert lost_to_baselines([bad, good], {"deep": False, "good": True}) == []
        assert lost_to_baselines([bad, good], {"deep": True, "good": True}) == []
