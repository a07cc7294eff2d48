"""How good lists are: offline over sessions, and live."""

from streamrec.evaluation.live_rules import (
    FloatRanks,
    Ranks,
    mrr_at_k,
    ndcg_at_k,
    recall_at_k,
    session_ranks,
)

__all__ = ["FloatRanks", "Ranks", "mrr_at_k", "ndcg_at_k", "recall_at_k", "session_ranks"]
