"""What every online model promises (contracts.OnlineModel), held against each one there is."""

import pickle
import random
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import optim, reco

from streamrec.contracts import OnlineModel
from streamrec.errors import RecordError, StateError
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig
from streamrec.state.rows import Factors

CONFIG = OnlineMFConfig(factors=8)
VISITORS, ITEMS = "uvwxy", "abcdefg"
Make = Callable[[], OnlineModel]


def online_mf() -> OnlineMF:
    return OnlineMF(CONFIG, seed=5)


ONLINE_MODELS: list[Make] = [online_mf]
every_model = pytest.mark.parametrize("make", ONLINE_MODELS, ids=lambda make: make.__name__)

events = st.lists(
    st.tuples(
        st.sampled_from(VISITORS),
        st.sampled_from(ITEMS),
        st.sampled_from([0.0, 1.0, 1.5]),
        st.lists(st.sampled_from(ITEMS), max_size=3),
    ),
    max_size=30,
)


class Learner:
    """A model with the visitors' factors beside it, as in rows."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.model = make()
        self.visitors: dict[str, Factors] = {}

    def learn(self, visitor: str, item: str, target: float = 1.0, negatives: list[str] | None = None) -> None:
        factors = self.visitors.get(visitor) or self.model.visitor(visitor)
        self.visitors[visitor] = self.model.learn_one(visitor, factors, item, target, negatives or [])

    def learn_together(self, events: list[Any]) -> None:
        """The same in one run."""
        numbers: dict[str, int] = {}
        for visitor, item, target, negatives in events:
            before = numbers.get(visitor, self.visitors.get(visitor, Factors()))
            numbers[visitor] = self.model.learn(visitor, before, item, target, negatives)
        learned = self.model.run()
        self.visitors |= {visitor: learned[number] for visitor, number in numbers.items()}

    def restore(self) -> None:
        """A new model from the items' factors and the numbers alone."""
        old, self.model = self.model, self.make()
        for item in ITEMS:
            self.model.set_item(item, old.item(item))
        self.model.set_numbers(*old.numbers())

    def everything(self) -> tuple[object, ...]:
        return self.visitors, [self.model.item(item) for item in ITEMS], self.model.numbers()

    def score(self, visitor: str, item: str) -> float:
        factors = self.visitors.get(visitor) or self.model.visitor(visitor)
        of_item = self.model.item(item)
        return float(vector(factors) @ vector(of_item)) + factors.bias + of_item.bias


def vector(factors: Factors) -> NDArray[np.float64]:
    return np.frombuffer(factors.vector, "<f8")


@every_model
@given(events=events, cuts=st.sets(st.integers(0, 30)))
def test_a_model_restored_from_its_factors_goes_on_bit_for_bit(
    make: Make, events: list[Any], cuts: set[int]
) -> None:
    straight, restored = Learner(make), Learner(make)
    for place, event in enumerate(events):
        if place in cuts:
            restored.restore()
        straight.learn(*event)
        restored.learn(*event)
    assert restored.everything() == straight.everything()


@every_model
@given(events=events, cuts=st.sets(st.integers(1, 30)))
def test_what_is_learned_does_not_depend_on_how_it_is_cut_into_runs(
    make: Make, events: list[Any], cuts: set[int]
) -> None:
    alone, together = Learner(make), Learner(make)
    for event in events:
        alone.learn(*event)
    for start, end in pairwise([0, *sorted(cuts), len(events) + 31]):
        together.learn_together(events[start:end])
    assert together.everything() == alone.everything()


@every_model
def test_a_run_gives_the_visitors_factors_after_each_interaction(make: Make) -> None:
    alone, together = make(), make()
    first = alone.learn_one("v", Factors(), "a", 1.0, ["b"])
    second = alone.learn_one("v", first, "b", 0.0, [])
    number = together.learn("v", Factors(), "a", 1.0, ["b"])
    together.learn("v", number, "b", 0.0, [])
    assert together.run() == [first, second]
    assert together.run() == []


@every_model
def test_what_waits_is_seen_after_the_run(make: Make) -> None:
    model = make()
    before = model.item("a"), model.numbers()
    model.learn("v", Factors(), "a", 1.0, [])
    assert (model.item("a"), model.numbers()) == before
    model.run()
    assert model.item("a") != before[0]
    assert model.numbers() == (1, 1.0)


@every_model
def test_an_item_dropped_while_interactions_wait_begins_afresh(make: Make) -> None:
    alone, together = make(), make()
    for model in (alone, together):
        model.learn_one("u", Factors(), "a", 1.0, [])
    first = alone.learn_one("v", Factors(), "a", 1.0, ["b"])
    alone.drop_item("a")
    second = alone.learn_one("v", first, "b", 1.0, ["a"])
    alone.drop_item("b")
    number = together.learn("v", Factors(), "a", 1.0, ["b"])
    together.drop_item("a")
    together.learn("v", number, "b", 1.0, ["a"])
    together.drop_item("b")
    assert together.run() == [first, second]
    assert together.item("a") == alone.item("a")
    assert together.item("b") == alone.item("b") == make().item("b")


@every_model
def test_reading_changes_nothing(make: Make) -> None:
    model = make()
    model.learn_one("v", model.visitor("v"), "a", 1.0, ["b"])
    before = pickle.dumps(model)
    model.item("a"), model.item("unseen"), model.visitor("v"), model.visitor("unseen"), model.numbers()
    assert pickle.dumps(model) == before


@every_model
def test_visitors_are_not_held(make: Make) -> None:
    model = make()
    model.learn_one("visitor-of-a-minute", Factors(), "a", 1.0, ["b"])
    assert b"visitor-of-a-minute" not in pickle.dumps(model)


@every_model
def test_learning_changes_the_item_and_its_negatives_and_no_other(make: Make) -> None:
    learner = Learner(make)
    for item in ITEMS:
        learner.learn("v", item)
    before = {item: learner.model.item(item) for item in ITEMS}
    learner.learn("w", "a", 1.0, ["c", "f"])
    assert {item for item in ITEMS if learner.model.item(item) != before[item]} == {"a", "c", "f"}


@every_model
def test_factors_given_and_taken_are_copies(make: Make) -> None:
    model = make()
    given_visitor, given_item = model.visitor("v"), model.item("a")
    model.set_item("a", given_item)
    taken = model.item("a")
    model.learn_one("v", given_visitor, "a", 1.0, [])
    assert given_visitor == model.visitor("v")
    assert taken == given_item != model.item("a")


@every_model
def test_a_dropped_item_is_as_if_never_seen(make: Make) -> None:
    model = make()
    unseen = model.item("a")
    model.learn_one("v", model.visitor("v"), "a", 1.0, [])
    assert model.item("a") != unseen
    model.drop_item("a")
    model.drop_item("never there")
    assert model.item("a") == unseen


@every_model
def test_visitors_items_and_seeds_start_apart(make: Make) -> None:
    model = make()
    assert len({model.item("a").vector, model.item("b").vector, model.visitor("a").vector}) == 3
    assert OnlineMF(CONFIG, seed=6).item("a") != model.item("a")


@every_model
def test_the_withheld_square_of_a_checkerboard_comes_first(make: Make) -> None:
    learner = Learner(make)
    draw = random.Random(1)
    visitors = [f"v{n}" for n in range(20)]
    items = [f"i{n}" for n in range(10)]
    for _ in range(2000):
        v, i = draw.randrange(20), draw.randrange(10)
        if (v + i) % 2 == 0 and (v, i) != (4, 6):
            learner.learn(visitors[v], items[i], 1.0, [draw.choice(items)])
    unseen_or_odd = [items[6], *items[1::2]]
    assert max(unseen_or_odd, key=lambda item: learner.score("v4", item)) == items[6]


@every_model
def test_a_dislike_lowers_the_score_and_a_click_raises_it(make: Make) -> None:
    learner = Learner(make)
    for visitor in VISITORS:
        learner.learn(visitor, "a")
    before = learner.score("u", "a")
    learner.learn("u", "a", 0.0)
    disliked = learner.score("u", "a")
    learner.learn("u", "a", 1.0)
    assert disliked < before
    assert learner.score("u", "a") > disliked


@every_model
def test_the_numbers_count_targets_and_their_mean(make: Make) -> None:
    learner = Learner(make)
    learner.learn("v", "a", 1.5, ["b", "c"])
    n, mean = learner.model.numbers()
    assert n == 3
    assert mean == pytest.approx(0.5)


def test_initial_vectors_are_the_same_on_every_machine() -> None:
    first, second = struct.unpack("<8d", OnlineMF(CONFIG, seed=0).item("a").vector)[:2]
    assert (first, second) == (0.09886718690612704, 0.1237445061128048)


def test_initial_vectors_have_the_length_that_the_configuration_says() -> None:
    model = OnlineMF(OnlineMFConfig(factors=16, item_scale=0.5, visitor_scale=0.0), seed=0)
    lengths = [float(vector(model.item(f"i{n}")) @ vector(model.item(f"i{n}"))) for n in range(500)]
    assert np.mean(lengths) == pytest.approx(0.25, rel=0.05)
    assert not vector(model.visitor("v")).any()


def test_factors_of_another_length_are_refused_with_the_way_out() -> None:
    model = online_mf()
    with pytest.raises(StateError, match=r"item a: .* 2 factors, but online_mf.factors is 8"):
        model.set_item("a", Factors(bytes(16)))
    with pytest.raises(StateError, match="visitor v"):
        model.learn_one("v", Factors(bytes(16)), "a", 1.0, [])


def test_a_visitor_without_a_vector_is_one_never_seen() -> None:
    assert online_mf().learn_one("v", Factors(), "a", 1.0, []) == online_mf().learn_one(
        "v", online_mf().visitor("v"), "a", 1.0, []
    )


@given(
    factors=st.sampled_from([1, 2, 8, 32, 33]),
    n_items=st.sampled_from([1, 3, 40, 400]),
    n_visitors=st.sampled_from([1, 2, 40, 400]),
    n_negatives=st.integers(0, 3),
    seed=st.integers(0, 1 << 30),
)
@settings(max_examples=60, deadline=None)
def test_a_wave_gives_each_interaction_what_it_has_alone(
    factors: int, n_items: int, n_visitors: int, n_negatives: int, seed: int
) -> None:
    """From chains of a single visitor to waves of two hundred."""
    draw = random.Random(seed)
    alone, together = (Learner(lambda: OnlineMF(OnlineMFConfig(factors=factors), seed=5)) for _ in range(2))
    events = [
        (f"v{draw.randrange(n_visitors)}", *draw_items(draw, n_items, draw.choice([0, n_negatives])))
        for _ in range(200)
    ]
    for event in events:
        alone.learn(*event)
    together.learn_together(events)
    assert together.visitors == alone.visitors
    for n in range(n_items):
        assert together.model.item(f"i{n}") == alone.model.item(f"i{n}")


def draw_items(draw: random.Random, n_items: int, n_negatives: int) -> tuple[str, float, list[str]]:
    """An item, its target, and negatives, perhaps the item itself or one of them twice."""
    item, *negatives = (f"i{draw.randrange(n_items)}" for _ in range(1 + n_negatives))
    return item, draw.choice([0.0, 1.0, 1.5]), negatives


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.filterwarnings("error")
def test_numbers_that_cease_to_be_finite_leave_the_model_as_it_was(n: int) -> None:
    model = OnlineMF(CONFIG, seed=5)
    model.set_item("a", Factors(np.array([1e308, -1e308] * 4).tobytes()))
    before = pickle.dumps([model.item(item) for item in "ab"]), model.numbers()
    for each in range(n):
        model.learn(f"v{each}", Factors(), f"unseen-{each}", 1.0, [f"drawn-{each}"])
    # The sum of products is ∞ - ∞.
    model.learn("v", Factors(np.full(8, 1e308).tobytes()), "a", 1.0, ["b"])
    with pytest.raises(RecordError, match="leaves the finite numbers") as failure:
        model.run()
    assert failure.value.reason == "model_failed"
    assert (pickle.dumps([model.item(item) for item in "ab"]), model.numbers()) == before
    assert b"unseen-0" not in pickle.dumps(model)
    assert model.run() == []


def test_numbers_whose_sum_alone_is_not_finite_are_learned() -> None:
    model = OnlineMF(CONFIG, seed=5)
    for item in "ab":
        model.set_item(item, Factors(np.full(8, 1e308).tobytes()))
    for item in "ab":
        model.learn(item, Factors(bytes(64)), item, 0.0, [])
    assert len(model.run()) == 2


@given(
    events=events,
    rates=st.tuples(st.sampled_from([0.05, 0.3, 1.0]), st.sampled_from([0.05, 0.3])),
    most=st.sampled_from([0.1, 2.0]),
)
def test_it_learns_as_rivers_funk_mf_does(events: list[Any], rates: tuple[float, float], most: float) -> None:
    config = OnlineMFConfig(
        factors=8, visitor_learning_rate=rates[0], item_learning_rate=rates[1], max_gradient=most
    )
    ours = Learner(lambda: OnlineMF(config, seed=5))
    theirs = reco.FunkMF(n_factors=8, l2=config.regularization, clip_gradient=most)
    theirs.u_optimizer, theirs.i_optimizer = optim.SGD(rates[0]), optim.SGD(rates[1])
    for visitor in VISITORS:
        theirs.u_latents[visitor] = vector(ours.model.visitor(visitor)).copy()
    for item in ITEMS:
        theirs.i_latents[item] = vector(ours.model.item(item)).copy()
    for visitor, item, target, negatives in events:
        ours.learn(visitor, item, target, negatives)
        for _ in range(config.passes):
            theirs.learn_one(visitor, item, target)
            for negative in negatives:
                theirs.learn_one(visitor, negative, 0.0)
    for visitor, factors in ours.visitors.items():
        np.testing.assert_allclose(vector(factors), theirs.u_latents[visitor], rtol=1e-9, atol=1e-9)
    for item in ITEMS:
        learned = vector(ours.model.item(item))
        np.testing.assert_allclose(learned, theirs.i_latents[item], rtol=1e-9, atol=1e-9)
