"""Progress of a model that trains several others."""

from streamrec.contracts import TrainOptions

__all__ = ["part_options"]


def part_options(options: TrainOptions | None, number: int, n_parts: int, events: int) -> TrainOptions:
    """Options for the training of one of several parts, each of `events`: its progress is a share of all."""
    options = options or TrainOptions()
    tell = options.on_step
    if tell is None:
        return options
    return options._replace(
        on_step=lambda done, total, loss: tell(
            number * events + done * events // total, n_parts * events, loss
        )
    )
