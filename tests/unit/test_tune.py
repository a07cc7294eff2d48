"""The search for hyperparameters: pruned, resumed, stopped in time, and never worse than the defaults."""

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click_files import ring_clicks, write_tsv
from session_models import TINY, ring_sessions

from streamrec import tuning
from streamrec.cli import main
from streamrec.contracts import FloatArray, OnStep, Session, TrainOptions, TrainReport
from streamrec.datasets import make_clicks
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.splits import Split, by_time
from streamrec.models import SESSION_MODELS, make_config, session_model_class
from streamrec.models.gru4rec import GRU4Rec
from streamrec.search_spaces import SEARCH_SPACES, Search, search_space
from streamrec.tuning import Limits, Trained, Tuned, tune

SPLIT = by_time(ring_clicks(100), share=0.2)
Printed = pytest.CaptureFixture[str]


@contextmanager
def silent(_name: str) -> Iterator[OnStep]:
    yield lambda _done, _total, _loss: None


def search(file: Path, split: Split = SPLIT, model: str = "markov", **more: Any) -> Tuned:
    return tune(model, split, file, **{"limits": Limits(trials=3), "progress": silent, **more})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "trials.sqlite"


class Scripted:
    """A model whose quality after each epoch is given: it ranks the right item first or nothing at all."""

    Config = session_model_class("gru4rec").Config
    plans: Sequence[Sequence[float]] = ()
    """For each training in turn, the share of the clicks that it gets right after each epoch; NaN: it does
    not converge, infinity: it is interrupted."""
    trained = 0

    def __init__(self, config: Any) -> None:
        self.config = config
        self.items = [f"i{n:02d}" for n in range(40)]
        self.share = 0.0

    def train(self, sessions: Sequence[Session], options: TrainOptions) -> TrainReport:
        plan = self.plans[type(self).trained]
        type(self).trained += 1
        for epoch, self.share in enumerate(plan, start=1):
            if np.isnan(self.share):
                raise ConfigError("the loss is nan")
            if np.isinf(self.share):
                raise KeyboardInterrupt
            assert options.on_epoch
            options.on_epoch(epoch)
        return TrainReport(1, [])

    def scores(self, session: Session) -> Iterator[FloatArray]:
        for item in session.items:
            scores = np.zeros(40, np.float32)
            after = (int(item[1:]) + 1) % 40
            scores[after] = 1 if after < 40 * self.share else np.nan
            yield scores


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr(tuning, "session_model_class", lambda _name: Scripted)
    monkeypatch.setattr(Scripted, "trained", 0)
    return Scripted


@pytest.mark.parametrize("model", SESSION_MODELS)
def test_every_model_has_a_space_of_its_own_parameters(model: str) -> None:
    config = session_model_class(model).Config
    if not config.model_fields:
        with pytest.raises(ConfigError, match=f"{model} has no hyperparameters to search"):
            search_space(model)
        return
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        drawn = Search(study.ask(), {})
        search_space(model)(drawn)
        made = make_config(model, config, drawn.parameters)
        assert {name: getattr(made, name) for name in drawn.parameters} == drawn.parameters


@pytest.mark.parametrize("model", SEARCH_SPACES)
def test_the_defaults_are_within_the_space(model: str) -> None:
    defaults = session_model_class(model).Config().model_dump()
    study = optuna.create_study()
    study.enqueue_trial(defaults)
    drawn = Search(study.ask(), {})  # a warning, which is an error, if one of them is out of range
    search_space(model)(drawn)
    assert drawn.parameters == {name: defaults[name] for name in drawn.parameters}


def test_without_clicks_to_measure_there_is_no_search(file: Path) -> None:
    split = Split(make_clicks("aab", "xyx", [1, 2, 3]), make_clicks("cd", "xy", [10, 20]))
    with pytest.raises(DatasetError, match="there is nothing to measure"):
        search(file, split=split)
    assert not file.exists()


def test_what_is_fixed_is_not_drawn() -> None:
    study = optuna.create_study()
    drawn = Search(study.ask(), {"loss": "bpr-max", "epochs": "3"})
    search_space("gru4rec")(drawn)
    assert (drawn.parameters["loss"], drawn.parameters["epochs"]) == ("bpr-max", "3")
    assert "bpreg" in drawn.parameters
    assert "logq" not in drawn.parameters


def test_the_best_is_found_and_is_no_worse_than_the_defaults(file: Path) -> None:
    seen: list[Trained] = []
    tuned = search(file, limits=Limits(trials=6), metric="recall@1", on_trial=seen.append)
    assert [trial.number for trial in seen] == [1, 2, 3, 4, 5, 6]
    defaults = session_model_class("markov").Config().model_dump()
    assert seen[0].parameters == {name: defaults[name] for name in seen[0].parameters}
    assert tuned.default_value == seen[0].value
    assert tuned.value == max(trial.value or 0 for trial in seen) == tuned.trials[0].value
    assert tuned.parameters == tuned.trials[0].parameters
    assert tuned.value == 1.0  # the next of the ring


def test_an_item_that_a_model_leaves_out_counts_as_missed(
    file: Path, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an evaluation; otherwise a model would be the better for every item that it drops."""
    monkeypatch.setattr(scripted, "plans", [[1.0]])
    train = [(f"s{n}", f"i{item:02d}", 100 * n) for n, item in enumerate([*range(40), 40])]
    valid = [("v", f"i{item:02d}", 10_000 + item) for item in (38, 39, 40)]  # the model knows no i40
    split = Split(*(make_clicks(*zip(*rows, strict=True)) for rows in (train, valid)))
    tuned = search(file, split, "gru4rec", limits=Limits(trials=1), metric="recall@1")
    assert tuned.value == 0.5


def test_defaults_that_were_interrupted_are_tried_again(file: Path, scripted: type[Scripted]) -> None:
    inf = float("inf")
    scripted.plans = [[0.3, inf], [0.5, inf], [0.3], [0.6], [0.9]]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(file, model="gru4rec")
    for _ in range(2):  # looked into, it asks for nothing
        with pytest.raises(ConfigError, match="none of 2 trials has finished"):
            search(file, model="gru4rec", limits=Limits(trials=0))
    tuned = search(file, model="gru4rec", limits=Limits(trials=2))
    assert [trial.number for trial in tuned.trials] == [4, 3, 1, 2]
    assert tuned.default_value == tuned.trials[1].value
    first, default, *interrupted = (trial.parameters for trial in tuned.trials)
    assert interrupted == [default] * 2
    assert first != default
    once_more = search(file, model="gru4rec", limits=Limits(trials=1))
    assert once_more.default_value == tuned.default_value
    assert once_more.trials[0].number == 5


def test_the_defaults_are_not_given_up_however_good_the_others_are(
    file: Path, scripted: type[Scripted]
) -> None:
    study = started_elsewhere(file)
    for _ in range(4):
        study.add_trial(optuna.create_trial(value=0.9, intermediate_values={1: 0.9, 2: 0.9}))
    scripted.plans = [[0.1, 0.2], [0.1, 0.2]]
    tuned = search(file, model="gru4rec", limits=Limits(trials=2), metric="recall@1")
    found = {trial.number: trial for trial in tuned.trials}
    assert (found[5].state, found[6].state) == ("finished", "given up")
    assert tuned.default_value == found[5].value
    assert tuned.value == 0.9


def started_elsewhere(file: Path) -> optuna.Study:
    file.parent.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(storage=f"sqlite:///{file}", study_name="streamrec", direction="maximize")


def test_a_file_that_does_not_say_all_of_its_search_is_of_another(file: Path) -> None:
    started_elsewhere(file).set_user_attr("search", {"model": "markov", "metric": "mrr@20"})
    with pytest.raises(ConfigError, match=r"fixed parameters was not kept and is now \{\}"):
        search(file)


def test_a_search_goes_on_from_its_file(file: Path) -> None:
    first = search(file, limits=Limits(trials=2))
    both = search(file, limits=Limits(trials=2))
    assert len(first.trials) == 2
    assert len(both.trials) == 4
    assert both.default_value == first.default_value
    drawn = [str(trial.parameters) for trial in both.trials]
    assert len(set(drawn)) == 4  # nothing is drawn twice
    assert search(file, limits=Limits(trials=0)) == both


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"metric": "recall@20"}, "metric was 'mrr@20' and is now 'recall@20'"),
        ({"model": "item_knn"}, "model was 'markov'"),
        ({"seed": 1}, "seed was 0"),
        ({"fixed": {"window": "2"}}, "fixed parameters was {}"),
        ({"split": by_time(ring_clicks(100), share=0.3)}, "training clicks was"),
    ],
)
def test_trials_that_cannot_be_compared_are_kept_apart(
    change: dict[str, Any], named: str, file: Path
) -> None:
    search(file, limits=Limits(trials=1))
    with pytest.raises(ConfigError, match="is of another search") as caught:
        search(file, **change)
    assert named in str(caught.value)


def test_a_file_that_is_no_file_of_trials(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("a text of many letters, and no database at all" * 100)
    with pytest.raises(ConfigError, match="trials cannot be kept in this file"):
        search(tmp_path / "x.sqlite")
    with pytest.raises(ConfigError, match="trials cannot be kept in this file"):
        search(tmp_path / "x.sqlite" / "y.sqlite")


def test_a_trial_below_the_median_is_given_up(file: Path, scripted: type[Scripted]) -> None:
    scripted.plans = [[0.5, 0.6], [0.5, 0.7], [0.5, 0.8], [0.5, 0.9], [0.1, 1.0], [0.6, 1.0]]
    tuned = search(file, model="gru4rec", limits=Limits(trials=6), metric="recall@1")
    states = {trial.number: trial.state for trial in tuned.trials}
    assert states == {
        1: "finished",
        2: "finished",
        3: "finished",
        4: "finished",
        5: "given up",
        6: "finished",
    }
    assert tuned.trials[0].number == 6
    assert tuned.trials[-1].value is None


def test_a_trial_that_does_not_converge_is_given_up(file: Path, scripted: type[Scripted]) -> None:
    scripted.plans = [[0.5], [float("nan")], [0.6]]
    tuned = search(file, model="gru4rec")
    assert sorted(trial.state for trial in tuned.trials) == ["finished", "finished", "given up"]


def test_a_first_trial_that_cannot_work_ends_the_search(file: Path, scripted: type[Scripted]) -> None:
    scripted.plans = [[float("nan")]]
    with pytest.raises(ConfigError, match="the loss is nan"):
        search(file, model="gru4rec")
    with pytest.raises(ConfigError, match="none of 1 trials has finished"):
        search(file, model="gru4rec", limits=Limits(trials=0))


def test_parameters_that_cannot_be_are_named(file: Path) -> None:
    with pytest.raises(ConfigError, match="widow: there is no such parameter"):
        search(file, fixed={"widow": 3})


def test_an_interrupted_trial_is_not_left_behind_as_running(file: Path) -> None:
    @contextmanager
    def interrupted(_name: str) -> Iterator[OnStep]:
        def on_step(_done: int, _total: int, _loss: float) -> None:
            raise KeyboardInterrupt

        yield on_step

    with pytest.raises(KeyboardInterrupt):
        search(file, progress=interrupted)
    tuned = search(file, limits=Limits(trials=2))
    assert [trial.state for trial in tuned.trials] == ["finished", "finished", "stopped"]


def test_the_trial_at_work_is_dropped_when_time_is_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    @contextmanager
    def slow(name: str) -> Iterator[OnStep]:
        def on_step(_done: int, _total: int, _loss: float) -> None:
            nonlocal now
            now += 1 if name == "trial 1" else 100

        yield on_step

    monkeypatch.setattr(tuning, "time", Clock)
    tuned = search(file, limits=Limits(minutes=1), progress=slow)
    assert [trial.state for trial in tuned.trials] == ["finished", "stopped"]
    assert now <= 60 + 100


@pytest.mark.parametrize("metric", ["mrr", "mrr@", "mrr@0", "auc@20", "mrr@x"])
def test_metrics_that_are_not(metric: str, file: Path) -> None:
    with pytest.raises(ConfigError, match="there is no metric"):
        search(file, metric=metric)
    assert not file.exists()


def test_without_optuna_the_error_says_what_to_install(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert run("--bundled") == 2
    assert 'pip install "streamrec[tune]"' in capsys.readouterr().err


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["tune", *arguments])
    return int(caught.value.code or 0)


def test_gru4rec_can_be_looked_at_after_every_epoch() -> None:
    model = GRU4Rec(TINY)
    seen: list[FloatArray] = []

    def on_epoch(epoch: int) -> None:
        assert epoch == len(seen) + 1
        seen.append(next(model.scores(Session(["i00"]))))

    model.train(ring_sessions(50), TrainOptions(on_epoch=on_epoch))
    undisturbed = GRU4Rec(TINY)
    undisturbed.train(ring_sessions(50), TrainOptions())
    last = next(undisturbed.scores(Session(["i00"])))
    assert len(seen) == TINY.epochs
    assert np.array_equal(seen[-1], last)
    assert not np.array_equal(seen[0], last)


def test_the_verb_prints_lines_to_go_on_with(tmp_path: Path, capsys: Printed) -> None:
    data = write_tsv(tmp_path / "my clicks.tsv", ring_clicks(60))
    fixed = [text for each in ("epochs=1", "hidden_size=8", "n_sample=16") for text in ("--param", each)]
    study = tmp_path / "trials.sqlite"
    arguments = ["--data", data, "--study", str(study), *fixed, "--minutes", "1", "--metric", "recall@5"]
    assert run(*arguments, "--trials", "2") == 0
    out, err = capsys.readouterr()
    assert "trials: 2 finished" in out
    assert "--model gru4rec --param epochs=1 --param hidden_size=8 --param n_sample=16 --param loss=" in out
    assert f"streamrec train gru4rec --data '{data}' --param epochs=1" in out
    assert "trial 1: recall@5" in err
    assert "trial 2: recall@5" in err
    assert run(*arguments, "--trials", "0", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"]["epochs"] == "1"
    assert found["value"] >= found["default_value"]
    assert len(found["trials"]) == 2
    assert sqlite3.connect(study).execute("select count(*) from trials").fetchone() == (2,)


def test_the_sessions_of_the_last_days_can_be_held_out(tmp_path: Path, capsys: Printed) -> None:
    data = write_tsv(tmp_path / "clicks.tsv", ring_clicks(100))
    arguments = ["--model", "markov", "--data", data, "--study", str(tmp_path / "s.sqlite"), "--trials", "1"]
    assert run(*arguments, "--valid-days", str(19.5 / 1440)) == 0
    capsys.readouterr()
    assert run(*arguments, "--valid-share", "0.2") == 0  # the same sessions, 20 of 100: the same search
    assert "trials: 2 finished" in capsys.readouterr().out
