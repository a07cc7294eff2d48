"""Versions that may not serve, on a real broker: refused for their own reason, once, while lists go on."""

import hashlib
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
import pytest
from app_processes import App, click, publish, read, running
from onnx import numpy_helper
from session_models import RING, TINY, edit_manifest, make_slow, rewrite, ring_sessions

from streamrec.artifact import MANIFEST, SIGNATURE
from streamrec.config import Settings
from streamrec.contracts import TrainOptions
from streamrec.errors import REFUSALS, Refusal
from streamrec.events import ModelRelease, Recommendation, encode
from streamrec.models.gru4rec import GRU4Rec
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.signing import SigningKey

N_CLICKS = 20
MODEL = "gru4rec"


def damaged(folder: Path) -> None:
    value = bytearray((folder / "score.onnx").read_bytes())
    value[len(value) // 2] ^= 1
    (folder / "score.onnx").write_bytes(value)


def with_a_nan(folder: Path) -> None:
    model = onnx.load(folder / "score.onnx")
    weights = model.graph.initializer[0]
    values = numpy_helper.to_array(weights).copy()
    values.flat[-1] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    rewrite(folder, "score.onnx", model.SerializeToString())


def of_another_width(folder: Path) -> None:
    edit_manifest(folder, lambda made: made.update(hidden_size=32))


def unsigned(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


BEFORE_SIGNING: dict[Refusal, Callable[[Path], object]] = {
    "wrong_shape": of_another_width,
    "not_finite": with_a_nan,
    "slow": make_slow,
}
AFTERWARDS: dict[Refusal, Callable[[Path], object]] = {
    "damaged": damaged,
    "unsigned": unsigned,
    "unavailable": shutil.rmtree,
}


@pytest.fixture
def model(settings: Settings) -> str:
    """A small model, live."""
    gru4rec = GRU4Rec(TINY)
    gru4rec.train(ring_sessions(), TrainOptions(seed=3))
    version = gru4rec.publish(Registry.of(settings))
    announce(settings, MODEL, version)
    return version


def release_of(
    settings: Settings, good: str, reason: Refusal | Literal["good"], sequence: int
) -> ModelRelease:
    """The release of a copy of the good version, signed by the right key, in which one thing is wrong."""
    folder = settings.registry.path / MODEL / reason.replace("_", "-")
    shutil.copytree(settings.registry.path / MODEL / good, folder)
    edit_manifest(folder, lambda made: made.update(version=folder.name))
    if reason in BEFORE_SIGNING:
        BEFORE_SIGNING[reason](folder)
    value = (folder / MANIFEST).read_bytes()
    assert settings.registry.signing_key is not None
    (folder / SIGNATURE).write_bytes(SigningKey.load(settings.registry.signing_key).sign(value))
    if reason in AFTERWARDS:
        AFTERWARDS[reason](folder)
    return ModelRelease(
        model=MODEL,
        slot="live",
        version=folder.name,
        sequence=sequence,
        digest=hashlib.sha256(value).hexdigest(),
        time=time.time_ns() // 1_000_000,
    )


def refusals(app: App) -> Counter[str]:
    """How many releases the app has refused, by reason."""
    found = re.findall(r'^streamrec_model_refusals_total{reason="(\w+)"} (\d+)', app.page("metrics")[1], re.M)
    return Counter({reason: int(n) for reason, n in found if int(n)})


def test_each_is_refused_once_for_its_own_reason_and_the_old_one_serves(
    settings: Settings, model: str, tmp_path: Path
) -> None:
    assert {*BEFORE_SIGNING, *AFTERWARDS} == set(REFUSALS)
    refused: Counter[str] = Counter()
    sent = 0

    def clicks() -> None:
        """What visitors do meanwhile; waits for their lists."""
        nonlocal sent
        now = time.time_ns() // 1_000_000
        records = [click(f"s{n % 7}", RING[n % len(RING)], f"{sent + n}", now + n) for n in range(N_CLICKS)]
        publish(settings, "interactions", records)
        sent += N_CLICKS
        read(settings, "recommendations", n=sent)

    with running("state", settings, tmp_path) as state, running("scoring", settings, tmp_path) as scoring:
        for sequence, reason in enumerate(REFUSALS, 2):
            release = release_of(settings, model, reason, sequence)
            # The same announcement twice: what is refused is refused.
            publish(settings, "models", [(release.key, encode(release))] * 2)
            clicks()
            refused[reason] += 1
            for app in state, scoring:
                app.wait(partial(lambda app: refusals(app) == refused, app), timeout_s=30)
            clicks()
        for app in state, scoring:
            assert refusals(app) == refused
            assert app.log.count("is refused") == len(REFUSALS)
            assert (
                f'streamrec_model_info{{model="gru4rec",slot="live",version="{model}"}} 1.0'
                in app.page("metrics")[1]
            )
        # Neither is worn out: the next good one is taken.
        release = release_of(settings, model, "good", len(REFUSALS) + 2)
        publish(settings, "models", [(release.key, encode(release))])
        for app in state, scoring:
            app.wait(partial(lambda app: 'result="swapped"} 2.0' in app.page("metrics")[1], app))
        clicks()
    lists = [
        msgspec.json.decode(each.value, type=Recommendation) for each in read(settings, "recommendations")
    ]
    assert len(lists) == len({each.rec_id for each in lists}) == sent
    assert Counter(each.release for each in lists) == {model: sent - N_CLICKS, "good": N_CLICKS}
    came = {(each.partition, each.offset): each.timestamp for each in read(settings, "interactions")}
    late_ms = [each.emit_time - came[each.input_partition, each.input_offset] for each in lists]
    assert max(late_ms) < 5000, "nobody waited for a version to be loaded or looked for"


def test_a_start_with_a_bad_release_alone_tells_why_and_how_to_go_on(
    settings: Settings, model: str, tmp_path: Path
) -> None:
    release = release_of(settings, model, "not_finite", 2)
    publish(settings, "models", [(release.key, encode(release))])
    app = App("state", settings, tmp_path / "state.log")
    try:
        assert app.process.wait(timeout=60) == 1
    finally:
        app.kill()
    assert "release 'not-finite' is refused (reason: not_finite)" in app.log
    assert "streamrec models release VERSION" in app.log
    assert "Traceback" not in app.log
