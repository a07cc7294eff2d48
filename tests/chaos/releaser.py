"""`streamrec` with an end built in: `python releaser.py PHASE ARGUMENTS`, killed (SIGKILL) in that phase.

The product knows nothing of it: the ends are put around its functions here.

    training      after the tenth step
    export        graphs are written, the manifest is not
    publish       the version is whole, beside its place, and not renamed into it yet
    published     it has been renamed, and nobody told
    announce      the records, which are one batch, are with the producer and not on the topic
    announced     all records are on the topic; the process knows nothing of that
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from streamrec.cli import main

_STEPS = 10


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def training() -> None:
    from streamrec.models._gru4rec.training import Trainer

    step, left = Trainer.step, iter(range(_STEPS))

    def killed(*arguments: Any) -> Any:
        if next(left, None) is None:
            die()
        return step(*arguments)

    Trainer.step = killed  # type: ignore[method-assign]


def export() -> None:
    from streamrec.models._gru4rec import export as module

    module.write_manifest = lambda *_: die()  # type: ignore[assignment]


def _around_renames(after: bool) -> None:
    for name in ("rename", "replace"):
        move: Callable[..., None] = getattr(os, name)

        def killed(source: Any, *rest: Any, move: Callable[..., None] = move, **options: Any) -> None:
            if not Path(source).is_dir():
                return move(source, *rest, **options)
            if after:
                move(source, *rest, **options)
            return die()

        setattr(os, name, killed)


def publish() -> None:
    _around_renames(after=False)


def published() -> None:
    _around_renames(after=True)


def announce() -> None:
    KafkaProducer.flush = lambda *_, **__: die()


def announced() -> None:
    close = KafkaProducer.close

    def killed(self: KafkaProducer, *arguments: Any, **options: Any) -> None:
        close(self, *arguments, **options)
        die()

    KafkaProducer.close = killed


if __name__ == "__main__":
    PHASE, *ARGUMENTS = sys.argv[1:]
    if PHASE != "none":
        globals()[PHASE]()
    main(ARGUMENTS)
