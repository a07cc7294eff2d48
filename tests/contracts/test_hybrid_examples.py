"""The hybrids of examples/hybrids: each is trained, answers, and is the same when it was saved and loaded."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from streamrec.contracts import TrainOptions
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, make_feedback
from streamrec.models import RECOMMENDERS, recommender_class, recommender_of
from streamrec.node_files import load_node
from streamrec.recommender import Recommender, Visitor

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "hybrids").glob("*.yaml"))
GENRES = {
    "Western": ["Dust", "Rider", "Canyon", "Outlaw"],
    "Science Fiction": ["Orbit", "Signal", "Colony", "Nebula"],
    "Romance": ["Letters", "Summer", "Waltz", "Harbour"],
}

every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def films() -> Knowledge:
    """Twelve films of each genre, with titles, tags and categories."""
    items = [
        Item(
            item_id=f"{genre[:1]}{n}",
            title=f"{words[n % 4]} {words[(n + 1 + n // 4) % 4]} {n}",
            tags=[words[n % 4].lower(), "classic" if n % 3 else "new"],
            categories=[genre] if n % 5 else [genre, "Drama"],
        )
        for genre, words in GENRES.items()
        for n in range(12)
    ]
    return Knowledge({item.item_id: item for item in items})


@cache
def ratings() -> Feedback:
    """Sixty visitors, each fond of a genre: what they rate, mostly of it, and how."""
    rng = np.random.default_rng(7)
    fond_of, rows = list(GENRES), []
    for visitor in range(60):
        for place in range(int(rng.integers(3, 16))):
            genre = fond_of[visitor % 3] if rng.random() < 0.7 else fond_of[int(rng.integers(3))]
            film = f"{genre[:1]}{int(12 * rng.random() ** 1.5)}"
            value = (4.2 if genre == fond_of[visitor % 3] else 2.4) + rng.normal(0, 0.6)
            rows.append((f"v{visitor}", film, float(np.clip(np.round(value), 1, 5)), place))
    return make_feedback(*zip(*rows, strict=True))


@cache
def trained(path: Path) -> Recommender:
    model = recommender_of(load_node(path))
    model.train(ratings(), films(), TrainOptions(seed=1))
    return model


def _named(value: object) -> Iterator[str]:
    """The recommenders named in a node."""
    if isinstance(value, dict):
        if "model" in value:
            yield value["model"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _named(each)


def test_there_is_an_example_of_every_hybrid() -> None:
    hybrids = {name for name in RECOMMENDERS if name.endswith("_hybrid")}
    hybrids |= {"feature_combination", "feature_augmentation"}
    assert {load_node(path)["model"] for path in EXAMPLES} == hybrids
    assert len(list(_named(load_node(EXAMPLES[0].with_name("nested.yaml"))))) == 7


@every_example
def test_visitors_get_more_of_what_they_are_fond_of(path: Path) -> None:
    model, share = trained(path), []
    for visitor in range(60):
        scores = model.score(Visitor(f"v{visitor}"))
        best = np.argsort(-np.nan_to_num(scores, nan=-np.inf))[:10]
        fond_of = list(GENRES)[visitor % 3][:1]
        share.append(np.mean([model.items[place].startswith(fond_of) for place in best]))
    assert np.mean(share) > 0.55


@every_example
def test_a_stranger_is_answered_by_what_it_comes_with(path: Path) -> None:
    model = trained(path)
    for had in (["W1"], ["W1", "W2", "W4", "W5", "W7", "W8"]):
        stranger = Visitor("", had, [5.0] * len(had))
        scores = model.score(stranger, ["W3", "R3"])
        assert np.isfinite(scores).all()
        assert scores[0] >= scores[1]
        assert model.explain(stranger, "W3")


@every_example
def test_ratings_are_ratings(path: Path) -> None:
    model = trained(path)
    config = model.config  # type: ignore[attr-defined]
    if (
        "rating" in recommender_class(load_node(path)["model"]).tasks
        and getattr(config, "task", "rating") == "rating"
    ):
        found = np.array([model.score(Visitor(f"v{n}")) for n in range(60)])
        assert np.nanmin(found) >= 1
        assert np.nanmax(found) <= 5


@every_example
def test_saved_and_loaded_it_is_the_same(path: Path, tmp_path: Path) -> None:
    model = trained(path)
    model.save(tmp_path / "saved")
    loaded = type(model).load(tmp_path / "saved")
    assert loaded.config == model.config  # type: ignore[attr-defined]
    assert list(loaded.items) == list(model.items)
    for visitor in (Visitor("v1"), Visitor("", ["R1", "R2"], [5.0, 4.0]), Visitor()):
        np.testing.assert_array_equal(loaded.score(visitor), model.score(visitor))
        assert loaded.explain(visitor, "R4") == model.explain(visitor, "R4")
