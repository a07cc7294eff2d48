"""The session models of one call, and whose steps are taken by which."""

from streamrec.advance.partition import Held
from streamrec.advance.steps import Steps
from streamrec.contracts import StepModel
from streamrec.events import Interaction
from streamrec.state.rows import hidden_fields

__all__ = ["Stepping", "session_model"]


class Stepping:
    """A session model at work, on the steps of the visitors it serves."""

    __slots__ = ("_hidden", "hidden_bytes", "steps", "version")

    def __init__(self, model: StepModel) -> None:
        self.version = model.version
        self.steps = Steps(model)
        self.hidden_bytes = 4 * model.hidden_size
        self._hidden: list[bytes] | None = None

    def hidden(self) -> list[bytes]:
        """The hidden states that all steps end in, encoded. Raises ModelError if a step fails."""
        if self._hidden is None:
            self._hidden = hidden_fields(self.steps.run())
        return self._hidden


def session_model(
    stepping: Stepping | None, event: Interaction, weight: float, going_on: Held | None, offset: int
) -> tuple[str, bytes, int | None]:
    """Model version and hidden state of the next row, or the step whose outcome it waits for.

    stepping: the model that serves the visitor. going_on: the visitor if the session goes on, else None.
    """
    version, hidden, waits_for = "", b"", None
    if going_on is not None:
        version, hidden = going_on.row.model_version, going_on.row.hidden
        waits_for = going_on.waits_for
    if weight <= 0:
        return version, hidden, waits_for
    if stepping is None:
        return "", b"", None
    follow = stepping.steps.follow
    if version == stepping.version:
        return version, hidden, follow(waits_for, hidden, event.item_id, offset)
    waits_for = None
    for item_id in [] if going_on is None else going_on.row.items:
        waits_for = follow(waits_for, b"", item_id, offset)
    return stepping.version, b"", follow(waits_for, b"", event.item_id, offset)
