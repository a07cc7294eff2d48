"""What a recommendation proposes: the list itself, and what each source would have shown alone."""

from typing import Final

from streamrec.events import Recommendation

__all__ = ["BLEND", "proposals"]

BLEND: Final = "blend"
"""Named as the source of the list itself."""


def proposals(recommendation: Recommendation, k: int) -> dict[str, list[str]]:
    """Item ids by source, best first, at most k: of the list, and of the sources that its trace holds."""
    found = {BLEND: [item.item_id for item in recommendation.items[:k]]}
    for source, item_ids in (recommendation.candidates or {}).items():
        found[source] = item_ids[:k]
    return found
