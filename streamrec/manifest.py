"""What an artifact says of itself, `manifest.json`: sizes and digests, probes, and its origin.

Bounds stand here so that nothing is allocated for a manifest that promises more.
"""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, NonNegativeInt, model_validator

__all__ = ["FORMAT", "MAX_HIDDEN_SIZE", "MAX_ITEMS", "FileEntry", "Manifest", "Probe"]

FORMAT: Final = 1
# No ONNX file can be larger: protobuf counts its bytes in 31 bits.
_MAX_FILE_BYTES: Final = 2 << 30
MAX_ITEMS: Final = 4_000_000
MAX_HIDDEN_SIZE: Final = 4096

# Without a slash and without a leading dot a name cannot lead out of the directory.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class FileEntry(BaseModel, frozen=True):
    """Size and digest of one file."""

    size_bytes: Annotated[int, Field(ge=0, le=_MAX_FILE_BYTES)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Probe(BaseModel, frozen=True):
    """Inputs with the outputs they gave in training: what serving has to reproduce."""

    items: Annotated[list[NonNegativeInt], Field(max_length=1000)]
    """Indices of a short session, oldest first."""
    hidden: Annotated[list[float], Field(max_length=MAX_HIDDEN_SIZE)]
    """Hidden state after it."""
    top: Annotated[list[int], Field(max_length=1000)]
    """Indices of the best next items, best first."""
    scores: Annotated[list[float], Field(max_length=1000)]
    """Their scores."""
    visitor_id: Annotated[str, Field(max_length=256)] = ""
    """Who asks, of a recommender's probe."""


class Manifest(BaseModel, frozen=True):
    """What an artifact is made of and where it comes from."""

    format: int
    model: str
    version: str
    created: str
    """ISO 8601, UTC."""
    hidden_size: Annotated[int, Field(ge=0, le=MAX_HIDDEN_SIZE)]
    """0 of a recommender, which has no hidden state."""
    n_items: Annotated[int, Field(ge=1, le=MAX_ITEMS)]
    files: Annotated[dict[FileName, FileEntry], Field(max_length=128)]
    probes: Annotated[list[Probe], Field(min_length=1, max_length=64)]
    config: dict[str, Any]
    seed: int
    data: dict[str, Any]
    """Clicks, sessions, time range; offsets by partition if it came from a topic."""
    metrics: dict[str, float]
    code_version: str
    parent: str | None = None
    """The version whose weights training went on from."""
    environment: dict[str, str | int] = {}
    """What decides about the last bits beside code, data and seed; models/_gru4rec/environment.py."""

    @model_validator(mode="after")
    def _probes_fit(self) -> Self:
        for probe in self.probes:
            if len(probe.hidden) != self.hidden_size or len(probe.top) != len(probe.scores):
                raise ValueError(
                    f"a probe has {len(probe.hidden)} numbers for a hidden state of {self.hidden_size}, and "
                    f"{len(probe.scores)} scores for {len(probe.top)} items"
                )
        return self
