"""Models trained on files and measured beside each other, as `streamrec evaluate` does it.

naming        models and hyperparameters as the command line names them
sessions      session models on clicks
recommenders  recommenders on feedback
"""

from streamrec.offline.naming import Named, Progress, kind_of, named_models
from streamrec.offline.sessions import (
    Contender,
    Rules,
    compared,
    contenders,
    load_groups,
    lost_to_baselines,
    train_and_evaluate,
)

__all__ = [
    "Contender",
    "Named",
    "Progress",
    "Rules",
    "compared",
    "contenders",
    "kind_of",
    "load_groups",
    "lost_to_baselines",
    "named_models",
    "train_and_evaluate",
]
