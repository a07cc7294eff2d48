"""Files of ratings, or of any feedback: a line for each interaction, as data sets are published.

In: a text file; see column_files. Out: Feedback.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from streamrec.column_files import read_table
from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, make_feedback

__all__ = ["load_feedback"]

# The year 5138. What is later is of today, in milliseconds.
_LATEST_S: Final = 1e11
_NAMES: Final = {
    "user": ("user", "userid", "visitor", "visitorid", "group", "groupid", "session", "sessionid"),
    "item": ("item", "itemid", "movie", "movieid", "product", "productid"),
    "value": ("value", "rating", "score", "weight"),
    "time": ("time", "timestamp", "date"),
}


def load_feedback(
    path: Path | str, columns: Sequence[str] | None = None, contexts: Sequence[str] = ()
) -> Feedback:
    """The interactions of a file.

    columns: names of the columns of a file without a header. Found by their names, whatever their case and
    punctuation: user (userId, …), item (movieId, …), and if there, value (rating, …) and time (timestamp, …),
    seconds since 1970. contexts: further columns to be kept as labels. Raises DatasetError naming file, line
    and fault.
    """
    table = read_table(path, _NAMES, ("user", "item"), columns=columns, further=contexts)
    seconds = table.numbers("time")
    for number, time in zip(table.lines, seconds or (), strict=False):
        if abs(time) > _LATEST_S:
            raise DatasetError(
                f"{path}: line {number}: a time of {time:g}; times are seconds since 1970, not milliseconds"
            )
    return make_feedback(
        table.cells["user"],
        table.cells["item"],
        table.numbers("value"),
        None if seconds is None else np.round(np.array(seconds) * 1000).astype(np.int64),
        {name: table.cells[name] for name in contexts},
    )
