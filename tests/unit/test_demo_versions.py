"""Recommenders beside the demo's own sources: which ones can be, and what becomes of them."""

from pathlib import Path

import pytest
from rich.console import Console

from streamrec.config import Settings, load_settings
from streamrec.datasets import Clicks, make_clicks
from streamrec.demo.versions import require_sources, train_beside
from streamrec.demo.view import side_by_side
from streamrec.errors import ConfigError
from streamrec.events import Recommendation, RecommendedItem
from streamrec.recommender import Visitor
from streamrec.recommender_artifacts import load_recommender
from streamrec.registry import Registry


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(registry={"path": tmp_path / "registry", "require_signature": False})


def clicks() -> Clicks:
    """Twenty sessions that go round six items."""
    rows = [(f"s{n}", f"i{(n + step) % 6}", 1000 * n + step) for n in range(20) for step in range(3)]
    return make_clicks(*zip(*rows, strict=True))


def test_what_goes_by_clicks_alone_can_be_shown_beside() -> None:
    require_sources(["wals", "item-based-cf", "category_popularity", "tag_aware_cf"], clicks())


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("tfidf_content", "--beside tfidf_content: .* goes by what items are, .* without records of items"),
        ("mixed_hybrid", "--beside mixed_hybrid: it, or a part of it, goes by what items are"),
        ("slope_one", "slope_one foretells ratings, and this feedback has none that differ"),
        ("weighted_hybrid", "biased_mf, a part of weighted_hybrid, foretells ratings"),
        ("group_recommender", "factorisation_machine, a part of group_recommender, foretells ratings"),
        ("gru4rec", "a recommender of items for visitors is wanted"),
        ("magic", "there is no model 'magic'"),
    ],
)
def test_what_could_only_show_nothing_is_refused_before_the_trainings(name: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        require_sources(["wals", name], clicks())


def test_each_is_trained_on_the_clicks_and_is_a_source_of_the_lists(settings: Settings) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        chosen = train_beside(settings, clicks(), ["item-popularity", "item_based_cf"], console)
    recommenders = chosen.scoring.recommenders
    assert list(recommenders) == ["item_popularity", "item_based_cf"]
    assert chosen.scoring.weights == settings.scoring.weights
    assert "item_based_cf beside: 60 clicks" in captured.get()
    registry = Registry.of(settings)
    for name, each in recommenders.items():
        assert 0 < each.weight < settings.scoring.weights["popularity"]
        model = load_recommender(registry, name, each.version)
        assert sorted(model.items) == [f"i{n}" for n in range(6)]
    manifest = registry.manifest("item_based_cf", recommenders["item_based_cf"].version)
    assert manifest.config == {"task": "top-n"}
    # Sessions are its visitors: of a new one it tells by what that has clicked.
    near = dict(zip(model.items, model.score(Visitor("", ["i2"])).tolist(), strict=True))
    assert near["i1"] > near["i0"]


def test_without_a_name_the_settings_stay_as_they_are(settings: Settings) -> None:
    assert train_beside(settings, clicks(), [], Console(quiet=True)) == settings


def recommendation(**candidates: list[str]) -> Recommendation:
    return Recommendation(
        rec_id="r",
        visitor_id="anna",
        session_id="s",
        event_id="e",
        items=[RecommendedItem(item_id=f"b{n}", score=1.0, sources=["wals"], reason="") for n in range(5)],
        model="gru4rec",
        release="v1",
        event_time=0,
        emit_time=0,
        input_partition=0,
        input_offset=0,
        candidates=candidates,
    )


def test_lists_stand_side_by_side_each_as_its_source_would_have_it() -> None:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(
            side_by_side(
                recommendation(gru4rec=["g0", "g1"], wals=["w0", "w1", "w2", "w3", "w4"]), ["wals", "bpr"]
            )
        )
    lines = [line.strip("│╭╰─╮╯ ").split() for line in captured.get().splitlines()]
    assert lines[0] == ["side", "by", "side", "for", "visitor", "anna"]
    assert lines[1] == ["blend", "GRU4Rec", "wals", "bpr"]
    assert lines[2] == ["1", "item", "b0", "item", "g0", "item", "w0"]
    assert lines[5] == ["4", "item", "b3", "item", "w3"]
    assert "w4" not in captured.get()
