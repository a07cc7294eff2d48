"""Small files of ratings and of what is known beside them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from recommender_answers import checkerboard, ratings, ratings_knowledge

from streamrec.feedback import Feedback

__all__ = ["write_board", "write_feedback", "write_knowledge", "write_ratings"]


def write_feedback(path: Path, feedback: Feedback, mood: bool = False) -> str:
    """A line for each interaction, with a header; `mood` is a context. Returns the path as text."""
    lines = ["userId,itemId,rating,timestamp" + ",mood" * mood]
    for place, (user, item) in enumerate(zip(feedback.users, feedback.items, strict=True)):
        cells = [feedback.user_ids[user], feedback.item_ids[item]]
        cells += [f"{feedback.values[place]:g}", f"{feedback.time_ms[place] / 1000:.3f}"]
        lines.append(",".join(cells + ["glad" if place % 2 else "sad"] * mood))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def write_ratings(folder: Path, mood: bool = False) -> str:
    """Ratings of 1 to 5 by 40 visitors of 25 items; see recommender_answers.ratings."""
    return write_feedback(folder / "ratings.csv", ratings(), mood)


def write_board(folder: Path) -> str:
    """Two kinds of visitors and of items, like to like; what is not liked is not there."""
    board = checkerboard()
    liked = board.take(board.values > 1)
    # Else the same items come last for everybody.
    order = np.random.default_rng(0).permutation(len(liked))
    return write_feedback(folder / "board.csv", replace(liked, time_ms=order * 1000))


def write_knowledge(folder: Path) -> dict[str, str]:
    """Files of what may be known of the visitors and items of `ratings`, by the option they are for."""
    known = ratings_knowledge()
    files = {
        "--items": "".join(
            json.dumps({"item_id": each.item_id, "title": each.title, "tags": each.tags}) + "\n"
            for each in known.items.values()
        ),
        "--tags": "userId\tmovieId\ttag\n" + "".join(f"{a}\t{b}\t{tag}\n" for a, b, tag in known.tags),
        "--trust": "truster trusted weight\n"
        + "".join(f"{a} {b} {weight}\n" for a, b, weight in known.trust),
        "--groups": "group,member\n"
        + "".join(f"{group},{member}\n" for group, members in known.groups.items() for member in members),
    }
    found = {}
    for option, text in files.items():
        path = folder / f"{option[2:]}.txt"
        path.write_text(text)
        found[option] = str(path)
    return found
