"""`streamrec evaluate` of recommenders: its figures, its tasks, and what it says about wrong usage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feedback_files import write_board, write_feedback, write_knowledge, write_ratings
from recommender_answers import ratings
from verbs import Run, runner

from streamrec.evaluation.beyond import mean_of_lists, novelty
from streamrec.evaluation.folds import folds, foretell, predict
from streamrec.evaluation.held_out import last_of_each, make_lists
from streamrec.evaluation.metrics import mae, ndcg_at_k, recall_at_k, rmse
from streamrec.feedback import make_feedback
from streamrec.feedback_files import load_feedback
from streamrec.models import recommender
from streamrec.models.baseline_predictor import BaselinePredictor

RATING = ["--model", "baseline_predictor"]
LISTS = ["--model", "item_popularity"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def run_json(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, err = run("evaluate", *arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_ratings_are_foretold_fold_by_fold(run: Run, tmp_path: Path) -> None:
    found = run_json(run, *RATING, "--data", write_ratings(tmp_path))
    expected, values = foretold_in_folds(5, seed=0)
    assert found["rmse"] == pytest.approx(rmse(expected, values))
    assert found["mae"] == pytest.approx(mae(expected, values))
    assert (found["model"], found["task"], found["judged"], found["visitors"]) == (
        "baseline_predictor",
        "rating",
        500,
        40,
    )
    assert found["unscored"] == 0
    assert found["config"]["epochs"] == 10
    assert found["warnings"] == []
    for name in "rmse", "mae":
        low, high = found["intervals"][name]
        assert low < found[name] < high
    two = run_json(run, *RATING, "--data", str(tmp_path / "ratings.csv"), "--folds", "2", "--seed", "4")
    assert two["mae"] == pytest.approx(mae(*foretold_in_folds(2, seed=4)))


def foretold_in_folds(n_folds: int, seed: int) -> tuple[Any, Any]:
    """What baseline_predictor says of all ratings, and what they are."""
    parts = []
    for train, test in folds(ratings(), n_folds, seed):
        model = BaselinePredictor()
        model.train(train)
        parts.append((foretell(model, train, test).expected, test.values))
    expected, values = zip(*parts, strict=True)
    return np.concatenate(expected), np.concatenate(values)


def test_lists_are_held_against_what_each_visitor_had_last(run: Run, tmp_path: Path) -> None:
    data = write_board(tmp_path)
    parts = last_of_each(load_feedback(data), 0.3)
    model = recommender("item_popularity")
    model.train(parts.train)
    made = make_lists(model, parts, 20)
    found = run_json(run, *LISTS, "--data", data, "--test-share", "0.3", "--k", "3")
    assert found["task"] == "top-n"
    assert found["ndcg@10"] == pytest.approx(ndcg_at_k(made.ranks, 10, made.relevant).mean())
    assert found["recall@20"] == pytest.approx(recall_at_k(made.ranks, 20, made.relevant).mean())
    assert found["novelty@20"] == pytest.approx(mean_of_lists(novelty(made.tops, made.clicks)))
    assert found["visitors"] == len(made.visitor_ids)
    assert set(found["intervals"]) == {f"{name}@{k}" for name in ("ndcg", "recall") for k in (3, 5, 10, 20)}


def test_several_models_are_compared_with_the_first(run: Run, tmp_path: Path) -> None:
    models = [
        "--model",
        "item_popularity",
        "--model",
        "near=item_based_cf",
        "--param",
        "near.similarity=cosine",
    ]
    found = run_json(run, *models, "--data", write_board(tmp_path), "--test-share", "0.3")
    popular, near = found["models"]
    [comparison] = found["comparisons"]
    assert (comparison["first"], comparison["second"]) == ("near", "item_popularity")
    differs = comparison["differences"]["ndcg@5"]
    assert differs["difference"] == pytest.approx(near["ndcg@5"] - popular["ndcg@5"])
    assert differs["difference"] > 0
    assert differs["p"] < 0.05
    assert (near["model"], near["config"]["similarity"]) == ("item_based_cf", "cosine")
    assert near["config"]["task"] == "top-n"  # asked for by what it is judged by


def test_the_difference_of_errors_is_that_of_the_errors_shown(run: Run, tmp_path: Path) -> None:
    models = [*RATING, "--model", "slope_one"]
    found = run_json(run, *models, "--data", write_ratings(tmp_path), "--folds", "3")
    baseline, slope = found["models"]
    differs = found["comparisons"][0]["differences"]
    for name in "rmse", "mae":
        assert differs[name]["difference"] == pytest.approx(slope[name] - baseline[name])
        assert differs[name]["low"] < differs[name]["difference"] < differs[name]["high"]


def test_the_task_is_what_all_can_do_and_ratings_where_there_are_some(run: Run, tmp_path: Path) -> None:
    both = ["--model", "user_based_cf", "--param", "k=5"]
    rated, liked = write_ratings(tmp_path), write_board(tmp_path)
    assert run_json(run, *both, "--data", rated, "--folds", "2")["task"] == "rating"
    assert run_json(run, *both, "--data", rated, "--task", "top-n")["config"]["task"] == "top-n"
    assert run_json(run, *both, "--data", liked)["task"] == "top-n"
    together = run_json(run, "--model", "user_based_cf", *LISTS, "--data", rated)
    assert {each["task"] for each in together["models"]} == {"top-n"}
    assert (
        run_json(run, "--model", "user_based_cf", "--param", "task=top-n", "--data", rated)["task"] == "top-n"
    )


def test_two_files_are_taken_as_they_are(run: Run, tmp_path: Path) -> None:
    whole = ratings()
    train, test = whole.take(np.arange(500) < 400), whole.take(np.arange(500) >= 400)
    files = [
        "--train",
        write_feedback(tmp_path / "train.csv", train),
        "--test",
        write_feedback(tmp_path / "test.csv", test),
    ]
    rated = run_json(run, *RATING, *files)
    assert rated["judged"] == 100
    model = BaselinePredictor()
    model.train(train)
    errors = predict(model, test) - test.values
    assert rated["rmse"] == pytest.approx(np.sqrt(np.nanmean(errors**2)), rel=0.05)
    assert run_json(run, *LISTS, *files)["judged"] == 100
    again = ["--train", files[1], "--test", files[1]]
    assert "400 pairs of a visitor and an item" in run_json(run, *RATING, *again)["warnings"][0]
    code, _, err = run("evaluate", *LISTS, *again)
    assert code == 1
    assert "every visitor had all its held-out items before" in err


def test_clicks_are_feedback_of_sessions(run: Run, tmp_path: Path) -> None:
    found = run_json(run, *LISTS, "--bundled")
    assert found["task"] == "top-n"
    assert found["visitors"] > 1000
    assert found["recall@20"] > 0
    clicks = tmp_path / "clicks.tsv"
    clicks.write_text("SessionId\tItemId\tTime\n" + "".join(f"s{n % 3}\ti{n % 11}\t{n}\n" for n in range(30)))
    assert run_json(run, *LISTS, "--data", str(clicks))["visitors"] == 3


def test_a_file_without_a_header_has_its_columns_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    text = Path(write_ratings(tmp_path)).read_text().replace(",", "::").splitlines()[1:]
    path.write_text("\n".join(text))
    found = run_json(run, *RATING, "--data", str(path), "--columns", "user, item,rating,time")
    assert found["judged"] == 500


def test_what_is_known_reaches_the_models(run: Run, tmp_path: Path) -> None:
    files = [text for pair in write_knowledge(tmp_path).items() for text in pair]
    data = ["--data", write_ratings(tmp_path)]
    lists = run_json(run, "--model", "tfidf_content", "--model", "tag_profile", *data, *files)
    assert all(each["recall@20"] > 0 for each in lists["models"])
    without = run_json(run, "--model", "social_regularisation", *data, "--param", "epochs=3")
    trusting = run_json(run, "--model", "social_regularisation", *data, "--param", "epochs=3", *files)
    assert trusting["rmse"] != without["rmse"]
    grouped = run_json(
        run,
        "--model",
        "group_recommender",
        "--param",
        "base=baseline_predictor",
        "--task",
        "rating",
        *data,
        *files,
    )
    assert grouped["unscored"] == 0


def test_contexts_are_columns_of_the_data(run: Run, tmp_path: Path) -> None:
    rated = make_feedback(
        [f"u{n % 12}" for n in range(240)],
        [f"i{n % 7}" for n in range(240)],
        [4 + n % 2 if (n // 7) % 2 else 1 + n % 2 for n in range(240)],
    )
    path = tmp_path / "moods.csv"
    rows = zip(rated.users, rated.items, rated.values, strict=True)
    path.write_text(
        "user,item,rating,Time\n"
        + "".join(
            f"u{user},i{item},{value:g},{'evening' if value > 3 else 'NA'}\n" for user, item, value in rows
        )
    )
    arguments = ["--model", "context_postfilter", "--param", "base=baseline_predictor", "--data", str(path)]
    told = run_json(run, *arguments, "--context", "Time")
    code, _, err = run("evaluate", *arguments)
    assert code == 1
    assert "is no number" in err
    path.write_text(path.read_text().replace("Time", "when"))
    assert told["rmse"] < 0.7 * run_json(run, *arguments)["rmse"]


def test_a_model_may_be_a_file(run: Run, tmp_path: Path) -> None:
    node = tmp_path / "mine.yaml"
    node.write_text("model: user-based-cf\nk: 7\ncentre: none\n")
    data = ["--data", write_ratings(tmp_path), "--folds", "2"]
    found = run_json(run, "--model", str(node), *data)
    assert (found["label"], found["model"], found["config"]["k"]) == ("mine", "user_based_cf", 7)
    several = ["--model", f"a={node}", "--model", f"b={node}", "--param", "b.k=3"]
    found = run_json(run, *several, *data)
    assert [(each["label"], each["config"]["k"], each["config"]["centre"]) for each in found["models"]] == [
        ("a", 7, "none"),
        ("b", 3, "none"),
    ]


def test_a_hybrid_of_parts_that_make_lists_is_judged_by_lists(run: Run, tmp_path: Path) -> None:
    node = tmp_path / "mine.yaml"
    node.write_text("model: weighted_hybrid\nparts:\n- node: wals\n- node: item_based_cf\n")
    data = ["--data", write_ratings(tmp_path)]
    for asked in ([], ["--task", "top-n"]):
        found = run_json(run, "--model", str(node), *data, *asked)
        assert (found["task"], found["config"]["task"]) == ("top-n", "top-n")
        assert [each["node"].get("task") for each in found["config"]["parts"]] == [None, "top-n"]
    code, _, err = run("evaluate", "--model", str(node), *data, "--task", "rating")
    assert code == 2
    assert "--task rating: mine makes lists; leave it out" in err


def test_seeds_are_those_of_the_models_and_of_the_folds(run: Run, tmp_path: Path) -> None:
    arguments = ["--model", "co_clustering", "--data", write_ratings(tmp_path), "--folds", "2"]
    one, other = (run_json(run, *arguments, "--param", f"seed={seed}") for seed in (0, 5))
    assert (one["seed"], other["seed"]) == (0, 5)
    assert one["rmse"] != other["rmse"]
    assert run_json(run, *arguments)["rmse"] == one["rmse"]


def test_a_table_shows_all_and_how_it_was_measured(run: Run, tmp_path: Path) -> None:
    code, out, err = run("evaluate", *RATING, "--model", "slope_one", "--data", write_ratings(tmp_path))
    assert code == 0, err
    assert out.splitlines()[0].split() == ["model", "rmse", "mae", "unscored", "train", "s"]
    assert "minus baseline_predictor" in out
    assert (
        "figures on 500 ratings of 40 visitors: ratings held out in 5 folds; 95 % intervals over"
        in " ".join(out.split())
    )
    code, out, err = run("evaluate", *LISTS, "--data", write_board(tmp_path), "--k", "5")
    assert code == 0, err
    columns = ["model", "ndcg@5", "recall@5", "coverage", "novelty", "popularity", "train", "s"]
    assert out.splitlines()[0].split() == columns
    assert "coverage, novelty, popularity of lists of 20" in " ".join(out.split())
    assert "the last 0.2 of each visitor's interactions" in " ".join(out.split())


def test_lists_of_data_without_times_are_warned_of(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "likes.csv"
    data.write_text("user,item\n" + "".join(f"u{n % 4},i{n % 9}\n" for n in range(36)))
    code, out, err = run("evaluate", *LISTS, "--data", str(data), "--json")
    assert code == 0
    assert err.startswith("warning: no times are known")
    assert len(json.loads(out)["warnings"]) == 1


def test_what_goes_by_content_is_told_where_there_is_none(run: Run, tmp_path: Path) -> None:
    node = tmp_path / "mixed.yaml"
    node.write_text("model: mixed_hybrid\nparts:\n- node: wals\n- node: tfidf_content\n")
    found = run_json(run, *LISTS, "--model", f"both={node}", "--data", write_ratings(tmp_path))
    assert found["warnings"] == ["both goes by what items are, and nothing says so: give --items FILE"]


@pytest.mark.parametrize("models", [[*RATING, "--model", "slope_one"], [*LISTS, "--model", "wals"]])
def test_a_report_is_one_page_with_plots(models: list[str], run: Run, tmp_path: Path) -> None:
    page = tmp_path / "reports" / "page.html"
    code, _, err = run("evaluate", *models, "--data", write_ratings(tmp_path), "--report", str(page))
    assert code == 0, err
    text = page.read_text()
    assert text.count("<svg") >= 2
    assert "Paired differences to" in text
    assert "over visitors" in text
    assert "over sessions" not in text
    assert "http://" not in text.replace("http://www.w3.org/", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--model", "wals", "--model", "vs_knn", "--bundled"],
            2,
            "vs_knn rank what comes next in a session, wals",
        ),
        (
            ["--model", "walz", "--bundled"],
            2,
            "there is no model 'walz'; did you mean wals? known are popularity",
        ),
        (LISTS, 2, "which clicks?"),
        ([*LISTS, "--bundled", "--data", "x.csv"], 2, "which clicks?"),
        ([*LISTS, "--data", "none.csv"], 1, "none.csv cannot be read: No such file"),
        (
            [*LISTS, "--data", "RATINGS", "--task", "rating"],
            2,
            "--task rating: item_popularity makes lists; leave it",
        ),
        (
            [*RATING, *LISTS, "--data", "RATINGS"],
            2,
            "nothing that all of them can be judged by; evaluate them apart",
        ),
        (["--model", "slope_one", "--bundled"], 1, "there are no ratings that differ"),
        (
            ["--model", "weighted_hybrid", "--bundled"],
            2,
            "biased_mf, a part of weighted_hybrid, foretells ratings, and this feedback has none that differ",
        ),
        (
            ["--model", "group_recommender", "--bundled"],
            2,
            "factorisation_machine, a part of group_recommender,",
        ),
        (
            [*LISTS, "--data", "RATINGS", "--ties", "mean", "--leave-one-out"],
            2,
            "--leave-one-out, --ties: for session",
        ),
        (
            ["--model", "markov", "--bundled", "--task", "top-n"],
            2,
            "--task: for recommenders of items for visitors",
        ),
        ([*RATING, "--data", "RATINGS", "--context", "place"], 1, "no column place among userId, itemId"),
        ([*LISTS, "--data", "RATINGS", "--context", "mood"], 2, "--context is for --task rating"),
        ([*RATING, "--data", "RATINGS", "--test-share", "0.1"], 2, "ratings are held out by --folds"),
        ([*LISTS, "--data", "RATINGS", "--test-share", "1"], 2, "a share of 1 to hold out"),
        ([*LISTS, "--train", "RATINGS", "--test", "RATINGS", "--test-share", "0.1"], 2, "are split already"),
        ([*RATING, "--data", "RATINGS", "--folds", "501"], 1, "500 ratings cannot be cut into 501 folds"),
        (
            [*RATING, "--data", "RATINGS", "--param", "epoch=3"],
            2,
            "epoch: there is no such parameter; known are user_",
        ),
        ([*LISTS, "--bundled", "--columns", "user,item"], 2, "clicks have neither"),
        ([*LISTS, "--data", "RATINGS", "--items", "RATINGS"], 1, "line 1: item: JSON is malformed"),
        (["--model", "none.yaml", "--bundled"], 2, "none.yaml cannot be read: No such file"),
        (["--model", "NODE", "--bundled"], 2, "names no model: `model: NAME` is wanted"),
        ([*LISTS, *LISTS, "--bundled"], 2, "item_popularity is named twice; give labels"),
    ],
)
def test_wrong_usage_is_explained(
    arguments: list[str], code: int, message: str, run: Run, tmp_path: Path
) -> None:
    node = tmp_path / "node.yaml"
    node.write_text("k: 3\n")
    files = {"RATINGS": write_ratings(tmp_path, mood=True), "NODE": str(node)}
    found = run("evaluate", *(files.get(each, each) for each in arguments))
    assert (found[0], found[1]) == (code, "")
    assert message in found[2]


def test_a_report_that_cannot_be_written_is_found_out_before_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object) -> None:
        raise AssertionError("it was trained, in vain")

    monkeypatch.setattr(BaselinePredictor, "train", train)
    code, _, err = run("evaluate", *RATING, "--data", write_ratings(tmp_path), "--report", str(tmp_path))
    assert code == 2
    assert "the report cannot be written: Is a directory" in err


def test_a_test_file_without_ratings_has_no_error_of_ratings(run: Run, tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("user,item,rating\n" + "".join(f"u{n % 5},i{n % 7},{n % 4 + 1}\n" for n in range(35)))
    test.write_text("user,item\nu1,i2\nu2,i3\n")
    code, out, err = run("evaluate", "--model", "slope_one", "--train", str(train), "--test", str(test))
    assert (code, out) == (1, "")
    assert "every rating of the test file is 1, as where it has no column of ratings" in err
