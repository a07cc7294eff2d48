"""Releases of broken artifacts, and of good ones every two seconds: no list is missing or of two."""

import dataclasses
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from app_processes import publish, read
from bench import Bench
from onnx import TensorProto, helper, numpy_helper
from session_models import edit_manifest, make_slow, rewrite
from system import System, Worker
from traffic import real_clicks

from streamrec.artifact import MANIFEST, SIGNATURE
from streamrec.contracts import TrainOptions
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import REFUSALS, Refusal
from streamrec.events import Recommendation, encode
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.scorer import load_scorer, load_step
from streamrec.signing import SigningKey

PER_S = 40.0


def edited(change: Callable[[onnx.ModelProto], None], folder: Path) -> None:
    """Change the score graph, and have the manifest agree: both workers look at this one."""
    model = onnx.load(folder / "score.onnx")
    change(model)
    rewrite(folder, "score.onnx", model.SerializeToString())


def with_nan(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).copy()
            values.flat[-1] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def with_external_data(model: onnx.ModelProto) -> None:
    tensor = next(each for each in model.graph.initializer if each.data_type == TensorProto.FLOAT)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def with_foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    model.graph.node.append(helper.make_node("Add", ["hidden", "hidden"], ["anything"], domain="elsewhere"))


def of_other_shape(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(values[:-1], tensor.name))


def truncated(name: str, folder: Path, *, admitted: bool) -> None:
    value = (folder / name).read_bytes()
    value = value[: len(value) // 2]
    rewrite(folder, name, value) if admitted else (folder / name).write_bytes(value)


def one_bit_flipped(name: str, folder: Path) -> None:
    value = bytearray((folder / name).read_bytes())
    value[len(value) // 2] ^= 1
    (folder / name).write_bytes(value)


def missing(name: str, folder: Path) -> None:
    (folder / name).unlink()


def huge_vocabulary(folder: Path) -> None:
    rewrite(folder, "vocabulary.json", json.dumps([f"item-{n}" for n in range(1_000_000)]).encode())


def manifest(folder: Path, **fields: object) -> None:
    edit_manifest(folder, lambda made: made.update(fields))


DAMAGES: dict[str, tuple[Callable[[Path], object], str, Refusal]] = {
    "truncated-step": (partial(truncated, "step.onnx", admitted=False), "bytes instead of", "damaged"),
    "truncated-score": (partial(truncated, "score.onnx", admitted=True), "cut short", "damaged"),
    "truncated-manifest": (partial(truncated, MANIFEST, admitted=False), "no JSON", "damaged"),
    "flipped-step": (partial(one_bit_flipped, "step.onnx"), "sha256 is not the manifest's", "damaged"),
    "flipped-bias": (partial(one_bit_flipped, "bias.npy"), "sha256 is not the manifest's", "damaged"),
    "other-shape": (partial(edited, of_other_shape), "score.onnx", "wrong_shape"),
    "other-width": (partial(manifest, hidden_size=32), "a hidden state of 32", "wrong_shape"),
    "nan": (partial(edited, with_nan), "not finite", "not_finite"),
    "slow": (make_slow, "score.onnx takes", "slow"),
    "external-data": (
        partial(edited, with_external_data),
        "weights, which have to be in the file itself",
        "wrong_shape",
    ),
    "foreign-operator": (
        partial(edited, with_foreign_operator),
        "'elsewhere' are not allowed",
        "wrong_shape",
    ),
    "huge-claimed": (partial(manifest, n_items=10**9), "less than or equal to 4000000", "wrong_shape"),
    "huge-vocabulary": (huge_vocabulary, "vocabulary.json has 14888890 bytes", "wrong_shape"),
    "missing-step": (partial(missing, "step.onnx"), "the artifact is incomplete", "damaged"),
    "missing-manifest": (partial(missing, MANIFEST), "the artifact is incomplete", "damaged"),
    "missing": (shutil.rmtree, "has no version missing", "unavailable"),
}
"""What is done to a good artifact before it is signed, what the refusal says, and its label."""


def signed_by_another(folder: Path) -> None:
    key = SigningKey.create(folder.parent.parent / "another.key")
    (folder / SIGNATURE).write_bytes(key.sign((folder / MANIFEST).read_bytes()))


FORGERIES: dict[str, tuple[Callable[[Path], object], str, Refusal]] = {
    "unsigned": (partial(missing, SIGNATURE), "not signed; if you answer for it", "unsigned"),
    "signed-by-another": (signed_by_another, "by none of the 1 trusted keys", "unsigned"),
}
"""What is done to a signed artifact that is whole, what the refusal says, and its label."""


@contextmanager
def two_versions(bench: Bench) -> Iterator[tuple[Bench, str, str]]:
    """A bench whose registry is its own to break, its version and another good one."""
    path = shutil.copytree(bench.settings.registry.path, bench.folder / "registry", dirs_exist_ok=True)
    settings = bench.settings.model_copy(
        update={"registry": bench.settings.registry.model_copy(update={"path": path})}
    )
    registry = Registry.of(settings)
    (first,) = bench.steps
    config = GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64)
    model = GRU4Rec(config)
    model.train(islice(click_sessions(bundled_clicks()), 500, 900), TrainOptions(seed=1))
    second = model.publish(registry)
    steps = {**bench.steps, second: load_step(registry, second)}
    scorers = {**bench.scorers, second: load_scorer(registry, second)}
    yield dataclasses.replace(bench, settings=settings, steps=steps, scorers=scorers), first, second


def sign(folder: Path, key: SigningKey) -> None:
    """Sign whatever the manifest says."""
    if (folder / MANIFEST).exists():
        (folder / SIGNATURE).write_bytes(key.sign((folder / MANIFEST).read_bytes()))


def announce_damaged(system: System, folder: Path, damage: Callable[[Path], object], *, forged: bool) -> None:
    """Make an artifact live that `announce` would look into."""
    key = SigningKey.load(system.settings.registry.signing_key)
    digests = [_digest(folder)]
    if forged:
        sign(folder, key)
    damage(folder)
    if not forged:
        sign(folder, key)
    if (folder / MANIFEST).exists():
        digests.append(_digest(folder))
    live = released(system.settings)["gru4rec/live"]
    release = msgspec.structs.replace(
        live, version=folder.name, sequence=live.sequence + 1, digest=digests[-1]
    )
    publish(system.settings, "models", [(release.key, encode(release))])


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def swaps(worker: Worker, *results: str) -> int:
    """How many releases came to one of these ends."""
    found = re.findall(r'^streamrec_model_swaps_total{result="(\w+)"} (\d+)', worker.page("metrics"), re.M)
    return sum(int(n) for result, n in found if result in results)


def refused(worker: Worker) -> int:
    return swaps(worker, "refused", "untrusted")


def refusals(worker: Worker) -> dict[str, int]:
    """How many releases were refused, by reason."""
    found = re.findall(r'^streamrec_model_refusals_total{reason="(\w+)"} (\d+)', worker.page("metrics"), re.M)
    return {reason: int(n) for reason, n in found}


def releases_of_lists(system: System) -> list[str]:
    """The release that every list names, in the order in which they were written."""
    lists = sorted(read(system.settings, "recommendations"), key=lambda each: each.timestamp)
    return [msgspec.json.decode(each.value, type=Recommendation).release for each in lists]


@pytest.mark.chaos
def test_a_broken_release_is_refused_once_and_the_old_one_goes_on(bench: Bench) -> None:
    with two_versions(bench) as (bench, first, second), bench.system() as system:
        folder = bench.settings.registry.path / "gru4rec"
        workers = [system.start(role) for role in ("state", "scoring")]
        with system.traffic(PER_S, real_clicks(bench.seed)):
            system.wait_until_flowing()
            system.fault()
            for n, (name, (damage, words, reason)) in enumerate({**DAMAGES, **FORGERIES}.items(), 1):
                shutil.copytree(folder / first, folder / name)
                manifest(folder / name, version=name)
                announce_damaged(system, folder / name, damage, forged=name in FORGERIES)
                for worker in workers:
                    system.wait(lambda worker=worker, n=n: refused(worker) == n, what=f"refusal of {name}")
                    refusal = [
                        line for line in worker.log.splitlines() if f"release {name!r} is refused" in line
                    ]
                    assert len(refusal) == 1
                    assert words in worker.log
                    assert refusal[0].endswith(f"(reason: {reason})")
            system.wait_until_flowing()
            assert [swaps(worker, "swapped") for worker in workers] == [1, 1]
            announce(bench.settings, "gru4rec", second)
            for worker in workers:
                system.wait(lambda worker=worker: swaps(worker, "swapped") == 2, what="the good release")
            system.wait_until_flowing()
            assert [swaps(worker, "refused") for worker in workers] == [len(DAMAGES)] * 2
            assert [swaps(worker, "untrusted") for worker in workers] == [len(FORGERIES)] * 2
            reasons = Counter(reason for _, _, reason in (*DAMAGES.values(), *FORGERIES.values()))
            assert set(reasons) == set(REFUSALS)
            assert [refusals(worker) for worker in workers] == [reasons] * 2
        system.settle()
        system.stop()
        verdict = bench.judge(system)
        found = releases_of_lists(system)
    verdict.check()
    assert set(verdict.exits) == {0}
    assert verdict.repeats == 0
    assert set(found) == {first, second}


@pytest.mark.chaos
def test_a_release_every_two_seconds_leaves_no_list_out(bench: Bench) -> None:
    with two_versions(bench) as (bench, first, second), bench.system() as system:
        workers = [system.start(role) for role in ("state", "scoring")]

        def release(version: str) -> None:
            before = [swaps(worker, "swapped") for worker in workers]
            announce(bench.settings, "gru4rec", version)
            for worker, n in zip(workers, before, strict=True):
                system.wait(lambda worker=worker, n=n: swaps(worker, "swapped") > n, what=f"{version}")

        with system.traffic(PER_S, real_clicks(bench.seed)):
            system.wait_until_flowing()
            system.fault()
            for version in islice(cycle([second, first]), 10):
                system.pause(2, 2)
                release(version)
            release(second)
            system.wait_until_flowing()
            release(first)  # back
            system.wait_until_flowing()
        system.settle()
        assert [swaps(worker, "swapped") for worker in workers] == [13, 13]
        system.stop()
        verdict = bench.judge(system)
        found = releases_of_lists(system)
    verdict.check()
    assert set(verdict.exits) == {0}
    assert verdict.repeats == 0
    assert set(found) == {first, second}
    assert found[-1] == first
