"""The search for hyperparameters: train on the earlier sessions, measure on the later ones, again and again.

In: a model's name and the clicks of training alone, the test set stays out of it. Out: the best
hyperparameters found, and a file of SQLite that holds every trial, from which a search goes on.

Sources: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011 (TPE); Golovin et al.,
"Google Vizier", KDD 2017 (the median rule by which trials are given up).
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamrec.contracts import OnStep, Session, SessionModel, TrainOptions
from streamrec.datasets import Clicks, click_sessions
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation import metrics as session_metrics
from streamrec.evaluation import next_items
from streamrec.models import make_config, session_model_class
from streamrec.search_spaces import Search, search_space

if TYPE_CHECKING:
    from optuna import Study, Trial

__all__ = ["METRICS", "Finished", "Limits", "Tuned", "tune"]

METRICS: Final = {
    "recall": session_metrics.recall_at_k,
    "mrr": session_metrics.mrr_at_k,
    "ndcg": session_metrics.ndcg_at_k,
}
"""What may be searched for, followed by @k."""

_STUDY: Final = "streamrec"
_STARTUP_TRIALS: Final = 8
"""Drawn at random before the search has an opinion."""
_COMPARED_TRIALS: Final = 4
"""A trial is given up only once so many others have come as far."""


class Limits(NamedTuple):
    """When to stop: at the first of them. The trial at work when time is up is dropped."""

    minutes: float | None = None
    trials: int | None = None


class Finished(NamedTuple):
    """One trial."""

    number: int
    state: str
    """complete, pruned (worse than the median on its way, or it did not converge) or stopped."""
    value: float | None
    parameters: dict[str, Any]
    seconds: float


class Tuned(NamedTuple):
    """What a search came to, with all that the file of trials holds."""

    model: str
    metric: str
    value: float
    """Of the best trial, on the sessions held out of training: a little too good, being the best of many."""
    default_value: float | None
    """Of the model's defaults, with what was fixed."""
    parameters: dict[str, Any]
    trials: list[Finished]
    """The best first; those without a value last."""


class _TimeIsUpError(Exception):
    pass


def tune(
    model: str,
    train: Clicks,
    valid: Clicks,
    study: Path,
    *,
    limits: Limits,
    metric: str = "mrr@20",
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str], AbstractContextManager[OnStep | None]],
    on_trial: Callable[[Finished], object] = lambda _: None,
) -> Tuned:
    """Search until a limit is reached, going on from what `study` holds.

    fixed: hyperparameters that are not searched. progress: opened for each trial, with its name.
    Raises ConfigError if something in it cannot work or the file is of another search, DatasetError if
    nothing can be learned or measured, and ConfigError if no trial came to its end.
    """
    search = _Search(model, train, valid, metric, fixed or {}, seed, device)
    found = _open(study, search.identity(), seed)
    deadline = time.monotonic() + 60 * limits.minutes if limits.minutes is not None else float("inf")
    done = 0
    while time.monotonic() < deadline and (limits.trials is None or done < limits.trials):
        trial = found.ask()
        with progress(f"trial {trial.number + 1}") as on_step:
            finished = search.run(found, trial, on_step, deadline)
        on_trial(finished)
        done += 1
    return _result(found, model, metric)


class _Search:
    """What all trials have in common."""

    def __init__(
        self,
        model: str,
        train: Clicks,
        valid: Clicks,
        metric: str,
        fixed: Mapping[str, Any],
        seed: int,
        device: str,
    ) -> None:
        self._class = session_model_class(model)
        self._model = model
        self._space = search_space(model)
        self._metric, self._k = _metric(metric)
        self._train: list[Session] = list(click_sessions(train))
        self._valid: list[Session] = list(click_sessions(valid))
        self._fixed = fixed
        self._seed, self._device = seed, device
        self._identity = {
            "model": model,
            "metric": metric,
            "fixed": {name: str(value) for name, value in fixed.items()},
            "training clicks": _digest(train),
            "clicks held out": _digest(valid),
            "seed": seed,
        }

    def identity(self) -> dict[str, Any]:
        """What has to be the same for two trials to be compared."""
        return self._identity

    def run(self, study: "Study", trial: "Trial", on_step: OnStep | None, deadline: float) -> Finished:
        """Run one trial and write down what came of it."""
        from optuna import TrialPruned
        from optuna.trial import TrialState

        start = time.monotonic()
        search = Search(trial, self._fixed)
        self._space(search)
        trial.set_user_attr("parameters", search.parameters)
        # Outside of the try: values that cannot be are a fault of the space or of what was fixed.
        model = self._class(make_config(self._class.Config, search.parameters))
        state, value = TrialState.COMPLETE, None
        try:
            value = self._measure(model, trial, on_step, deadline)
        except (TrialPruned, ConfigError) as error:
            if isinstance(error, ConfigError) and not _completed(study):
                study.tell(trial, state=TrialState.FAIL)
                raise
            state = TrialState.PRUNED
        except BaseException as error:
            state = TrialState.FAIL
            if not isinstance(error, _TimeIsUpError):
                study.tell(trial, state=state)
                raise
        study.tell(trial, value, state)
        return Finished(
            trial.number, _state(state.name), value, search.parameters, time.monotonic() - start
        )

    def _measure(
        self, model: SessionModel, trial: "Trial", on_step: OnStep | None, deadline: float
    ) -> float:
        from optuna import TrialPruned

        measured: dict[int, float] = {}

        def timed(done: int, total: int, loss: float) -> None:
            if time.monotonic() > deadline:
                raise _TimeIsUpError
            if on_step:
                on_step(done, total, loss)

        def on_epoch(epoch: int) -> None:
            measured[epoch] = self._value(model, deadline)
            trial.report(measured[epoch], epoch)
            if trial.should_prune():
                raise TrialPruned

        model.train(
            self._train, TrainOptions(self._seed, self._device, on_step=timed, on_epoch=on_epoch)
        )
        return measured[max(measured)] if measured else self._value(model, deadline)

    def _value(self, model: SessionModel, deadline: float) -> float:
        def timed(_done: int, _total: int, _loss: float) -> None:
            if time.monotonic() > deadline:
                raise _TimeIsUpError

        found = next_items(model, self._valid, k=self._k, on_step=timed)
        if not len(found.ranks):
            raise DatasetError("no session held out has two known items: there is nothing to measure")
        return float(METRICS[self._metric](found.ranks, self._k).mean())


def _metric(name: str) -> tuple[str, int]:
    metric, _, k = name.partition("@")
    if metric not in METRICS or not k.isdecimal() or int(k) < 1:
        raise ConfigError(f"there is no metric {name!r}; take {', '.join(METRICS)} with @k, such as mrr@20")
    return metric, int(k)


def _digest(clicks: Clicks) -> str:
    digest = hashlib.sha256(clicks.time_ms.tobytes())
    for column in clicks.session_ids, clicks.item_ids:
        digest.update("\n".join(column).encode())
    return digest.hexdigest()[:16]


def _open(path: Path, identity: dict[str, Any], seed: int) -> "Study":
    """The study in a file, new or old. Raises ConfigError if it is of another search."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'tuning needs {error.name}, which is not installed; pip install "streamrec[tune]"'
        ) from None
    from sqlalchemy.exc import DatabaseError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        study = optuna.create_study(
            storage=storage, study_name=_STUDY, direction="maximize", load_if_exists=True
        )
    except (OSError, DatabaseError) as error:
        raise ConfigError(f"{path}: no file of trials can be kept here: {error.args[0]}") from None
    before = study.user_attrs.get("search", identity)
    for name, value in identity.items():
        if before[name] != value:
            raise ConfigError(
                f"{path} is of another search: {name} was {before[name]!r}, not {value!r}; "
                "name another file of trials or delete this one"
            )
    if not study.trials:
        study.set_user_attr("search", identity)
        # The defaults come first, so that nothing worse is ever recommended.
        study.enqueue_trial(_defaults(identity["model"]))
    # A search that goes on must not draw again what it drew before.
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=_STARTUP_TRIALS, seed=seed + len(study.trials)
    )
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=_COMPARED_TRIALS)
    return study


def _defaults(model: str) -> dict[str, Any]:
    defaults: dict[str, Any] = session_model_class(model).Config().model_dump()
    return defaults


def _completed(study: "Study") -> bool:
    return any(trial.state.name == "COMPLETE" for trial in study.trials)


def _state(name: str) -> str:
    return {"COMPLETE": "complete", "PRUNED": "pruned"}.get(name, "stopped")


def _result(study: "Study", model: str, metric: str) -> Tuned:
    trials = [
        Finished(
            trial.number,
            _state(trial.state.name),
            trial.value if trial.state.name == "COMPLETE" else None,
            trial.user_attrs.get("parameters", {}),
            trial.duration.total_seconds() if trial.duration else 0.0,
        )
        for trial in study.trials
        if trial.state.is_finished()
    ]
    complete = [trial for trial in trials if trial.value is not None]
    if not complete:
        counts = Counter(trial.state for trial in trials)
        raise ConfigError(
            f"no trial came to its end ({', '.join(f'{n} {state}' for state, n in counts.items()) or 'none begun'}); "
            "give more minutes, or fix epochs to fewer"
        )
    trials.sort(key=lambda trial: (trial.value is None, -(trial.value or 0.0), trial.number))
    best = trials[0]
    assert best.value is not None
    default = next((trial.value for trial in complete if trial.number == 0), None)
    return Tuned(model, metric, best.value, default, best.parameters, trials)
