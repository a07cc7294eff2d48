"""From clicks to a version that is published, measured and loaded, or to nothing at all."""

import sys
from pathlib import Path

import pytest
from session_models import Published, ring_sessions

from streamrec.artifact import read_artifact
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import ArtifactError, ConfigError, DatasetError
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.training import evaluate_exported, gru4rec_config, train_gru4rec

SMALL = {"embedding_size": "16", "hidden_size": "16", "epochs": "4", "batch_size": "8", "n_sample": "16"}


def clicks(n: int = 200, seed: int = 0, start_ms: int = 0) -> Clicks:
    """Sessions round the ring, a minute apart."""
    rows = [
        (f"s{number}", item, start_ms + 60_000 * number + 1000 * place)
        for number, session in enumerate(ring_sessions(n, seed))
        for place, item in enumerate(session.items)
    ]
    return make_clicks(*zip(*rows, strict=True))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def test_a_trained_model_is_published_with_its_data_and_metrics(registry: Registry) -> None:
    train, held_out = clicks(), clicks(40, seed=5)
    trained = train_gru4rec(
        train, registry, config=gru4rec_config(SMALL), held_out=held_out, seed=3, data={"source": "here"}
    )
    assert registry.versions("gru4rec") == [trained.version]
    assert trained.directory == registry.directory("gru4rec", trained.version)
    manifest, _ = read_artifact(trained.directory)
    assert manifest.data == {
        "source": "here",
        "clicks": len(train),
        "sha256": train.digest(),
        "sessions": 200,
        "items": 40,
        "first": "1970-01-01T00:00:00.000+00:00",
        "last": manifest.data["last"],
    }
    assert manifest.seed == 3
    assert manifest.metrics == trained.metrics == evaluate_exported(trained.directory, held_out)
    assert trained.metrics["recall_at_20"] > 0.95
    assert trained.metrics["next_clicks"] == len(held_out) - 40
    assert trained.events == 4 * (len(train) - 200)
    assert len(trained.losses) == 4
    assert trained.train_s > 0


def test_without_held_out_sessions_there_are_no_metrics(registry: Registry) -> None:
    trained = train_gru4rec(clicks(20), registry, config=gru4rec_config(SMALL))
    assert trained.metrics == {}


def test_unseen_items_are_misses_and_left_out_of_the_known(published: Published) -> None:
    sessions = [["i00", "i01"], ["i00", "stranger"], ["stranger", "i05"]]
    rows = [(str(n), item, place) for n, each in enumerate(sessions) for place, item in enumerate(each)]
    metrics = evaluate_exported(published.directory, make_clicks(*zip(*rows, strict=True)))
    assert (metrics["next_clicks"], metrics["next_clicks_known"]) == (3, 2)
    assert metrics["recall_at_20"] == pytest.approx(1 / 3)
    assert metrics["recall_at_20_known"] == pytest.approx(1 / 2)


def test_sessions_of_one_click_cannot_be_measured(published: Published) -> None:
    with pytest.raises(DatasetError, match="nothing to measure"):
        evaluate_exported(published.directory, make_clicks(["a", "b"], ["i00", "i01"], [1, 2]))


def test_what_cannot_be_measured_is_found_out_before_the_training(registry: Registry) -> None:
    trained: list[int] = []
    single = make_clicks(["a", "b"], ["i00", "i01"], [1, 2])
    with pytest.raises(DatasetError, match="nothing to measure"):
        train_gru4rec(
            clicks(20),
            registry,
            config=gru4rec_config(SMALL),
            held_out=single,
            on_step=lambda done, *_: trained.append(done),
        )
    assert (trained, registry.versions("gru4rec")) == ([], [])


def test_a_training_that_fails_publishes_nothing(registry: Registry) -> None:
    with pytest.raises(DatasetError):
        train_gru4rec(make_clicks(["a"], ["i"], [0]), registry)
    for loss, error in ("bpr-max", ConfigError), ("cross-entropy", ArtifactError):
        config = gru4rec_config({**SMALL, "loss": loss, "learning_rate": 1e30})
        with pytest.raises(error, match="learning_rate"):
            train_gru4rec(clicks(20), registry, config=config)
    assert registry.versions("gru4rec") == []


def test_a_version_that_does_not_load_is_an_error(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(self: Registry, model: str, version: str, write: object) -> Path:
        place = publish(self, model, version, write)  # type: ignore[arg-type]
        (place / "step.onnx").write_bytes(b"")
        return place

    publish = Registry.publish
    monkeypatch.setattr(Registry, "publish", damage)
    with pytest.raises(ArtifactError, match=r"step\.onnx"):
        train_gru4rec(clicks(20), registry, config=gru4rec_config(SMALL))


def test_parameters_may_be_text_and_go_on_top_of_the_preset() -> None:
    assert gru4rec_config() == GRU4RecConfig()
    assert gru4rec_config(quick=True) == GRU4Rec.QUICK
    assert gru4rec_config({"epochs": "3"}, quick=True) == GRU4Rec.QUICK.model_copy(update={"epochs": 3})
    assert gru4rec_config({"hidden_size": "64"}, quick=True).embedding_size == 64  # as without --quick
    assert gru4rec_config({"loss": "bpr-max", "learning_rate": "0.07"}) == GRU4RecConfig(
        loss="bpr-max", learning_rate=0.07
    )


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"epoch": "3"}, "epoch: there is no such parameter; known are loss, embedding, .*elu"),
        ({"epochs": "many"}, "epochs: .*not 'many'"),
        ({"epochs": "0", "loss": "hinge"}, r"(?s)loss: .*'hinge'.*epochs: .*not '0'"),
        ({"hidden_size": "7", "embedding_size": "8"}, "embedding_size = hidden_size, not 8 and 7"),
    ],
    ids=str,
)
def test_parameters_that_cannot_work_are_all_named(parameters: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        gru4rec_config(parameters)


@pytest.mark.parametrize("missing", ["torch", "onnx"])
def test_without_torch_it_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if "gru4rec" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("streamrec.models.gru4rec", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf'{missing}.* pip install "streamrec\[train\]"'):
        gru4rec_config()
