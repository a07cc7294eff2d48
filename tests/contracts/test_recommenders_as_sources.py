"""Every recommender can be published, loaded, and be a source of live lists."""

import json
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from ranking_parts import board, visitor
from recommender_answers import QUICK, ratings, ratings_knowledge
from state_parts import BASE

from streamrec.board_opener import board_opener
from streamrec.boards import Boards
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.contracts import TrainOptions
from streamrec.errors import ArtifactError, ConfigError, RegistryError, SignatureError
from streamrec.events import Item, Recommendation, encode
from streamrec.models import RECOMMENDERS, recommender, recommender_class, recommender_of
from streamrec.proposals import item_keys
from streamrec.ranking import recommend
from streamrec.recommender import Visitor
from streamrec.recommender_artifacts import TrainedRecommender, load_recommender, train_recommender
from streamrec.recommender_source import RecommenderSource
from streamrec.registry import Registry
from streamrec.state.rows import Factors, VisitorRow

every_model = pytest.mark.parametrize("name", RECOMMENDERS)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path, trusted=None)


def published(registry: Registry, name: str) -> TrainedRecommender:
    node = {"model": name, **QUICK.get(name, {})}
    return train_recommender(node, ratings(), registry, knowledge=ratings_knowledge(), seed=3)


def of(registry: Registry, trained: TrainedRecommender, **scoring: Any) -> Settings:
    return Settings.model_validate(
        {
            "registry": {"path": str(registry.path), "require_signature": False},
            "scoring": {"k": 6, "recommenders": {trained.model: {"version": trained.version}}, **scoring},
        }
    )


def lists(
    settings: Settings, visitors: list[tuple[str, VisitorRow]], catalogue: Catalogue | None = None
) -> list[Recommendation]:
    opened = board_opener(settings)()
    return recommend(
        visitors,
        Boards(board(), opened.sessions, opened.recommenders),
        lambda version: None,
        catalogue or Catalogue(),
        settings,
        partition=0,
        now_ms=BASE,
    )


def known(number: int, *items: str) -> tuple[str, VisitorRow]:
    """A visitor of training, by number, now in a session of some items."""
    _, row = visitor(seed=number, items=list(items) or ["i00"], factors=Factors())
    return f"u{number:02d}", row


@every_model
def test_it_is_published_and_loaded_as_it_was_trained(name: str, registry: Registry) -> None:
    trained = published(registry, name)
    loaded = load_recommender(registry, name, trained.version)
    model = recommender(name, QUICK.get(name))
    model.train(ratings(), ratings_knowledge(), TrainOptions(3))
    for visitor_id in ("u00", "u17", "nobody"):
        assert_array_equal(loaded.score(Visitor(visitor_id)), model.score(Visitor(visitor_id)))
    assert trained.items == len(loaded.items)


_SERVING = """
import json, sys
for name in ("implicit", "sklearn", "threadpoolctl", "torch", "yaml"):
    sys.modules[name] = None  # importing it fails
from pathlib import Path
from streamrec.recommender import Visitor
from streamrec.recommender_artifacts import load_recommender
from streamrec.registry import Registry
registry = Registry(Path(sys.argv[1]), trusted=None)
for name, version in json.loads(sys.argv[2]).items():
    model = load_recommender(registry, name, version)
    model.score(Visitor("stranger", list(model.items)[:3]))
    model.explain(Visitor("u01"), model.items[0])
print(len(json.loads(sys.argv[2])))
"""


def test_serving_needs_nothing_of_the_train_extra(registry: Registry) -> None:
    versions = json.dumps({name: published(registry, name).version for name in RECOMMENDERS})
    ran = subprocess.run(
        [sys.executable, "-c", _SERVING, str(registry.path), versions], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) == len(RECOMMENDERS)


@every_model
def test_its_best_items_are_in_the_lists(name: str, registry: Registry) -> None:
    trained = published(registry, name)
    asking = [known(1, "i01", "i02", "i01"), known(7), ("stranger", known(9, "i05")[1])]
    made = lists(of(registry, trained, trace=True), asking)
    model = load_recommender(registry, name, trained.version)
    for (visitor_id, row), one in zip(asking, made, strict=True):
        items = list(dict.fromkeys(reversed(row.items)))[::-1]
        scores = model.score(Visitor(visitor_id, items))
        best = np.lexsort((item_keys(model.items), -np.nan_to_num(scores, nan=-np.inf)))[:6]
        expected = [model.items[place] for place in best if not np.isnan(scores[place])]
        assert one.candidates is not None
        assert one.candidates[name] == expected
        if expected:
            assert any(name in item.sources for item in one.items)


@every_model
def test_no_list_depends_on_its_batch(name: str, registry: Registry) -> None:
    settings = of(registry, published(registry, name))
    asking = [known(number, f"i{number:02d}") for number in range(6)]
    together = lists(settings, asking)
    assert [lists(settings, [each])[0] for each in asking] == together


@cache
def source(name: str) -> RecommenderSource:
    model = recommender(name, QUICK.get(name))
    model.train(ratings(), ratings_knowledge())
    return RecommenderSource(model)


def asked(
    of_source: RecommenderSource, n: int = 5, catalogue: Catalogue | None = None, *excluded: str
) -> list[str]:
    return of_source.proposals([known(3)], n, catalogue or Catalogue(), [frozenset(excluded)]).names(0)


def test_what_must_not_be_shown_is_not_proposed_and_those_behind_move_up() -> None:
    best = asked(source("item_popularity"))
    catalogue = Catalogue()
    catalogue.on_record(best[0].encode(), encode(Item(item_id=best[0], available=False)))
    behind = asked(source("item_popularity"), 7)
    assert asked(source("item_popularity"), 5, catalogue, best[2]) == [
        item_id for item_id in behind if item_id not in (best[0], best[2])
    ]


def test_more_items_than_there_are_are_all_that_there_are() -> None:
    every = asked(source("item_popularity"), 1000)
    assert sorted(every) == [f"i{n:02d}" for n in range(25)]
    assert asked(source("item_popularity"), 1000, Catalogue(), *every[1:]) == every[:1]


class Level:
    """Scores that many items share."""

    items = tuple(f"i{n}" for n in range(9))

    def score(self, visitor: Visitor, items: Any = None) -> Any:
        return np.array([1, 2, 1, 2, np.nan, 2, 1, 2, 0], np.float32)


@pytest.mark.parametrize("n", range(1, 9))
def test_of_equal_scores_the_order_is_that_of_their_keys_whichever_came_first(n: int) -> None:
    groups = [["i1", "i3", "i5", "i7"], ["i0", "i2", "i6"], ["i8"]]
    order = [each for group in groups for each in sorted(group, key=lambda item_id: item_keys([item_id])[0])]
    assert order != [each for group in groups for each in group]
    assert asked(RecommenderSource(Level()), n) == order[:n]  # type: ignore[arg-type]


# -- items that are new -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["content_classifier", "tag_profile", "tfidf_content"])
def test_an_item_that_nobody_had_is_proposed_in_the_list_after_its_record(
    name: str, registry: Registry
) -> None:
    trained = published(registry, name)
    learned = RecommenderSource(load_recommender(registry, name, trained.version))
    catalogue, likes = Catalogue(), ratings()
    liked = next(
        likes.item_ids[item]
        for user, item, value in zip(likes.users, likes.items, likes.values, strict=True)
        if likes.user_ids[user] == "u03" and value == 5
    )
    like = ratings_knowledge().items[liked]
    before = asked(learned, 1000, catalogue)
    alike = Item(item_id="alike", title=like.title, tags=like.tags, categories=like.categories)
    unlike = Item(item_id="unlike", title="Unheard of", tags=["of nobody"])
    for item in (unlike, alike):
        catalogue.on_record(item.item_id.encode(), encode(item))
    after = asked(learned, 1000, catalogue)
    assert sorted(after) == sorted([*before, "alike", "unlike"])
    assert after.index("alike") < after.index("unlike")


def test_a_hybrid_of_content_proposes_a_new_item_too(registry: Registry) -> None:
    node = {
        "model": "weighted_hybrid",
        "task": "top-n",
        "parts": [{"node": {"model": "item_popularity"}}, {"node": {"model": "tag_profile"}}],
    }
    trained = train_recommender(node, ratings(), registry, knowledge=ratings_knowledge())
    learned = RecommenderSource(load_recommender(registry, "weighted_hybrid", trained.version))
    catalogue = Catalogue()
    before = asked(learned, 1000, catalogue)
    catalogue.on_record(b"new", encode(Item(item_id="new", tags=["tag1"], categories=["category1"])))
    assert sorted(asked(learned, 1000, catalogue)) == sorted([*before, "new"])


def test_a_record_that_changes_changes_what_is_proposed() -> None:
    model = recommender("tag_profile")
    model.train(ratings(), ratings_knowledge())
    learned, catalogue = RecommenderSource(model), Catalogue()
    first = asked(learned, 1, catalogue)[0]
    catalogue.on_record(first.encode(), encode(Item(item_id=first, tags=["of nobody"])))
    assert asked(learned, 1, catalogue) != [first]


FOLLOWING: dict[str, dict[str, Any]] = {
    **{name: {"model": name} for name in ("content_classifier", "tag_profile", "tfidf_content")},
    "weighted": {
        "model": "weighted_hybrid",
        "task": "top-n",
        "parts": [{"node": {"model": "item_popularity"}}, {"node": {"model": "tfidf_content"}}],
    },
    "mixed": {
        "model": "mixed_hybrid",
        "merge": "round robin",
        "parts": [{"node": {"model": "tag_profile"}}, {"node": {"model": "item_popularity"}}],
    },
}
"""Nodes of recommenders that follow the items topic."""

following = pytest.mark.parametrize("name", FOLLOWING)


def record(item_id: str, number: int) -> Item:
    """One of the records that an item has in turn; the first is that of training, where there is one."""
    known = ratings_knowledge().items.get(item_id)
    if known is not None and number == 0:
        return known
    return Item(
        item_id=item_id, title=f"Number {number}", tags=[f"tag{number}", f"late{number}"], categories=["c"]
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each of FOLLOWING, trained with records of items that somebody had and of one that nobody had."""
    items = {**ratings_knowledge().items, "only": record("only", 0)}
    found = {}
    for name, node in FOLLOWING.items():
        model = recommender_of(node)
        model.train(ratings(), ratings_knowledge()._replace(items=items))
        found[name] = tmp_path_factory.mktemp(name)
        model.save(found[name])
    return found


def started(saved: dict[str, Path], name: str) -> RecommenderSource:
    return RecommenderSource(recommender_class(FOLLOWING[name]["model"]).load(saved[name]))


def put(catalogue: Catalogue, item: Item) -> None:
    catalogue.on_record(item.item_id.encode(), encode(item))


@following
def test_an_item_whose_record_is_gone_is_proposed_no_more_unless_somebody_had_it(
    name: str, saved: dict[str, Path]
) -> None:
    source, catalogue = started(saved, name), Catalogue()
    for item_id in ("i00", "only", "new"):
        put(catalogue, record(item_id, 0))
    had = {f"i{n:02d}" for n in range(25)}
    assert set(asked(source, 1000, catalogue)) == had | {"only", "new"}
    for item_id in ("i00", "only", "new"):
        catalogue.on_record(item_id.encode(), None)
    assert set(asked(source, 1000, catalogue)) == had
    put(catalogue, record("new", 0))
    assert set(asked(source, 1000, catalogue)) == had | {"new"}


@following
@hypothesis.settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["i00", "i01", "only", "new", "newer"]), st.sampled_from([None, 0, 1, 2])),
        max_size=10,
    )
)
def test_lists_after_a_restart_are_those_of_who_saw_every_record_come_and_go(
    name: str, saved: dict[str, Path], changes: list[tuple[str, int | None]]
) -> None:
    source, catalogue = started(saved, name), Catalogue()
    asking = [known(3, "new", "i05"), known(8), ("stranger", known(9, "i05", "only", "new")[1])]

    def lists_of(source: RecommenderSource, catalogue: Catalogue) -> list[list[str]]:
        proposals = source.proposals(asking, 40, catalogue, [frozenset()] * 3)
        return [proposals.names(place) for place in range(3)]

    for item_id, number in changes:
        if number is None:
            catalogue.on_record(item_id.encode(), None)
        else:
            put(catalogue, record(item_id, number))
        seen = lists_of(source, catalogue)
    if changes:
        compacted = Catalogue()
        for _, item in sorted(catalogue.items.items(), reverse=True):
            put(compacted, item)
        assert lists_of(started(saved, name), compacted) == seen


@following
def test_a_catalogue_is_learned_a_little_at_a_time_or_by_the_list(name: str, saved: dict[str, Path]) -> None:
    catalogue = Catalogue()
    for n in range(7):
        put(catalogue, record(f"new{n}", n))
    at_once = started(saved, name)
    expected = asked(at_once, 1000, catalogue)
    assert list(at_once.learn(catalogue, 3)) == []
    # 25 items of training and the one that nobody had are not in the catalogue.
    assert list(started(saved, name).learn(catalogue, 10)) == [23, 13, 3, 0]
    for turns in range(4):
        source = started(saved, name)
        first, second = source.learn(catalogue, 10), source.learn(catalogue, 10)
        for _ in range(turns):
            next(first, None)
            next(second, None)
        assert asked(source, 1000, catalogue) == expected


@following
def test_while_it_learns_it_looks_again_what_else_has_come(name: str, saved: dict[str, Path]) -> None:
    source, catalogue = started(saved, name), Catalogue()
    put(catalogue, record("new", 0))
    learning = source.learn(catalogue, 1000)
    assert next(learning) == 0
    put(catalogue, record("newer", 0))
    assert next(learning) == 0
    assert list(learning) == []


@following
def test_a_record_that_says_nothing_new_of_contents_costs_no_new_table_of_items(
    name: str, saved: dict[str, Path]
) -> None:
    source, catalogue = started(saved, name), Catalogue()
    new = record("new", 0)
    put(catalogue, new)
    before = source.proposals([known(3)], 5, catalogue, [frozenset()])
    put(catalogue, msgspec.structs.replace(new, price=19.5))
    after = source.proposals([known(3)], 5, catalogue, [frozenset()])
    assert after.ids is before.ids
    assert after.names(0) == before.names(0)


@pytest.mark.parametrize("name", ["weighted", "mixed"])
def test_parts_of_a_hybrid_are_asked_for_all_items_not_by_name_when_new_ones_came(
    name: str, saved: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = recommender_class(FOLLOWING[name]["model"]).load(saved[name])
    source, catalogue = RecommenderSource(model), Catalogue()
    put(catalogue, record("new", 0))
    expected, named = asked(source, 1000, catalogue), list[Any]()
    for part in model._parts:
        score = part.score
        monkeypatch.setattr(
            part,
            "score",
            lambda visitor, items=None, score=score: named.append(items) or score(visitor, items),
        )
    assert asked(source, 1000, catalogue) == expected
    assert named == [None, None]


# -- what cannot be served ----------------------------------------------------------------------


def test_a_damaged_file_is_refused(registry: Registry) -> None:
    trained = published(registry, "item_popularity")
    arrays = Path(trained.directory) / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="the sha256 is not the manifest's"):
        board_opener(of(registry, trained))


def test_a_version_that_does_not_exist_is_named(registry: Registry) -> None:
    trained = published(registry, "item_popularity")
    with pytest.raises(RegistryError, match="item_popularity has no version v0"):
        board_opener(of(registry, trained._replace(version="v0")))


def test_what_is_not_signed_is_refused(registry: Registry) -> None:
    trained = published(registry, "item_popularity")
    settings = Settings.model_validate(
        {
            "registry": {"path": str(registry.path)},
            "scoring": {"recommenders": {trained.model: {"version": trained.version}}},
        }
    )
    with pytest.raises(SignatureError, match="no key is trusted"):
        board_opener(settings)


def test_a_name_that_is_no_recommender_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="there is no model 'magic'"):
        train_recommender({"model": "magic"}, ratings(), registry)
    assert registry.models() == []


def test_scores_that_are_not_those_of_training_are_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = published(registry, "item_popularity")
    made = type(recommender("item_popularity"))
    score = made.score
    monkeypatch.setattr(made, "score", lambda *given: partial(score)(*given) * 1.01)
    with pytest.raises(ArtifactError, match="scores are not those of training"):
        load_recommender(registry, "item_popularity", trained.version)
