"""Hidden states while canaries come, grow and go: those of the session's items, whichever version serves."""

import random
from functools import partial

import numpy as np
from session_models import RING, Published, misled
from state_parts import BASE, Partition, click

from streamrec.canary import Canary
from streamrec.contracts import FloatArray, StepModel
from streamrec.registry import Registry
from streamrec.scorer import load_step

N_VISITORS = 60


def recomputed(model: StepModel, items: list[str]) -> FloatArray:
    """The state after these items, one after the other from zeros."""
    hidden = np.zeros((1, model.hidden_size), dtype=np.float32)
    for index in map(model.item_index, items):
        if index >= 0:
            hidden = model.step(np.array([index]), hidden)
    return hidden[0]


def test_hidden_states_are_those_of_the_sessions_items(published: Published) -> None:
    registry = Registry(published.registry.path.parent / "two-versions", trusted=None)
    registry.publish("gru4rec", "v1", partial(published.model.export, version="v1"))
    registry.publish("gru4rec", "v2", partial(misled, published.model, version="v2"))
    models = {version: load_step(registry, version) for version in ("v1", "v2")}
    partition, rng, offset = Partition(), random.Random(5), 0
    phases = [("v1", None), ("v1", 0.3), ("v1", 0.8), ("v1", None), ("v1", 0.5), ("v2", None), ("v1", None)]
    for live, share in phases:
        canary = None if share is None else Canary("v2", share, models["v2"])
        records = []
        for _ in range(6):
            for visitor in rng.sample(range(N_VISITORS), N_VISITORS * 2 // 3):
                item = rng.choice([*RING, "unknown"])
                records.append(click(offset, f"visitor-{visitor}", item, BASE + offset))
                offset += 1
        partition.take_all(*records, model=models[live], canary=canary)
        served = {(record.key or b"").decode() for record in records}
        for visitor in served:
            row = partition.visitor(visitor)
            version = "v2" if canary is not None and canary.serves(visitor) else live
            assert row.model_version == version
            found = np.frombuffer(row.hidden, dtype="<f4")
            np.testing.assert_allclose(found, recomputed(models[version], row.items), atol=1e-5)
    assert max(len(partition.visitor(f"visitor-{n}").items) for n in range(N_VISITORS)) < 50
