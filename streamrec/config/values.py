"""What settings are made of: a section, and values that mean the same in several of them."""

import base64
import re
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

__all__ = ["SESSION_SOURCES", "Place", "PublicKey", "Section", "SessionSourceName", "Weight"]

SessionSourceName = Literal["item_knn", "markov", "vs_knn", "stan", "vmis_knn"]
SESSION_SOURCES: Final[tuple[SessionSourceName, ...]] = get_args(SessionSourceName)
"""The sources of lists that learn from sessions; each has the name of its model."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _public_key(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    # Signatures under the point of all zeros can be made without a private key.
    if len(raw) != 32 or not any(raw):
        raise ValueError(
            "an Ed25519 public key is wanted, 44 characters of base64, as `streamrec models keygen` prints it"
        )
    return text


PublicKey = Annotated[str, AfterValidator(_public_key)]


_OBJECTS: Final = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,62}(/[A-Za-z0-9_][A-Za-z0-9._=-]*)*/?")


def _place(value: object) -> object:
    text = str(value)
    # As a path it has lost a slash, and would be a folder of that name.
    if "://" not in text and not text.startswith("s3:"):
        return Path(value) if isinstance(value, str) else value
    if isinstance(value, str) and _OBJECTS.fullmatch(value):
        return value.rstrip("/")
    raise ValueError(f"a folder or s3://bucket/prefix is wanted, not {text!r}")


Place = Annotated[Path | str, BeforeValidator(_place)]
"""A local folder, or the URL of a place in an object store."""


class Section(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """A part of the settings."""
