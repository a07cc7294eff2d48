"""GRU4Rec's training, stopped and resumed, or shared between processes: the result is the same."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from session_models import TINY, ring_sessions

from streamrec.contracts import TrainOptions
from streamrec.datasets import make_clicks, write_clicks
from streamrec.errors import ConfigError, RegistryError
from streamrec.models._gru4rec import training
from streamrec.models.gru4rec import GRU4Rec
from streamrec.registry import Registry
from streamrec.training import train_gru4rec

CONFIG = TINY.model_copy(
    update={"epochs": 3, "dropout_hidden": 0.3, "dropout_embed": 0.2, "momentum": 0.2, "layers": 2}
)


EVENTS = CONFIG.epochs * sum(len(session.items) - 1 for session in ring_sessions(200))


class StoppedError(Exception):
    pass


def weights(model: GRU4Rec) -> dict[str, bytes]:
    assert model.network is not None
    return {name: value.numpy().tobytes() for name, value in model.network.state_dict().items()}


def train(checkpoint: Path | None = None, stop_after: int | None = None, seed: int = 5) -> GRU4Rec:
    """Train on the ring; stop with the report that tells of so many events."""

    def on_step(done: int, _total: int, _loss: float) -> None:
        if stop_after is not None and done >= stop_after:
            raise StoppedError

    model = GRU4Rec(CONFIG)
    options = TrainOptions(seed=seed, on_step=on_step, checkpoint=checkpoint, checkpoint_every_s=0.0)
    report = model.train(ring_sessions(200), options)
    assert len(report.losses) == CONFIG.epochs
    return model


@pytest.fixture(autouse=True)
def _reports_are_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_REPORT_EVERY", 100)


@pytest.mark.parametrize("stops", [[1], [350], [900], [1700], [EVENTS], [250, 900, 1700]], ids=str)
def test_a_training_that_was_stopped_ends_in_the_same_bits(stops: list[int], tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.npz"
    for stop in stops:
        with pytest.raises(StoppedError):
            train(checkpoint, stop_after=stop)
        assert checkpoint.exists() == (stop > 100)  # the first report comes before the first file
    assert weights(train(checkpoint)) == weights(train())
    # What comes after the training may fail: what it learned is kept until the model is safe.
    assert weights(train(checkpoint, stop_after=0)) == weights(train())
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_resumed_training_does_not_start_over(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(tmp_path / "training.npz", stop_after=900)
    told: list[int] = []
    GRU4Rec(CONFIG).train(
        ring_sessions(200),
        TrainOptions(
            seed=5, on_step=lambda done, *_: told.append(done), checkpoint=tmp_path / "training.npz"
        ),
    )
    assert 800 < told[0] <= 1000


def test_a_checkpoint_of_another_training_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.npz"
    with pytest.raises(StoppedError):
        train(checkpoint, stop_after=300)
    with pytest.raises(ConfigError, match="seed 5, now 6; train as before, or remove it to start anew"):
        train(checkpoint, seed=6)
    with pytest.raises(ConfigError, match=r"sessions '.*', now '.*'"):
        GRU4Rec(CONFIG).train(ring_sessions(201), TrainOptions(seed=5, checkpoint=checkpoint))
    assert checkpoint.exists()


@pytest.mark.parametrize("damage", [b"", b"no archive", None], ids=["empty", "text", "cut off"])
def test_a_file_that_is_no_checkpoint_is_refused(damage: bytes | None, tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.npz"
    with pytest.raises(StoppedError):
        train(checkpoint, stop_after=300)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(ConfigError, match=r"this is no checkpoint .*; remove it to start anew"):
        train(checkpoint)


def test_a_checkpoint_in_a_folder_that_is_not_there_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere/training.npz: there is no such folder .*; make it"):
        train(tmp_path / "nowhere" / "training.npz", stop_after=0)


def test_a_checkpoint_goes_when_its_model_is_published_and_not_before(tmp_path: Path) -> None:
    checkpoint, place = tmp_path / "training.npz", tmp_path / "registry"
    clicks = make_clicks(["s", "s", "t", "t"], list("abba"), [1, 2, 3, 4])
    place.write_text("a file where the registry should be")
    with pytest.raises(RegistryError):
        train_gru4rec(clicks, Registry(place), config=TINY, checkpoint=checkpoint)
    assert checkpoint.exists()
    place.unlink()
    train_gru4rec(clicks, Registry(place), config=TINY, checkpoint=checkpoint)
    assert not checkpoint.exists()


def test_a_pickle_in_a_checkpoint_is_not_loaded(tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.npz"
    np.savez(checkpoint, allow_pickle=True, about=np.array([print], dtype=object))
    with pytest.raises(ConfigError, match="allow_pickle=False"):
        train(checkpoint)


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
SCRIPT = """
import json, sys
from session_models import ring_sessions
from streamrec.contracts import TrainOptions
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
model = GRU4Rec(GRU4RecConfig.model_validate_json(sys.argv[1]))
report = model.train(ring_sessions(200), TrainOptions(seed=5, device="cpu"))
if model.is_first:
    items = model.network.items.detach().double()
    print(json.dumps({"losses": report.losses, "norm": items.norm().item(), "first": items[0].tolist()}))
"""


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max"])
def test_two_processes_of_torchrun_learn_what_one_does(loss: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    config = CONFIG.model_copy(update={"loss": loss, "batch_size": 7}).model_dump_json()
    helpers = Path(__file__).parents[1] / "helpers"

    def run(*launcher: str) -> dict[str, list[float]]:
        done = subprocess.run(
            [sys.executable, *launcher, str(script), config],
            env={"PYTHONPATH": str(helpers), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, list[float]] = json.loads(done.stdout)
        return found

    alone = run()
    together = run(*TORCHRUN)
    # The same sums in another order.
    np.testing.assert_allclose(together["losses"], alone["losses"], rtol=1e-4)
    np.testing.assert_allclose(together["norm"], alone["norm"], rtol=1e-4)
    np.testing.assert_allclose(together["first"], alone["first"], atol=1e-3)


def test_torchrun_publishes_one_version_and_refuses_different_clicks(tmp_path: Path) -> None:
    files = []
    for name, seed in (("same", 1), ("other", 2)):
        rows = [
            (f"s{number}", item, 60_000 * number + 1000 * place)
            for number, session in enumerate(ring_sessions(60, seed))
            for place, item in enumerate(session.items)
        ]
        files.append(tmp_path / f"{name}.tsv.gz")
        write_clicks(files[-1], make_clicks(*zip(*rows, strict=True)))

    def run(data: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "train.py"
        script.write_text(
            "import os\nfrom streamrec.cli import main\n"
            f"main(['train', 'gru4rec', '--device', 'cpu', '--json', '--data', {data},\n"
            "'--param', 'epochs=1', '--param', 'hidden_size=8', '--param', 'n_sample=16'])\n"
        )
        registry = {"STREAMREC_REGISTRY__PATH": str(tmp_path / "registry")}
        return subprocess.run(
            [sys.executable, *TORCHRUN, str(script)],
            env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", **registry},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run(repr(str(files[0])))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == Registry(tmp_path / "registry").latest("gru4rec")
    assert len(Registry(tmp_path / "registry").versions("gru4rec")) == 1
    refused = run(f"[{str(files[0])!r}, {str(files[1])!r}][int(os.environ['RANK'])]")
    assert refused.returncode != 0
    assert (
        "differ in clicks, hyperparameters, seed or checkpoint; give all of them the same" in refused.stderr
    )
