"""What decides about the last bits of a training, beside code, clicks, hyperparameters and seed.

In: the device and the threads. Out: plain values for the manifest. Two trainings that agree in all of this
give the same bits; of two that do not, it says why they may differ.
"""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.distributed as dist

__all__ = ["environment"]

_CPU_INFO: Final = Path("/proc/cpuinfo")


def environment(device: torch.device, threads: int) -> dict[str, str | int]:
    """Versions, processor, device, and a digest of the code that trains and exports."""
    found: dict[str, str | int] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
        "device": device.type,
        "threads": threads,
        "processes": int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1,
        "trainer": _trainer(),
    }
    if device.type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda or ""}
    return found


def _processor() -> str:
    """The processor's name; where the system does not tell, what Python knows."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


@cache
def _trainer() -> str:
    """The first digits of a digest of this package and the module above it: the version alone says too little
    while it is worked on."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in [here.with_name("gru4rec.py"), *sorted(here.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
