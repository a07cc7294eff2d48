"""What `streamrec tune` searches: for each session model, its hyperparameters and their ranges.

The ranges are those that the papers of the models search, or a decade around the defaults.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from streamrec.errors import ConfigError
from streamrec.models._neighbours import Decay

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["SEARCH_SPACES", "Search", "search_space"]

_DECAYS: Final[tuple[str, ...]] = get_args(Decay)


class Search:
    """Draws the hyperparameters of one trial; those that are fixed are not drawn."""

    def __init__(self, trial: "BaseTrial", fixed: Mapping[str, Any]) -> None:
        self._trial = trial
        self.parameters: dict[str, Any] = dict(fixed)

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> None:
        """A number from low to high, both included, in three digits: as many as anybody wants to type."""
        if name not in self.parameters:
            self.parameters[name] = float(f"{self._trial.suggest_float(name, low, high, log=log):.3g}")

    def whole(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> None:
        """A whole number from low to high, both included."""
        if name not in self.parameters:
            self.parameters[name] = self._trial.suggest_int(name, low, high, step=step, log=log)

    def one_of(self, name: str, *options: str | float) -> Any:
        """One of the options; returned, as others may depend on it."""
        if name not in self.parameters:
            self.parameters[name] = self._trial.suggest_categorical(name, options)
        return self.parameters[name]


def _gru4rec(search: Search) -> None:
    loss = search.one_of("loss", "cross-entropy", "bpr-max")
    search.whole("hidden_size", 64, 256, log=True)  # and, alone, of the embedding
    search.whole("epochs", 5, 20)
    search.one_of("batch_size", 32, 48, 64, 96, 128)
    search.one_of("n_sample", 512, 1024, 2048, 4096)
    search.real("sample_alpha", 0.0, 1.0)
    search.real("learning_rate", 0.02, 0.3, log=True)
    search.real("momentum", 0.0, 0.6)
    search.real("dropout_embed", 0.0, 0.6)
    search.real("dropout_hidden", 0.0, 0.7)
    if loss == "cross-entropy":
        search.real("logq", 0.0, 1.0)
    if loss == "bpr-max":
        search.real("bpreg", 0.0, 2.0)
        search.one_of("elu", 0.0, 0.5, 1.0)


def _neighbours(search: Search) -> None:
    search.whole("k", 50, 1500, log=True)
    search.whole("sample_size", 250, 10_000, log=True)
    search.whole("last_items", 2, 20)


def _vs_knn(search: Search) -> None:
    _neighbours(search)
    search.one_of("similarity", "dot", "cosine")
    search.one_of("weighting", *_DECAYS)
    search.one_of("weighting_score", *_DECAYS)
    search.real("idf_weighting", 0.0, 10.0)


def _stan(search: Search) -> None:
    _neighbours(search)
    search.real("lambda_spw", 0.1, 20.0, log=True)
    search.real("lambda_snh", 1.0, 200.0, log=True)
    search.real("lambda_inh", 0.1, 20.0, log=True)


def _vmis_knn(search: Search) -> None:
    _neighbours(search)
    search.one_of("decay", *_DECAYS)
    search.one_of("match_weight", *_DECAYS)


def _item_knn(search: Search) -> None:
    search.whole("k", 10, 500, log=True)
    search.real("damping", 0.0, 100.0)
    search.real("decay", 0.0, 0.95)


def _markov(search: Search) -> None:
    search.whole("window", 1, 20)
    search.one_of("decay", "reciprocal", "linear", "none")


def _decayed_popularity(search: Search) -> None:
    search.real("half_life_s", 600.0, 30 * 86_400.0, log=True)


SEARCH_SPACES: Final[Mapping[str, Callable[[Search], None]]] = {
    "decayed_popularity": _decayed_popularity,
    "item_knn": _item_knn,
    "markov": _markov,
    "vs_knn": _vs_knn,
    "stan": _stan,
    "vmis_knn": _vmis_knn,
    "gru4rec": _gru4rec,
}
"""By the model's name; a model that is not here has nothing to search."""


def search_space(model: str) -> Callable[[Search], None]:
    """What is searched for a model, by its name. Raises ConfigError if nothing is."""
    try:
        return SEARCH_SPACES[model]
    except KeyError:
        raise ConfigError(
            f"{model} has no hyperparameters to search; those that have are {', '.join(SEARCH_SPACES)}"
        ) from None
