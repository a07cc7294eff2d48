"""One training of GRU4Rec as a process of its own.

`python -m benchmarks.trainer ours|official LOSS EPOCHS RESULT`: some passes over the bundled clicks on one
thread, with the same hyperparameters for both. Measured is the call that trains, from sessions in memory
to weights, without imports and reading. What it sets up before the first pass is in it: two trainings of
different length tell what a pass alone takes.
`official` runs the authors' code from the folder OFFICIAL_GRU4REC names; it is called, not copied.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.meter import Measured
from benchmarks.training import LOSSES, OFFICIAL
from streamrec.contracts import TrainOptions
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig

__all__: list[str] = []

_NAMES = {"dropout_hidden": "dropout_p_hidden", "elu": "elu_param"}
"""What the official code calls a parameter, where it has another name."""


def ours(loss: str, epochs: int) -> Callable[[], object]:
    """A call that trains streamrec's."""
    sessions = list(click_sessions(bundled_clicks()))
    model = GRU4Rec(GRU4RecConfig.model_validate({"loss": loss, "epochs": epochs, **LOSSES[loss]}))
    return lambda: model.train(sessions, TrainOptions(device="cpu"))


def official(loss: str, epochs: int) -> Callable[[], object]:
    """A call that trains the authors'."""
    import pandas as pd

    clicks = bundled_clicks()
    data = pd.DataFrame(
        {
            "SessionId": np.unique(clicks.session_ids, return_inverse=True)[1],
            "ItemId": clicks.item_ids,
            "Time": clicks.time_ms / 1000,
        }
    )
    # It was written for a torch that made float32 of what numpy and pandas have in float64.
    tensor = torch.tensor

    def float32(values: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
        if isinstance(values, np.ndarray | pd.Series):
            values = np.asarray(values)
            dtype = torch.float32 if dtype is None and values.dtype == np.float64 else dtype
        return tensor(values, *args, dtype=dtype, **options)

    torch.tensor = float32  # type: ignore[assignment]
    sys.path.insert(0, os.environ[OFFICIAL])
    from gru4rec_pytorch import GRU4Rec as Official

    parameters = {_NAMES.get(name, name): value for name, value in LOSSES[loss].items()}
    model = Official(
        device=torch.device("cpu"),
        loss=loss,
        layers=[100],
        batch_size=32,
        learning_rate=0.1,
        n_sample=2048,
        sample_alpha=0.5,
        constrained_embedding=True,
        n_epochs=epochs,
        **parameters,
    )
    return lambda: model.fit(data)


def main(whose: str, loss: str, epochs: int, result: Path) -> None:
    """Train once and write what it took."""
    torch.set_num_threads(1)
    events = epochs * sum(len(session.items) - 1 for session in click_sessions(bundled_clicks()))
    train = {"ours": ours, "official": official}[whose](loss, epochs)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    train()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    measured = Measured(events, wall_s, cpu_s, [cpu_s / events * 1e6], psutil.Process().memory_info().rss)
    result.write_text(json.dumps(measured), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
