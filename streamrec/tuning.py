"""The search for hyperparameters: train on the earlier sessions, measure on the later ones, and again.

In: a model's name and training clicks in two parts; the test set stays out of it. Out: the best
hyperparameters, and a file of SQLite with every trial, from which a search goes on.

Sources: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011 (TPE, which draws
the trials); Golovin et al., "Google Vizier", KDD 2017 (the median rule, which gives trials up).
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamrec.contracts import OnStep, SessionModel, TrainOptions
from streamrec.datasets import Clicks, click_sessions
from streamrec.errors import ConfigError
from streamrec.evaluation.metrics import mrr_at_k, ndcg_at_k, recall_at_k
from streamrec.evaluation.next_items import judged_sessions, next_items
from streamrec.evaluation.splits import Split
from streamrec.models import make_config, session_model_class
from streamrec.offline import Progress
from streamrec.search_spaces import Search, search_space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

__all__ = ["Limits", "Trained", "Tuned", "need_optuna", "tune"]

_METRICS: Final = {"recall": recall_at_k, "mrr": mrr_at_k, "ndcg": ndcg_at_k}
_STUDY: Final = "streamrec"
_RANDOM_TRIALS: Final = 8
"""Drawn at random, before the search has anything to go by."""
_COMPARED_TRIALS: Final = 4
"""A trial is given up only if so many others came to their end."""
_STATES: Final = {"COMPLETE": "finished", "PRUNED": "given up"}
_DECIDED: Final = {*_STATES, "WAITING"}
"""Of trials that need not be begun again."""


class Limits(NamedTuple):
    """When to stop: at the first of them. The trial at work when time is up does not count."""

    minutes: float | None = None
    trials: int | None = None
    """Of this run. With none the file of trials is only looked into."""


class Trained(NamedTuple):
    """One trial."""

    number: int
    """From 1, in the order in which they were begun."""
    state: str
    """finished, given up (worse than the median on its way, or without convergence) or stopped."""
    value: float | None
    """Of the metric; only of those that finished."""
    seconds: float
    parameters: dict[str, Any]


class Tuned(NamedTuple):
    """What a search came to, with all that its file held before."""

    model: str
    metric: str
    value: float
    """The best. A little too good: it is the best of many on the same sessions."""
    default_value: float | None
    """Of the defaults with what was fixed; None as long as no trial with them has finished."""
    parameters: dict[str, Any]
    """Of the best, those that were fixed included."""
    trials: list[Trained]
    """The best first, those without a value last."""


class _TimeIsUpError(Exception):
    pass


def tune(
    model: str,
    split: Split,
    file: Path,
    *,
    limits: Limits,
    progress: Progress,
    metric: str = "mrr@20",
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_trial: Callable[[Trained], object] = lambda _: None,
) -> Tuned:
    """Search until a limit is reached, going on from the trials in `file`.

    fixed: hyperparameters that are not searched; on_trial: called after each trial.
    Raises ConfigError if what is asked for cannot work, the file is of another search or no trial
    has finished, DatasetError if there is nothing to learn or to measure.
    """
    need_optuna()
    trials = _Trials(model, split, metric, fixed or {}, TrainOptions(seed, device))
    study = _open(file, trials.identity, trials.defaults, seed)
    deadline = time.monotonic() + 60 * limits.minutes if limits.minutes is not None else float("inf")
    done = 0
    while (limits.trials is None or done < limits.trials) and time.monotonic() < deadline:
        trial = study.ask()
        with progress(f"trial {trial.number + 1}") as on_step:
            trials.run(study, trial, on_step, deadline)
        on_trial(_trained(study.trials[trial.number]))
        done += 1
    return _tuned(study, model, metric, trials.defaults)


def need_optuna() -> None:
    """Raises ConfigError if it is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'tuning needs {error.name}, which is not installed; pip install "streamrec[tune]"'
        ) from None


class _Trials:
    """What the trials of a search have in common."""

    def __init__(
        self,
        model: str,
        split: Split,
        metric: str,
        fixed: Mapping[str, Any],
        options: TrainOptions,
    ) -> None:
        self._name = model
        self._class = session_model_class(model)
        self._space = search_space(model)
        self._metric, self._k = _metric(metric)
        self._train = list(click_sessions(split.train))
        self._valid = list(click_sessions(split.test))
        self._items = frozenset(split.train.item_ids)
        judged_sessions(self._valid, self._items)  # if there are none, better now than trained
        self._fixed = fixed
        self._options = options
        self.defaults = self._defaults()
        self.identity = {
            "model": model,
            "metric": metric,
            "fixed parameters": {name: str(value) for name, value in fixed.items()},
            "training clicks": _identified(split.train),
            "clicks held out": _identified(split.test),
            "seed": options.seed,
        }
        """What has to be the same for trials to be compared."""

    def _defaults(self) -> dict[str, Any]:
        """Parameters of the trial that has the defaults, and what is fixed."""
        from optuna.trial import FixedTrial

        search = Search(FixedTrial(self._class.Config().model_dump()), self._fixed)
        self._space(search)
        return search.parameters

    def run(self, study: "Study", trial: "Trial", on_step: OnStep, deadline: float) -> None:
        """One trial; what came of it is in the study, whatever happens."""
        from optuna import TrialPruned
        from optuna.trial import TrialState

        search = Search(trial, self._fixed)
        self._space(search)
        trial.set_user_attr("parameters", search.parameters)
        state, value = TrialState.FAIL, None
        try:
            model = self._class(make_config(self._name, self._class.Config, search.parameters))
            value = self._value_of(model, trial, _timed(on_step, deadline))
            state = TrialState.COMPLETE
        except _TimeIsUpError:
            pass
        except TrialPruned:
            state = TrialState.PRUNED
        except ConfigError:
            # What does not converge is just a bad trial. If none has worked so far, the fault lies elsewhere.
            if not any(each.state == TrialState.COMPLETE for each in study.trials):
                raise
            state = TrialState.PRUNED
        finally:
            study.tell(trial, value, state)

    def _value_of(self, model: SessionModel, trial: "Trial", on_step: OnStep) -> float:
        """Train and measure: after every epoch if there are some, else once."""
        from optuna import TrialPruned

        values: list[float] = []

        def on_epoch(epoch: int) -> None:
            values.append(self._measure(model, on_step))
            trial.report(values[-1], epoch)
            # The defaults are what all others are beside: they go on to their end.
            if trial.should_prune() and trial.user_attrs["parameters"] != self.defaults:
                raise TrialPruned

        model.train(self._train, self._options._replace(on_step=on_step, on_epoch=on_epoch))
        return values[-1] if values else self._measure(model, on_step)

    def _measure(self, model: SessionModel, on_step: OnStep) -> float:
        found = next_items(
            model, self._valid, k=self._k, seen=self._items, on_step=lambda *_: on_step(0, 0, float("nan"))
        )
        return float(_METRICS[self._metric](found.ranks, self._k).mean())


def _timed(on_step: OnStep, deadline: float) -> OnStep:
    """Passes on what training tells; between the epochs, while measuring, there is nothing to tell."""

    def timed(done: int, total: int, loss: float) -> None:
        if time.monotonic() > deadline:
            raise _TimeIsUpError
        if total:
            on_step(done, total, loss)

    return timed


def _metric(name: str) -> tuple[str, int]:
    metric, _, k = name.partition("@")
    if metric not in _METRICS or not k.isdecimal() or int(k) < 1:
        raise ConfigError(f"there is no metric {name!r}; take {', '.join(_METRICS)} with @k, such as mrr@20")
    return metric, int(k)


def _identified(clicks: Clicks) -> str:
    digest = hashlib.sha256(clicks.time_ms.tobytes())
    for column in clicks.session_ids, clicks.item_ids:
        digest.update("\n".join(column).encode())
    return f"{len(clicks):,} (digest {digest.hexdigest()[:12]})"


def _open(file: Path, identity: Mapping[str, Any], defaults: Mapping[str, Any], seed: int) -> "Study":
    """The study in a file, new or old. Raises ConfigError if it is of another search or no such file."""
    import optuna
    from sqlalchemy.exc import DatabaseError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=f"sqlite:///{file}",
            study_name=_STUDY,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_COMPARED_TRIALS),
            load_if_exists=True,
        )
    except (OSError, DatabaseError) as error:
        raise ConfigError(f"{file}: trials cannot be kept in this file: {error.args[0]}") from None
    before = study.user_attrs.get("search", identity)
    for name, value in identity.items():
        if before.get(name) != value:
            was = f"was {before[name]!r}" if name in before else "was not kept"
            raise ConfigError(
                f"{file} is of another search: {name} {was} and is now {value!r}; "
                "name another file or delete this one"
            )
    study.set_user_attr("search", identity)
    if not any(_has(trial, defaults) for trial in study.trials if trial.state.name in _DECIDED):
        # So that what is recommended is never worse than they are.
        study.enqueue_trial(dict(defaults), user_attrs={"parameters": defaults})
    # A search that goes on must not draw again what it drew before.
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=_RANDOM_TRIALS, seed=seed + len(study.trials), constant_liar=False
    )
    return study


def _has(trial: "FrozenTrial", parameters: Mapping[str, Any]) -> bool:
    return trial.user_attrs.get("parameters") == parameters


def _trained(trial: "FrozenTrial") -> Trained:
    return Trained(
        trial.number + 1,
        _STATES.get(trial.state.name, "stopped"),
        trial.value if trial.state.name == "COMPLETE" else None,
        trial.duration.total_seconds() if trial.duration else 0.0,
        trial.user_attrs.get("parameters", {}),
    )


def _tuned(study: "Study", model: str, metric: str, defaults: Mapping[str, Any]) -> Tuned:
    trials = [_trained(trial) for trial in study.trials if trial.state.is_finished()]
    values = {trial.number: trial.value for trial in trials if trial.value is not None}
    if not values:
        raise ConfigError(
            f"none of {len(trials)} trials has finished; give more time, or a --param that makes one shorter"
        )
    trials.sort(key=lambda trial: -values.get(trial.number, float("-inf")))
    best = trials[0]
    of_defaults = (values.get(trial.number) for trial in trials if trial.parameters == defaults)
    default_value = next(of_defaults, None)  # that of one which has finished stands before the others
    return Tuned(model, metric, values[best.number], default_value, best.parameters, trials)
