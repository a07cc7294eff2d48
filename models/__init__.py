"""The recommenders, one file each, loaded when they are asked for.

Serving imports only what it runs: nothing of a model is imported here.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

from pydantic import ValidationError

from streamrec.contracts import SessionModel
from streamrec.errors import ConfigError
from streamrec.recommender import Recommender

__all__ = [
    "RECOMMENDERS",
    "SESSION_MODELS",
    "make_config",
    "model_name",
    "recommender",
    "recommender_class",
    "recommender_name",
    "recommender_of",
    "session_model",
    "session_model_class",
    "session_model_name",
]

SESSION_MODELS: Final[Mapping[str, str]] = {
    "popularity": "Popularity",
    "decayed_popularity": "DecayedPopularity",
    "item_knn": "ItemKNN",
    "markov": "Markov",
    "gru4rec": "GRU4Rec",
    "stan": "STAN",
    "vmis_knn": "VMISKNN",
    "vs_knn": "VSKNN",
}
"""Models that rank what comes next in a session: name and file, and the class in it."""

RECOMMENDERS: Final[Mapping[str, str]] = {
    "baseline_predictor": "BaselinePredictor",
    "biased_mf": "BiasedMF",
    "bpr": "BPR",
    "cascade_hybrid": "CascadeHybrid",
    "category_popularity": "CategoryPopularity",
    "co_clustering": "CoClustering",
    "combined_cf": "CombinedCF",
    "content_classifier": "ContentClassifier",
    "context_postfilter": "ContextPostfilter",
    "context_prefilter": "ContextPrefilter",
    "decision_tree_cf": "DecisionTreeCF",
    "factorisation_machine": "FactorisationMachine",
    "feature_augmentation": "FeatureAugmentation",
    "feature_combination": "FeatureCombination",
    "funk_svd": "FunkSVD",
    "group_recommender": "GroupRecommender",
    "item_based_cf": "ItemBasedCF",
    "item_popularity": "ItemPopularity",
    "kmeans_cf": "KMeansCF",
    "mixed_hybrid": "MixedHybrid",
    "mole_trust": "MoleTrust",
    "naive_bayes_cf": "NaiveBayesCF",
    "nmf": "NMF",
    "pmf": "PMF",
    "slope_one": "SlopeOne",
    "social_regularisation": "SocialRegularisation",
    "svdpp": "SVDpp",
    "switching_hybrid": "SwitchingHybrid",
    "tag_aware_cf": "TagAwareCF",
    "tag_profile": "TagProfile",
    "tfidf_content": "TfidfContent",
    "trending_items": "TrendingItems",
    "truncated_svd": "TruncatedSVD",
    "user_based_cf": "UserBasedCF",
    "wals": "WALS",
    "weighted_hybrid": "WeightedHybrid",
}
"""Recommenders of items for visitors: name and file, and the class in it."""

_KINDS: Final = ("a model of what comes next in a session", "a recommender of items for visitors")
# What only those who train install.
_TRAIN_EXTRA: Final = ("torch", "onnx")


def model_name(name: str) -> str:
    """The name of a model, of whatever kind, as it is listed; hyphens and capitals do not count.

    Raises ConfigError if there is no such model.
    """
    return _listed(name, {**SESSION_MODELS, **RECOMMENDERS})


def session_model(name: str, parameters: Mapping[str, Any] | None = None) -> SessionModel:
    """An untrained model by its name, with `parameters`, values or text, on top of its defaults.

    Hyphens and capitals in the name do not count. Raises ConfigError naming what is unknown or out of
    range, or if what it needs is not installed.
    """
    made = session_model_class(name)
    model: SessionModel = made(make_config(session_model_name(name), made.Config, parameters or {}))
    return model


def session_model_name(name: str) -> str:
    """A session model's name as it is listed; hyphens and capitals do not count.

    Raises ConfigError if there is no such model.
    """
    return _listed(name, SESSION_MODELS)


def session_model_class(name: str) -> Any:
    """The class of a session model; its configuration is the class attribute `Config`."""
    return _class(name, SESSION_MODELS)


def recommender(name: str, parameters: Mapping[str, Any] | None = None) -> Recommender:
    """An untrained recommender by its name, as `session_model`."""
    made = recommender_class(name)
    model: Recommender = made(make_config(recommender_name(name), made.Config, parameters or {}))
    return model


def recommender_of(node: Mapping[str, Any]) -> Recommender:
    """An untrained recommender of a node: its name under `model`, its hyperparameters beside it.

    Raises ConfigError as `recommender`.
    """
    if not isinstance(node.get("model"), str):
        raise ConfigError(f"a node names its recommender under `model`; this one has {list(node)}")
    return recommender(node["model"], {name: value for name, value in node.items() if name != "model"})


def recommender_class(name: str) -> Any:
    """The class of a recommender; its configuration is the class attribute `Config`."""
    return _class(name, RECOMMENDERS)


def recommender_name(name: str) -> str:
    """A recommender's name as it is listed, as `session_model_name`."""
    return _listed(name, RECOMMENDERS)


def _listed(name: str, models: Mapping[str, str]) -> str:
    known = {_plain(each): each for each in models}
    if _plain(name) not in known:
        if any(_plain(name) == _plain(each) for each in (*SESSION_MODELS, *RECOMMENDERS)):
            is_what, wanted = _KINDS if models is RECOMMENDERS else _KINDS[::-1]
            raise ConfigError(f"{name} is {is_what}, and {wanted} is wanted: one of {', '.join(models)}")
        close = get_close_matches(_plain(name), known, 1)
        advice = f"did you mean {known[close[0]]}? " if close else ""
        raise ConfigError(f"there is no model {name!r}; {advice}known are {', '.join(models)}")
    return known[_plain(name)]


def _class(name: str, models: Mapping[str, str]) -> Any:
    module = _listed(name, models)
    try:
        return getattr(import_module(f"{__name__}.{module}"), models[module])
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in _TRAIN_EXTRA:
            raise
        raise ConfigError(
            f'{module} needs {error.name}, which is not installed; pip install "streamrec[train]"'
        ) from None


def make_config(name: str, config: type[Any], parameters: Mapping[str, Any], *, base: Any = None) -> Any:
    """A configuration of the model `name` with `parameters` on top of `base`, or of the defaults.

    Raises ConfigError naming the model, and each that is unknown or out of range, also in nodes within.
    """
    given = {**(base.model_dump(exclude_unset=True) if base else {}), **parameters}
    try:
        return config.model_validate(given)
    except ValidationError as error:
        lines = [_told(config, given, fault) for fault in error.errors()]
        raise ConfigError(f"{name} cannot be configured like this:\n  " + "\n  ".join(lines)) from None


def _told(config: type[Any], given: Any, fault: Any) -> str:
    """A fault as a line. given: what was to become a `config`."""
    where = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        for step in fault["loc"][:-1]:
            given = given[step]
        if len(fault["loc"]) > 1:
            if "model" not in given:
                return f"{where}: there is no such parameter"
            config = recommender_class(given["model"]).Config
        return f"{where}: there is no such parameter; known are {', '.join(config.model_fields) or 'none'}"
    if not where:
        return str(fault["msg"])
    return f"{where}: {fault['msg']}" + ("" if fault["type"] == "node" else f", not {fault['input']!r}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
