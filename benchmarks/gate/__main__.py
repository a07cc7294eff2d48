"""`python -m benchmarks.gate --out FOLDER`: train candidates, then how often the gate would be wrong.

Some minutes of one core for each data set. Stopped, it goes on with the candidates that are missing.
"""

import argparse
from pathlib import Path
from typing import Final

from benchmarks.gate.candidates import KINDS, run
from benchmarks.gate.errors import agreement, pairs, pass_rates
from streamrec.config import GateSettings

_SIZES: Final = (500, 1000, 1500, 2000, 3000)
_MARGINS: Final = (0.02, 0.03, 0.04, 0.05)
_CONFIDENCES: Final = (0.9, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Folder of the candidates' ranks.")
    parser.add_argument("--data", type=Path, help="A file of clicks; those bundled if not given.")
    parser.add_argument("--window", type=int, default=5000, help="Newest sessions that none is trained on.")
    parser.add_argument("--equal", type=int, default=6, help="Seeds of the equally good.")
    parser.add_argument("--worse", type=int, default=3, help="Seeds of each worse kind.")
    given = parser.parse_args()
    run(given.data, given.out, given.equal, given.worse, given.window)
    _print(given.out)


def _print(folder: Path) -> None:
    found = pairs(folder)
    confidence = GateSettings().confidence
    apart = max(agreement(pair, 1000, confidence) for pair in found[:5])
    print(f"{len(found)} pairs; bounds are within {apart:.2%} of those of the bootstrap")
    rates = {row[:4]: row[4] for row in pass_rates(found, _SIZES, _MARGINS, _CONFIDENCES)}
    print(f"{'pass the gate':24}{'margin':>8}{'sure':>6}  " + "".join(f"{size:>8,}" for size in _SIZES))
    for kind in KINDS:
        for sure in _CONFIDENCES:
            for margin in _MARGINS:
                cells = [rates.get((kind, size, margin, sure)) for size in _SIZES]
                shown = "".join("       –" if each is None else f"{each:8.1%}" for each in cells)
                print(f"{kind:24}{margin:8.0%}{sure:6.0%}  {shown}")


if __name__ == "__main__":
    main()
