"""What `streamrec evaluate` asks of both kinds of models, and says of them alike."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from streamrec.cli.output import print_table

if TYPE_CHECKING:
    from streamrec.evaluation.summary import Comparison

__all__ = ["ALWAYS_K", "TEST_SHARE", "Asked", "Sources", "as_json", "print_comparisons", "title"]

ALWAYS_K: Final = (5, 10, 20)
TEST_SHARE: Final = 0.2


class Sources(NamedTuple):
    """Where the data is from."""

    train: Path | None
    test: Path | None
    data: Path | None
    bundled: bool
    from_history: bool
    test_share: float | None

    @property
    def split(self) -> bool:
        """Whether it is split already. Raises ConfigError if it is not one source, or not the whole of it."""
        from streamrec.errors import ConfigError

        whole = self.data is not None or self.bundled or self.from_history
        if self.train and self.test and not whole:
            return True
        if self.train or self.test or not whole:
            raise ConfigError(
                "which clicks? give --train FILE and --test FILE, or --data FILE, --from-history or "
                "--bundled to have them split"
            )
        return False


class Asked(NamedTuple):
    """How to evaluate, and what to do with it."""

    k: int
    seed: int
    device: str
    report: Path | None
    json: bool

    @property
    def ks(self) -> list[int]:
        """Lengths of lists that are measured."""
        return sorted({*ALWAYS_K, self.k})


def as_json(
    models: Sequence[Mapping[str, Any]], comparisons: Iterable["Comparison"], said: Sequence[str]
) -> dict[str, Any]:
    """One model as one object, several beside their comparisons."""
    if len(models) == 1:
        return {**models[0], "warnings": said}
    return {"models": models, "comparisons": [each.to_json() for each in comparisons], "warnings": said}


def print_comparisons(comparisons: Sequence["Comparison"], names: Sequence[str], covered: str) -> None:
    """A line for each model beside the first, and what its p-values stand for."""
    if not comparisons:
        return
    typer.echo("")
    print_table(
        [f"minus {comparisons[0].second}", *names],
        [
            [
                each.first,
                *(
                    f"{of.difference:+.4f} (p {of.p:.4f})"
                    for of in (each.differences[name] for name in names)
                ),
            ]
            for each in comparisons
        ],
    )
    typer.echo(f"\n{covered}.")


def title(labels: Sequence[str]) -> str:
    """The models in words."""
    return " and ".join([", ".join(labels[:-1]), labels[-1]]).removeprefix(" and ")
