"""Ed25519 signatures: whose models are served.

A private key is a PEM file (PKCS #8) that nobody else may read; a public key is text, the
base64 of its 32 bytes; a signature is 64 bytes. OpenSSL reads and makes the same.
"""

import base64
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from streamrec.errors import ConfigError

__all__ = ["SIGNATURE_BYTES", "SigningKey", "is_signed_by"]

SIGNATURE_BYTES: Final = 64
_MAX_KEY_FILE_BYTES: Final = 4096


class SigningKey:
    """A private key. `public` is its public key as text: what others put on their list of trusted keys."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = base64.b64encode(raw).decode()

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new key, written to `path` for its owner alone. Raises ConfigError if the file exists."""
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)
        except FileExistsError:
            raise ConfigError(f"{path}: there is a file already; keys are not overwritten") from None
        except OSError as error:
            raise ConfigError(f"{path}: a key cannot be written there ({error.strerror})") from None
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key in a file. Raises ConfigError if it is none, or if everybody may read it."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                pem = file.read(_MAX_KEY_FILE_BYTES)
        except OSError as error:
            raise ConfigError(
                f"{path}: the signing key cannot be read ({error.strerror}); make one with "
                "`streamrec models keygen FILE` and name it in STREAMREC_REGISTRY__SIGNING_KEY"
            ) from None
        if mode & stat.S_IRWXO:
            raise ConfigError(
                f"{path}: everybody on this machine may use this key (mode {stat.S_IMODE(mode):o}); "
                f"chmod 600 {path}, or make a new one if others were here"
            )
        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: it is encrypted
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(
                f"{path}: no Ed25519 private key in PEM without a passphrase; "
                "make one with `streamrec models keygen FILE`"
            )
        return cls(key)

    def sign(self, value: bytes) -> bytes:
        """The signature of `value`."""
        return self._key.sign(value)


def is_signed_by(keys: Sequence[str], value: bytes, signature: bytes) -> bool:
    """Whether one of the public keys made `signature` for exactly these bytes.

    keys: base64 of 32 bytes each, as the settings have checked.
    """
    return any(_verifies(key, value, signature) for key in keys)


def _verifies(key: str, value: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True)).verify(signature, value)
    except InvalidSignature:
        return False
    return True
