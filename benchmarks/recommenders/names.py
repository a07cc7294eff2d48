"""Which models a question is about, and of which of them an answer is required."""

from typing import Final

__all__ = [
    "BETTER_IN_CONTEXT",
    "BETTER_WITH_TRUST",
    "BY_TAGS",
    "CONTENT",
    "CONTEXTUAL",
    "GROUP_STRATEGIES",
    "NEAR_THE_GROUP",
    "TRUSTING",
]

TRUSTING: Final = ("mole_trust", "social_regularisation")
"""Those that learn from who trusts whom."""
BETTER_WITH_TRUST: Final = frozenset({"social_regularisation"})
CONTEXTUAL: Final = ("context_postfilter", "context_prefilter", "factorisation_machine")
"""Those that learn from where, when and in whose company."""
BETTER_IN_CONTEXT: Final = frozenset(CONTEXTUAL)
CONTENT: Final = ("tfidf_content", "tag_profile", "content_classifier")
"""Those that can score an item which nobody has had."""
BY_TAGS: Final = frozenset({"tag_profile"})
"""Those of them that know nothing of an item but its tags."""
GROUP_STRATEGIES: Final = (
    "average",
    "average without misery",
    "borda",
    "least misery",
    "merged profiles",
    "most pleasure",
)
"""Of group_recommender."""
NEAR_THE_GROUP: Final = frozenset({"average", "merged profiles"})
"""Those whose scores are meant to be what the group says; the others are meant to rank, or to spare."""
