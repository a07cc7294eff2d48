"""What a list tells the visitor about an item: a few words, by the source that speaks for it most."""

from typing import Final

__all__ = ["reason"]

_REASONS: Final = {
    "online_mf": "visitors like you chose it",
    "popularity": "popular now",
    "catalogue": "from the catalogue",
    **dict.fromkeys(("vs_knn", "stan", "vmis_knn"), "viewed in sessions like yours"),
    **dict.fromkeys(("item_popularity", "category_popularity"), "popular"),
    "trending_items": "trending",
    **dict.fromkeys(("tfidf_content", "tag_profile", "content_classifier"), "like what you chose"),
    **dict.fromkeys(("mole_trust", "social_regularisation"), "liked by those you trust"),
}
_REASONS_WITH_ITEM: Final = {
    "gru4rec": "because you viewed {}",
    "item_knn": "visitors who viewed {} also viewed it",
    "markov": "often viewed after {}",
}
"""These name what was viewed last."""
_OF_OTHERS: Final = "visitors like you chose it"
"""What collaborative filtering comes to, whichever it is."""


def reason(source: str, viewed: str) -> str:
    """Why an item is in a list, as its leading source has it. viewed: name of what was viewed last."""
    with_item = _REASONS_WITH_ITEM.get(source)
    return _REASONS.get(source, _OF_OTHERS) if with_item is None else with_item.format(viewed)
