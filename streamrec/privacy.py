"""Names for visitors that say nothing about them.

Wherever a log line or an error message would name a visitor, it names the pseudonym: the same
for the same visitor and key, and of no use to who does not have the key.
"""

import hmac
import secrets
from typing import Final

from pydantic import SecretStr

__all__ = ["Pseudonyms"]

# 64 bits: among ten million visitors two share a pseudonym with a chance of one in 370,000.
_BYTES: Final = 8


class Pseudonyms:
    """Pseudonyms under one key: HMAC-SHA-256, cut to 16 hexadecimal digits.

    key: the same in every process whose logs are to be joined; None draws one for this process.
    """

    def __init__(self, key: SecretStr | None) -> None:
        self._key = secrets.token_bytes(32) if key is None else key.get_secret_value().encode()

    def of(self, visitor_id: bytes) -> str:
        """The pseudonym of a visitor id, in UTF-8 or whatever else a record has for a key."""
        return hmac.digest(self._key, visitor_id, "sha256")[:_BYTES].hex()
