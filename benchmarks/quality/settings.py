"""What `make quality` trains: the files, the official figures on them, hyperparameters and baselines.

The figures are those of the official GRU4Rec on the same files, one seed: test items unseen in training
removed, conservative ties, shared embedding, 100 units, 10 epochs, batch 32, 2,048 samples.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["FILES", "OFFICIAL", "PUBLISHED", "RIVALS", "TUNED", "Files", "Rival"]


class Files(NamedTuple):
    """Training and test clicks, below the folder of data."""

    train: Path
    test: Path


class Rival(NamedTuple):
    """What GRU4Rec is set beside."""

    model: str
    setting: str
    """What is claimed of it, and which of several of the model it is."""
    parameters: Mapping[str, Any] = {}
    """On top of the model's defaults."""


FILES: Final[Mapping[str, Files]] = {
    "yoochoose-100k": Files(
        Path("yoochoose-100k/yoochoose-clicks-100k_train_full.txt"),
        Path("yoochoose-100k/yoochoose-clicks-100k_test.txt"),
    ),
    "serenade": Files(Path("serenade/train.txt"), Path("serenade/test.txt")),
}

OFFICIAL: Final[Mapping[tuple[str, str], Mapping[str, float]]] = {
    ("yoochoose-100k", "cross-entropy"): {"recall@20": 0.6951, "mrr@20": 0.3695},
    ("yoochoose-100k", "bpr-max"): {"recall@20": 0.6525, "mrr@20": 0.3508},
    ("serenade", "cross-entropy"): {"recall@20": 0.5961, "mrr@20": 0.2873},
    ("serenade", "bpr-max"): {"recall@20": 0.5875, "mrr@20": 0.2825},
}
"""By data and loss."""

_COMMON: Final = {
    "embedding": "shared",
    "hidden_size": 100,
    "epochs": 10,
    "batch_size": 32,
    "n_sample": 2048,
    "sample_alpha": 0.5,
    "learning_rate": 0.1,
    "dropout_embed": 0.0,
    "averaging": 0.5,
}

PUBLISHED: Final[Mapping[str, Mapping[str, Any]]] = {
    "cross-entropy": {**_COMMON, "momentum": 0.0, "dropout_hidden": 0.4, "logq": 1.0},
    "bpr-max": {**_COMMON, "momentum": 0.3, "dropout_hidden": 0.0, "elu": 1.0, "bpreg": 0.5},
}
"""By loss: what the official figures were measured with; only averaging they have not (decision 005)."""

TUNED: Final[Mapping[tuple[str, str], Mapping[str, Any]]] = {
    ("yoochoose-100k", "bpr-max"): {**PUBLISHED["bpr-max"], "dropout_embed": 0.3, "dropout_hidden": 0.2},
    ("serenade", "bpr-max"): {
        **PUBLISHED["bpr-max"],
        "batch_size": 64,
        "dropout_embed": 0.4,
        "dropout_hidden": 0.2,
    },
    ("yoochoose-100k", "cross-entropy"): {
        **PUBLISHED["cross-entropy"],
        "dropout_embed": 0.2,
        "dropout_hidden": 0.5,
        "logq": 0.8,
    },
    ("serenade", "cross-entropy"): {
        **PUBLISHED["cross-entropy"],
        "batch_size": 64,
        "dropout_embed": 0.4,
        "dropout_hidden": 0.5,
        "logq": 0.5,
    },
}
"""By data and loss: better than the published ones on the newest days of the training file, held out; on
serenade with cross-entropy that was not looked at. `streamrec tune` finds such."""

RIVALS: Final = (
    Rival("popularity", "baseline"),
    Rival("decayed_popularity", "baseline"),
    Rival("markov", "baseline, first order", {"window": 1}),
    Rival("markov", "baseline, sequential rules"),
    Rival("item_knn", "baseline"),
    Rival("vs_knn", "neighbours"),
    Rival("stan", "neighbours"),
    Rival("vmis_knn", "neighbours"),
)
"""GRU4Rec has to beat the baselines with published hyperparameters. Neighbours are to be beaten by tuned
ones; on small data they are known to be hard to beat, so that one which is not beaten is shown but fails
nothing: Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 28, 2018."""
