"""Training events per second by batch size: `python -m benchmarks.batch_sizes [--device auto] [--out FILE]`.

One pass over the bundled clicks for each size, after one that is not counted. On a GPU the figure rises
with the batch for as long as preparing the next one, and not the device, is what takes the time.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from benchmarks.report import machine
from streamrec.cli.output import print_table
from streamrec.contracts import TrainOptions
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig

__all__ = ["events_per_second"]

_SIZES: Final = (32, 64, 128, 256, 512, 1024)


def events_per_second(batch_size: int, device: str) -> float:
    """Events a second of wall time, with the published hyperparameters otherwise."""
    sessions = list(click_sessions(bundled_clicks()))

    def seconds(epochs: int) -> tuple[float, int]:
        model = GRU4Rec(GRU4RecConfig(batch_size=batch_size, epochs=epochs))
        start = time.perf_counter()
        events = model.train(sessions, TrainOptions(device=device)).events
        return time.perf_counter() - start, events

    # What happens once, such as the vocabulary and the first kernels, is in both and falls out.
    (one_s, one), (two_s, two) = seconds(1), seconds(2)
    return (two - one) / (two_s - one_s)


def main() -> None:
    """Measure and print; the figures go to a file too."""
    parser = argparse.ArgumentParser("python -m benchmarks.batch_sizes", description=__doc__)
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto: CUDA where present")
    parser.add_argument("--out", type=Path, default=Path("build/bench/batch_sizes.json"))
    options = parser.parse_args()
    console = Console(stderr=True)
    measured = {
        size: events_per_second(size, options.device)
        for size in track(_SIZES, "training", console=console, transient=True)
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"device": options.device, "machine": machine(), "events_per_second": measured}
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print_table(
        ["batch size", f"events/s on {options.device}"],
        [[size, f"{each:,.0f}"] for size, each in measured.items()],
    )


if __name__ == "__main__":
    main()
