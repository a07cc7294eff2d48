"""`python -m benchmarks.recommenders`: what its figures are made of, on data that can be counted by hand."""

import io
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from rich.console import Console
from threadpoolctl import threadpool_limits

from streamrec.errors import DatasetError
from streamrec.evaluation.folds import folds, foretell
from streamrec.evaluation.held_out import last_of_each, make_lists
from streamrec.evaluation.metrics import ndcg_at_k, rmse
from streamrec.events import Item
from streamrec.feedback import NOTHING, Feedback, Knowledge, Tagging, make_feedback
from streamrec.models import recommender

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    # benchmarks is no part of what is installed.
    monkeypatch.syspath_prepend(str(ROOT))


def bench(module: str) -> Any:
    return import_module(f"benchmarks.recommenders.{module}")


def some_ratings(n_users: int = 12, n_items: int = 9, n: int = 80, seed: int = 0) -> Feedback:
    rng = np.random.default_rng(seed)
    users, items = np.divmod(rng.permutation(n_users * n_items)[:n], n_items)
    return make_feedback(
        [f"u{user}" for user in users],
        [f"i{item}" for item in items],
        rng.integers(1, 6, n).astype(float),
        np.arange(n) * 1000,
    )


def ignore(*_: object) -> None:
    pass


def printed(table: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


# -- with and without ---------------------------------------------------------------------------


def test_errors_of_all_splits_are_those_of_cross_validation() -> None:
    feedback, steps = some_ratings(), []
    found = bench("paired").errors_of("baseline_predictor", feedback, NOTHING, 2, lambda: steps.append(1))
    assert len(steps) == 10
    for split in range(2):
        squares = 0.0
        for train, test in folds(feedback, 5, seed=split):
            squares += ((baseline_says(train, test) - test.values) ** 2).sum()
        assert_allclose((found.errors[split] ** 2).sum(), squares, rtol=1e-6)


def baseline_says(train: Feedback, test: Feedback) -> Any:
    model = recommender("baseline_predictor")
    model.train(train)
    return foretell(model, train, test).expected


def test_the_ratings_that_a_visitor_was_trained_on_are_counted() -> None:
    feedback = make_feedback(["a"] * 5 + ["b"] * 5, [f"i{n}" for n in range(10)], np.arange(10.0))
    found = bench("paired").errors_of("baseline_predictor", feedback, NOTHING, 1, ignore)
    # Of ten ratings in five folds two are held out together: the visitor's own, or one of each.
    assert set(found.trained_on[0].tolist()) <= {3, 4}


def test_what_is_gained_and_its_error_are_those_of_a_hand() -> None:
    paired = bench("paired")
    trained_on = np.array([[1, 1, 9, 1]])
    known = paired.Errors(np.array([[1.0, 1.0, 5.0, 0.0]]), trained_on)
    unknown = paired.Errors(np.array([[2.0, 1.0, 5.0, 1.0]]), trained_on)
    found = paired.gain(known, unknown, np.array([0, 0, 1, 2]), below=5)
    # Squares 1, 1, 0 and 4, 1, 1 over three ratings of two visitors.
    with_it, without = np.sqrt(2 / 3), np.sqrt(2)
    assert found.ratings == 3
    assert_allclose([found.rmse_with, found.rmse_without], [with_it, without])
    assert_allclose(found.rmse, without - with_it)
    # Differences 3 of two ratings and 1 of one, 4/3 a rating: 1/3 and -1/3 are left of the visitors.
    error = np.sqrt(2 * (1 / 3) ** 2 * 2 / 1) / 3
    assert_allclose(found.standard_error, error / (with_it + without))


def test_ratings_of_several_splits_count_once() -> None:
    paired = bench("paired")
    once = [np.array([[1.0, 0.0, 2.0]]), np.array([[2.0, 1.0, 2.0]])]
    users = np.array([0, 1, 2])
    found = [
        paired.gain(*(paired.Errors(np.tile(each, (n, 1)), np.zeros((n, 3), int)) for each in once), users)
        for n in (1, 4)
    ]
    assert found[0] == found[1]


def test_a_model_that_passes_over_what_is_known_gains_nothing() -> None:
    feedback = some_ratings()
    question = bench("paired").Question("data", "trust", ["baseline_predictor"], [], {"everybody": None}, 1)
    steps: list[tuple[int, int]] = []
    judged = bench("paired").judge_gains(
        question, (feedback, Knowledge()), (feedback, NOTHING), lambda *step: steps.append(step)
    )
    assert steps[-1] == (10, 10)
    (row,) = judged.entries
    assert (row["gain"], row["standard_error"], row["holds"], row["required"]) == (0, 0, False, False)


# -- groups -------------------------------------------------------------------------------------


def test_pairs_in_order_are_counted_within_a_group() -> None:
    said = make_feedback(["g", "g", "g", "h", "h"], list("abcab"), [1.0, 2.0, 3.0, 5.0, 5.0])
    order = bench("groups").pairs_in_order
    assert order(np.array([1.0, 2.0, 3.0, 9.0, 0.0]), said) == 1
    assert order(np.array([3.0, 2.0, 1.0, 0.0, 9.0]), said) == 0
    assert_allclose(order(np.array([1.0, 1.0, 2.0, 0.0, 0.0]), said), 2.5 / 3)
    # Two that are left out are alike, and behind the third.
    assert_allclose(order(np.array([-np.inf, -np.inf, 2.0, 0.0, 0.0]), said), 2.5 / 3)


# -- new items ----------------------------------------------------------------------------------


def test_items_held_out_are_in_no_training() -> None:
    feedback = some_ratings()
    train, test = bench("new_items").without_items(feedback, share=1 / 3, seed=0)
    assert len(test.item_ids) == 3
    assert set(train.item_ids).isdisjoint(test.item_ids)
    assert len(train) + len(test) == len(feedback)


def test_chance_is_what_lists_in_any_order_come_to() -> None:
    new_items = bench("new_items")
    wanted = [np.array([0, 3, 5]), np.array([7])]
    rng = np.random.default_rng(0)
    drawn = [new_items._lists_come_to([rng.random(40) for _ in wanted], wanted) for _ in range(4000)]
    ndcg, recall = new_items.by_chance(np.array([3, 1]), 40)
    assert_allclose(np.mean(drawn, axis=0), [ndcg, recall], rtol=0.05)
    assert recall == 0.5


def test_ties_are_in_an_order_drawn_at_random_and_what_has_no_score_has_no_rank() -> None:
    ranks = bench("new_items").ranks_in_list
    scores = np.array([2.0, np.nan, 1.0, 1.0, 3.0])
    found = [ranks(scores, np.arange(5), np.random.default_rng(seed)).tolist() for seed in range(20)]
    assert {(each[0], each[1], each[4]) for each in found} == {(2.0, np.inf, 1.0)}
    assert {each[2] for each in found} == {3.0, 4.0}


def test_hindsight_does_not_count_the_visitors_own() -> None:
    test = make_feedback(["a", "b", "b"], ["x", "x", "y"])
    wanted = [np.array([0]), np.array([0, 1])]
    assert [each.tolist() for each in bench("new_items")._in_hindsight(test, wanted)] == [[1, 1], [1, 0]]


# -- speed --------------------------------------------------------------------------------------


def test_folds_of_contenders_are_those_of_cross_validation(tmp_path: Path) -> None:
    feedback = some_ratings()
    parts = folds(feedback, 5, seed=0)
    for (known, test), (split, error) in zip(parts, bench("speed").rating_splits(feedback), strict=True):
        train, answer = bench("contender")._ours("baseline_predictor", split)
        assert_allclose(error(answer(train())), rmse(baseline_says(known, test), test.values), rtol=1e-9)
        # What cannot be told counts as the mean.
        n = len(test)
        assert_allclose(error(np.full(n, np.nan)), error(np.full(n, split.values.mean())))


def test_lists_of_contenders_are_judged_as_those_of_models() -> None:
    feedback = some_ratings(n_users=30, n_items=40, n=600)
    split, gain = bench("speed").list_split(feedback)
    parts = last_of_each(feedback)
    # Every third of the visitors is asked for.
    parts = parts._replace(test=parts.test.take(parts.test.users % 3 == 0))
    model = recommender("item_popularity")
    model.train(parts.train)
    train, answer = bench("contender")._ours("item_popularity", split)
    made = make_lists(model, parts)
    assert_allclose(gain(answer(train())), ndcg_at_k(made.ranks, 10, made.relevant).mean())


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # of what implicit made itself
@pytest.mark.parametrize("name", ["implicit ALS", "implicit CosineRecommender", "scikit-learn TruncatedSVD"])
def test_contenders_list_what_the_visitor_has_not_had(name: str) -> None:
    split, _ = bench("speed").list_split(some_ratings(n_users=60, n_items=120, n=3000))
    contender = bench("contender")
    library, _, model = name.partition(" ")
    with threadpool_limits(1, "blas"):  # as in the contender's own process
        train, answer = contender._LIBRARIES[library](model, split)
        lists, had = answer(train()), split.had()
    assert lists.shape == (len(split.test_users), 20)
    for user, items in zip(split.test_users.tolist(), lists.tolist(), strict=True):
        assert set(items).isdisjoint(had[user].tolist())
        assert len(set(items)) == len(items)


def test_a_contender_is_run_in_a_process_of_its_own(tmp_path: Path) -> None:
    split, _ = next(iter(bench("speed").rating_splits(some_ratings())))
    peers = bench("peers")
    peers.write_split(tmp_path / "rating.npz", split)
    answered = peers.run_contender("ours baseline_predictor", tmp_path / "rating.npz", Path("none"))
    train, answer = bench("contender")._ours("baseline_predictor", split)
    assert_array_equal(answered.answers, answer(train()))
    assert answered.train_s > 0
    with pytest.raises(peers.PeerError, match="ours nothing failed"):
        peers.run_contender("ours nothing", tmp_path / "rating.npz", Path("none"))


def figures(*values: float) -> Any:
    return bench("speed")._Figures(*values)


def test_what_is_slower_than_a_peer_fails_unless_the_reason_is_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speed = bench("speed")
    contest = speed.Contest("slope_one", "rating", ("surprise SlopeOne", "other SlopeOne"))
    medians = {
        ("rating", "ours slope_one"): figures(1.05, 3.0, 0.95),
        ("rating", "surprise SlopeOne"): figures(1.0, 4.0, 0.94),
        ("rating", "other SlopeOne"): figures(0.5, 4.0, 0.96),
    }
    monkeypatch.setattr(speed, "REASONS", {})
    held = {row["metric"]: (row["holds"], row["required"]) for row in speed._entries(contest, medians)}
    assert held == {
        "train_s beside surprise SlopeOne": (True, True),
        "answer_s beside surprise SlopeOne": (True, True),
        "rmse beside surprise SlopeOne": (False, True),
        "train_s beside other SlopeOne": (False, True),
        "answer_s beside other SlopeOne": (True, True),
        "rmse beside other SlopeOne": (True, True),
    }
    monkeypatch.setattr(speed, "REASONS", {("slope_one", "rating", "train"): "as it is"})
    rows = {contest: speed._entries(contest, medians)}
    assert [row["metric"] for row in rows[contest] if row["required"] and not row["holds"]] == [
        "rmse beside surprise SlopeOne"
    ]
    text = printed(speed._table("rating", [contest], medians, rows))
    assert "(1) as it is" in text
    assert "no (1)" in text


def test_lists_that_are_worse_than_a_peers_are_told_and_fail_nothing() -> None:
    speed = bench("speed")
    contest = speed.Contest("wals", "top-n", ("implicit ALS",))
    medians = {
        ("top-n", "ours wals"): figures(1.0, 1.0, 0.10),
        ("top-n", "implicit ALS"): figures(1.0, 1.0, 0.11),
    }
    *_, row = speed._entries(contest, medians)
    assert (row["metric"], row["holds"], row["required"]) == ("ndcg@10 beside implicit ALS", False, False)


# -- ratings ------------------------------------------------------------------------------------


def test_ratings_are_held_to_what_is_published_or_to_the_baseline_predictor() -> None:
    ratings = bench("ratings")

    def row(name: str, error: float) -> Any:
        return ratings._entries(name, ratings._Rated(error, 0.7, 0.0), 0.945)[0]

    for name, error, reference, holds in (
        ("svdpp", 0.92, 0.919, True),
        ("svdpp", 0.93, 0.919, False),
        ("co_clustering", 0.96, 0.963, True),
        ("pmf", 0.944, 0.945, True),
        ("pmf", 0.945, 0.945, False),
    ):
        found = row(name, error)
        assert (found["reference"], found["holds"], found["required"]) == (reference, holds, True)
    assert bench("rows").not_held([row("pmf", 0.95), row("pmf", 0.94)]) == [
        "movielens-100k, pmf: rmse is 0.9500, wanted below baseline_predictor's 0.9450"
    ]


def test_every_model_that_foretells_ratings_is_held_to_something() -> None:
    steps: list[tuple[int, int]] = []
    names = ["slope_one", "wals", "pmf"]
    judged = bench("ratings").judge_ratings(names, some_ratings(), lambda *step: steps.append(step))
    of_rmse = {row["model"]: row for row in judged.entries if row["metric"] == "rmse"}
    assert list(of_rmse) == ["baseline_predictor", "slope_one", "pmf"]
    assert all(row["required"] and row["holds"] is not None for row in of_rmse.values())
    assert of_rmse["pmf"]["reference"] == of_rmse["baseline_predictor"]["value"]
    assert {row["holds"] for row in judged.entries if row["metric"] == "mae"} == {None}
    assert steps[-1] == (15, 15)
    assert bench("ratings").judge_ratings(["wals"], some_ratings(), ignore).entries == []


# -- lists --------------------------------------------------------------------------------------


def lists_data() -> tuple[Feedback, Knowledge]:
    """What was had, and a tag that each visitor gave each of its films."""
    feedback = some_ratings(n_users=12, n_items=30, n=240)
    pairs = zip(feedback.users.tolist(), feedback.items.tolist(), strict=True)
    tags = [Tagging(feedback.user_ids[u], feedback.item_ids[i], f"{u} had {i}") for u, i in pairs]
    return feedback, Knowledge({name: Item(item_id=name, title=name) for name in feedback.item_ids}, tags)


def test_models_of_lists_know_no_tag_of_what_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, (feedback, knowledge) = bench("lists"), lists_data()
    given: list[Knowledge] = []
    whole = lists._listed
    monkeypatch.setattr(lists, "_listed", lambda *each: (given.append(each[2]), whole(*each))[1])
    lists.judge_lists(["item_popularity"], (feedback, knowledge), ignore)
    train = last_of_each(feedback).train
    pairs = zip(train.users.tolist(), train.items.tolist(), strict=True)
    told = {(train.user_ids[u], train.item_ids[i]) for u, i in pairs}
    had = {each.tag for each in knowledge.tags if (each.user_id, each.item_id) in told}
    (known,) = given
    assert {tag for item in known.items.values() for tag in item.tags} == had
    assert {each.tag for each in known.tags} == had
    assert 0 < len(had) < len(knowledge.tags)


def test_what_is_trained_for_lists_has_to_beat_popularity_or_says_why_not() -> None:
    lists, worse = bench("lists"), bench("lists")._Listed(dict.fromkeys(bench("lists")._METRICS, 0.1), 1, 1)
    rows = {name: lists._entries(name, worse, 0.2) for name in ("wals", "trending_items", "pmf")}
    told = {name: (of[0]["holds"], of[0]["required"], "excuse" in of[0]) for name, of in rows.items()}
    assert told == {
        "wals": (False, True, False),
        "trending_items": (False, False, True),
        "pmf": (None, False, False),
    }
    text = printed(lists._table(dict.fromkeys(rows, worse), rows))
    assert "no (1)" in text
    assert f"(1) {lists._EXCUSED['trending_items']}" in text


def test_popularity_is_beside_whoever_is_asked_for() -> None:
    judged = bench("lists").judge_lists(["truncated_svd"], lists_data(), ignore)
    rows = {(row["model"], row["metric"]): row for row in judged.entries}
    row = rows["truncated_svd", "ndcg@10"]
    assert row["reference"] == rows["item_popularity", "ndcg@10"]["value"]
    assert row["holds"] == (row["value"] > row["reference"])
    assert rows["item_popularity", "ndcg@10"]["holds"] is None


# -- rows ---------------------------------------------------------------------------------------


def test_rows_take_the_place_of_those_that_say_the_same(tmp_path: Path) -> None:
    rows, report = bench("rows"), tmp_path / "report.json"
    first = [
        rows.entry("m", "d", "rmse", 1.0),
        rows.entry("m", "d", "mae", 2.0),
        rows.entry("m", "d", "rmse", 3.0, setting="s"),
    ]
    rows.add_to_report(report, first)
    rows.add_to_report(report, [rows.entry("m", "d", "rmse", 4.0, reference=3.0, holds=False)])
    assert [each["value"] for each in json.loads(report.read_text())] == [2.0, 3.0, 4.0]


def test_a_claim_that_is_required_and_does_not_hold_is_told() -> None:
    rows = bench("rows")
    entries = [
        rows.entry("m", "d", "rmse", 4.0, reference=3.0, holds=False, required=True, claim="below"),
        rows.entry("m", "d", "mae", 4.0, reference=3.0, holds=False, claim="below"),
        rows.entry("m", "d", "rmse", 2.0, setting="s", reference=3.0, holds=True, required=True),
        rows.entry("m", "d", "rmse", 4.0, reference=3.0, required=True, excuse="it need not", claim="below"),
        rows.entry("m", "d", "rmse", 4.0, required=True, claim="below"),
    ]
    assert rows.not_held(entries) == ["d, m: rmse is 4.0000, wanted below 3.0000"]
    assert [each["holds"] for each in entries] == [False, False, True, False, None]


def test_reasons_stand_below_the_table_once_each() -> None:
    rows = bench("rows")
    notes = rows.Notes()

    def mark(excuse: str = "", *, holds: bool = False) -> str:
        row = rows.entry("m", "d", "rmse", 4.0, reference=3.0, holds=holds, required=True, excuse=excuse)
        return str(notes.mark(row))

    assert mark("never told", holds=True) == "[green]ok[/]"
    assert mark() == "[bold red]no[/]"
    assert [mark(each)[-3:] for each in ("slow", "old", "slow")] == ["(1)", "(2)", "(1)"]
    assert notes.under("Below.") == "Below.\n(1) slow\n(2) old"


# -- data ---------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    texts = {
        "ratings.txt": "1 1 2\n2 1 3.5\n1 1 4\n",
        "trust.txt": "1 2 1\n",
        "groupMember.txt": "7 1,2\n8 2\n",
        "userRatingTrain.txt": "1 10 60\n2 11 80\n",
        "groupRatingTest.txt": "7 10 70\n",
        "vocabulary.dat": "gene\nweb\n",
        "tags.dat": "biology\nrare\n",
        "mult.dat": "2 0:2 1:1\n1 1:1\n1 0:1\n",
        "tag-item.dat": "3 0 1 2\n1 0\n",
        "users.dat": "2 0 2\n1 1\n",
        "ratings.csv": "userId,movieId,rating,timestamp\n1,10,4.0,5\n2,10,3.0,6\n",
        "tags.csv": "userId,movieId,tag,timestamp\n1,10,Dark ,5\n2,10,dark,6\n2,10,slow,7\n",
        "movies.csv": "movieId,title,genres\n10,Alien,Horror|Sci-Fi\n11,Big,(no genres listed)\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_pair_that_is_rated_twice_is_rated_once_by_its_last_word(files: Path) -> None:
    feedback, knowledge = bench("data").filmtrust(files)
    assert (feedback.user_ids, feedback.values.tolist()) == (["1", "2"], [4.0, 3.5])
    assert [tuple(each) for each in knowledge.trust] == [("1", "2", 1.0)]


def test_households_are_told_from_their_members(files: Path) -> None:
    members, groups, knowledge = bench("data").camra2011(files)
    assert (members.user_ids, groups.user_ids) == (["1", "2"], ["household 7"])
    assert knowledge.groups == {"household 7": ["1", "2"], "household 8": ["2"]}


def test_articles_have_their_words_as_often_as_they_stand_there_and_common_tags(files: Path) -> None:
    feedback, knowledge = bench("data").citeulike_t(files)
    assert [(item.text, item.tags) for item in knowledge.items.values()] == [
        ("gene gene web", ["biology"]),
        ("web", ["biology"]),
        ("gene", ["biology"]),
    ]
    assert list(
        zip(feedback.users.tolist(), [feedback.item_ids[n] for n in feedback.items], strict=True)
    ) == [
        (0, "0"),
        (0, "2"),
        (1, "1"),
    ]


def test_records_of_films_have_tags_only_once_they_are_put_there(files: Path) -> None:
    _, knowledge = bench("data").movielens_small(files)
    assert [(item.title, item.tags, item.categories) for item in knowledge.items.values()] == [
        ("Alien", [], ["Horror", "Sci-Fi"]),
        ("Big", [], []),
    ]
    assert [each.tag for each in knowledge.tags] == ["dark", "dark", "slow"]
    tagged = bench("data").tagged(knowledge._replace(tags=knowledge.tags[:2]))
    assert [item.tags for item in tagged.items.values()] == [["dark"], []]


def test_without_the_data_it_says_how_to_name_them(tmp_path: Path) -> None:
    for load in ("filmtrust", "depaul_movie", "camra2011", "citeulike_t"):
        with pytest.raises(DatasetError, match="--data names the folder"):
            getattr(bench("data"), load)(tmp_path)
