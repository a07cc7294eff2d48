"""A training's state in a file, so that one that was stopped goes on as if it had not been.

The file is an .npz of plain arrays, written beside its place and renamed: it is whole or not
there. It belongs to one configuration, seed and set of sessions.
"""

import json
import os
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from streamrec.errors import ConfigError
from streamrec.models._gru4rec.training import Progress, Trainer

__all__ = ["Checkpoint"]

_ABOUT: Final = "about"


class Checkpoint:
    """The file of one training.

    identity: what the training is of; a file of another one is refused. every_s: how long a training goes
    on between two writes.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], every_s: float) -> None:
        self._path = path
        self._identity = json.loads(json.dumps(identity))
        self._every_s = every_s
        self._written = time.monotonic()

    def write_if_due(self, trainer: Trainer, progress: Progress) -> None:
        """Write if the last time is long enough ago."""
        if time.monotonic() - self._written >= self._every_s:
            self.write(trainer, progress)

    def write(self, trainer: Trainer, progress: Progress) -> None:
        """Write the file, in place of the one before."""
        about = json.dumps({"identity": self._identity, "progress": asdict(progress)})
        arrays = {name: value.cpu().numpy() for name, value in trainer.tensors.items()}
        beside = self._path.with_name(f"{self._path.name}.part")
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_ABOUT: np.array(about)}, **arrays)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        self._written = time.monotonic()

    def restore(self, trainer: Trainer) -> Progress:
        """Put the trainer where the file says; where there is none, it starts at the beginning.

        Raises ConfigError if the file cannot be read or belongs to another training.
        """
        if not self._path.parent.is_dir():
            raise ConfigError(f"{self._path}: there is no such folder for the checkpoint; make it")
        if not self._path.exists():
            return Progress()
        try:
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                about = json.loads(str(file[_ABOUT]))
                arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != _ABOUT}
            identity, progress = about["identity"], Progress(**about["progress"])
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise ConfigError(
                f"{self._path}: this is no checkpoint ({error}); remove it to start anew"
            ) from None
        differing = [
            f"{name} {identity.get(name)!r}, now {value!r}"
            for name, value in self._identity.items()
            if identity.get(name) != value
        ]
        if differing:
            raise ConfigError(
                f"{self._path}: the checkpoint is of another training: {'; '.join(differing)}; "
                "train as before, or remove it to start anew"
            )
        trainer.restore(arrays)
        return progress
