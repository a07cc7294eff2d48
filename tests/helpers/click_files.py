"""Small files of clicks round a ring of items: what comes next is all there is to learn."""

from pathlib import Path

from session_models import ring_sessions

from streamrec.datasets import Clicks, make_clicks

TINY = ["hidden_size=16", "epochs=3", "batch_size=8", "n_sample=16", "dropout_hidden=0"]
"""Hyperparameters of a GRU4Rec that learns the ring in a second."""


def ring_clicks(n: int = 200, seed: int = 0, start_s: int = 0) -> Clicks:
    """Clicks of n sessions, a minute from each to the next; other seeds have other session ids."""
    rows = [
        (f"{seed}-{number}", item, 1000 * (start_s + 60 * number + place))
        for number, session in enumerate(ring_sessions(n, seed))
        for place, item in enumerate(session.items)
    ]
    return make_clicks(*zip(*rows, strict=True))


def write_tsv(path: Path, clicks: Clicks) -> str:
    """Write the clicks as the verbs read them; returns the path as text."""
    lines = ["SessionId\tItemId\tTime"]
    for session_id, item_id, time_ms in zip(
        clicks.session_ids, clicks.item_ids, clicks.time_ms.tolist(), strict=True
    ):
        lines.append(f"{session_id}\t{item_id}\t{time_ms / 1000}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)
