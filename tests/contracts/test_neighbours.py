"""What every session nearest neighbour model promises beyond its formulas."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_sessions import HOUR_MS, by_item, clicks, histories, sessions_of
from pydantic import ValidationError

from streamrec.contracts import Session, TrainOptions
from streamrec.errors import ConfigError, DatasetError
from streamrec.models import session_model
from streamrec.models._neighbours import NeighbourModel
from streamrec.models.stan import STAN, STANConfig
from streamrec.models.vmis_knn import VMISKNN, VMISKNNConfig
from streamrec.models.vs_knn import VSKNN, VSKNNConfig
from streamrec.session_index import IndexedSession, SessionIndex

Make = Callable[..., NeighbourModel[Any]]
each_model = pytest.mark.parametrize("make", [VSKNN, STAN, VMISKNN], ids=lambda made: made.__name__)


def trained(make: Make, sessions: Sequence[Session], **fields: Any) -> NeighbourModel[Any]:
    model = make(make.Config(**fields))  # type: ignore[attr-defined]
    model.train(sessions)
    return model


@each_model
@given(history=histories(), items=clicks, bound=st.integers(1, 12))
def test_learned_click_by_click_it_is_the_one_trained_at_once(
    make: Make, history: list[IndexedSession], items: list[str], bound: int
) -> None:
    # One of two clicks in any case, so that there is something to learn.
    history = [*history, IndexedSession(9 * HOUR_MS, "s", ("a", "b"))]
    at_once = trained(make, sessions_of(history), max_sessions=bound, max_items=4)
    by_click = make(at_once.config)
    for session in sorted(history):
        for item in session.items:
            by_click.learn_click(session.key, item, session.time_ms)
    assert list(by_click.index) == list(at_once.index)
    assert by_item(by_click, Session(items)) == by_item(at_once, Session(items))


@each_model
def test_items_that_no_neighbour_has_are_not_scored(make: Make) -> None:
    model = trained(make, [Session(["a", "x"]), Session(["b", "y"])])
    (scores,) = by_item(model, Session(["a"]))
    assert set(scores) == {"a", "x"}
    assert by_item(model, Session(["never seen"])) == [{}]


@each_model
def test_unknown_clicks_are_passed_over(make: Make) -> None:
    model = trained(make, [Session(["a", "x", "b"]), Session(["b", "y"]), Session(["u", "v"])])
    with_unknown = by_item(model, Session(["a", "?", "b", "?"]))
    a, b = by_item(model, Session(["a", "b"]))
    assert with_unknown == [a, a, b, b]


@each_model
def test_a_session_is_not_its_own_neighbour(make: Make) -> None:
    model = trained(make, [Session(["a", "x"], session_id="mine"), Session(["a", "y"], session_id="other")])
    (scores,) = by_item(model, Session(["a"], session_id="mine"))
    assert set(scores) == {"a", "y"}


@each_model
def test_where_nobody_clicks_twice_the_current_item_comes_last(make: Make) -> None:
    sessions = [Session(["a", "x"]), Session(["a", "y"]), Session(["u", "v"])]
    (scores,) = by_item(trained(make, sessions), Session(["a"]))
    assert scores["a"] == 0.0 < min(scores["x"], scores["y"])
    (scores,) = by_item(trained(make, sessions, repeat_share=False), Session(["a"]))
    assert scores["a"] > 0.5


@each_model
def test_the_current_items_share_of_all_scores_is_that_of_repeated_clicks(make: Make) -> None:
    # Of five clicks after a first one, two are on the same item again.
    sessions = [Session(["a", "a", "x", "y"]), Session(["a", "z"]), Session(["u", "u"])]
    model = trained(make, sessions)
    scores = model.item_scores(model.index, ["u", "a"])
    assert scores["a"] / sum(scores.values()) == pytest.approx(2 / 5)
    assert set(scores) == {"a", "u", "x", "y", "z"}


@each_model
def test_where_all_clicks_repeat_the_current_item_is_still_scored(make: Make) -> None:
    model = trained(make, [Session(["a", "a"]), Session(["b", "b"])])
    assert by_item(model, Session(["a"])) == [{"a": 1.0}]


@each_model
def test_any_index_can_be_asked_and_asking_changes_nothing(make: Make) -> None:
    model, index = make(), SessionIndex()
    for n, items in enumerate(["abx", "by", "uv"]):
        index.put(f"s{n}", list(items), n)
    before = list(index)
    first = model.item_scores(index, ["a", "b"])
    assert set(first) == {"a", "b", "x", "y"}
    assert model.item_scores(index, ["a", "b"]) == first
    assert list(index) == before
    assert not model.items


@each_model
def test_an_item_learned_later_is_scored(make: Make) -> None:
    model = trained(make, [Session(["a", "x"], [1, 2]), Session(["u", "v"], [1, 2])])
    model.learn_click("new", "a", 3)
    model.learn_click("new", "fresh", 4)
    assert model.items[-1] == "fresh"
    (scores,) = by_item(model, Session(["a"]))
    assert set(scores) == {"a", "x", "fresh"}


@each_model
def test_items_come_by_popularity_and_training_again_forgets(make: Make) -> None:
    model = trained(make, [Session(["old", "older"])])
    report = model.train([Session(["b", "a", "c", "a"]), Session(["c", "a"]), Session(["lonely"])])
    assert list(model.items) == ["a", "c", "b"]
    assert report.events == 7
    assert report.losses == []


@each_model
def test_sessions_without_times_count_in_their_order(make: Make) -> None:
    sessions = [Session(["a", "x"]), Session(["a", "y"]), Session(["a", "z"])]
    (scores,) = by_item(trained(make, sessions, sample_size=2), Session(["a"]))
    assert set(scores) == {"a", "y", "z"}


@each_model
@pytest.mark.parametrize(
    ("sessions", "message"),
    [
        ([], "no session has two clicks or more"),
        ([Session(["a"]), Session([])], "no session has two clicks or more"),
        ([Session(["a", "b"], [1])], "1 times for 2 items; give one for each, or none"),
        ([Session("ab", (), "s"), Session("cd", (), "s")], "session 's' comes twice; join its clicks"),
        ([Session("ab", [1, 2]), Session("cd")], "2 of 4 clicks have no time; give times to all of them"),
    ],
)
def test_sessions_it_cannot_learn_from_are_refused(make: Make, sessions: list[Session], message: str) -> None:
    model = trained(make, [Session(["a", "x"])])
    with pytest.raises(DatasetError, match=message):
        model.train(sessions)
    assert model.items == ["a", "x"]


@each_model
def test_a_bound_that_leaves_no_neighbours_is_refused(make: Make) -> None:
    for fields in ({"k": 0}, {"sample_size": 0}, {"max_sessions": 0}, {"max_items": 1}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            make.Config(**fields)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "parameters", "config"),
    [
        ("vs-knn", {"k": "7", "similarity": "dot"}, VSKNNConfig(k=7, similarity="dot")),
        ("STAN", {"lambda_snh": "2.5"}, STANConfig(lambda_snh=2.5)),
        ("VMIS-kNN", {"sample_size": "250", "idf": "false"}, VMISKNNConfig(sample_size=250, idf=False)),
    ],
)
def test_it_is_made_by_name_and_parameters(name: str, parameters: dict[str, str], config: Any) -> None:
    model: Any = session_model(name, parameters)
    assert model.Config is type(config)
    assert model.config == config


@pytest.mark.parametrize(("name", "parameter"), [("vs_knn", "weighting"), ("vmis_knn", "decay")])
def test_there_are_no_other_decays(name: str, parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"{parameter}: Input should be 'same', 'linear'"):
        session_model(name, {parameter: "steep"})


def test_training_tells_how_far_it_is() -> None:
    steps: list[tuple[int, int]] = []
    options = TrainOptions(on_step=lambda done, total, _loss: steps.append((done, total)))
    VMISKNN().train([Session(["a", "b"])] * 25_000, options)
    assert steps == [(20_000, 50_000), (40_000, 50_000), (50_000, 50_000)]
