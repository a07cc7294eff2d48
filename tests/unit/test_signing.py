"""Keys that only their owner reads, and signatures that hold for exactly the bytes signed."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from streamrec.config import load_settings
from streamrec.errors import ConfigError
from streamrec.signing import SIGNATURE_BYTES, SigningKey, is_signed_by
from streamrec.standalone import with_own_key

MINE, OTHER = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())


def pem(key: object, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined, no-any-return]


@given(value=st.binary(max_size=200), other=st.binary(max_size=200))
def test_a_signature_holds_for_its_key_and_its_bytes_alone(value: bytes, other: bytes) -> None:
    signature = MINE.sign(value)
    assert len(signature) == SIGNATURE_BYTES
    assert is_signed_by([OTHER.public, MINE.public], value, signature)
    assert not is_signed_by([OTHER.public], value, signature)
    assert not is_signed_by([], value, signature)
    assert is_signed_by([MINE.public], other, signature) == (other == value)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_signature_or_none(signature: bytes) -> None:
    assert not is_signed_by([MINE.public], b"value", signature)


def test_a_key_comes_back_from_its_file_which_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.key"
    made = SigningKey.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == made.public
    assert len(base64.b64decode(made.public)) == 32
    with pytest.raises(ConfigError, match=r"signing\.key: .* keys are not overwritten"):
        SigningKey.create(path)
    assert SigningKey.load(path).public == made.public


def test_a_key_that_everybody_may_use_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    SigningKey.create(path)
    for mode, good in ((0o644, False), (0o666, False), (0o601, False), (0o640, True), (0o400, True)):
        path.chmod(mode)
        if good:
            SigningKey.load(path)
        else:
            with pytest.raises(ConfigError, match=f"mode {mode:o}.*chmod 600 {path}"):
                SigningKey.load(path)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no key",
        pem(Ed25519PrivateKey.generate())[:-40],
        pem(Ed25519PrivateKey.generate(), passphrase=b"secret"),
        pem(generate_private_key(SECP256R1())),
    ],
    ids=["empty", "text", "cut off", "encrypted", "of another kind"],
)
def test_a_file_that_holds_no_key_of_ours_is_refused_and_not_quoted(tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "signing.key"
    path.touch(0o600)
    path.write_bytes(value)
    with pytest.raises(ConfigError, match="no Ed25519 private key in PEM") as caught:
        SigningKey.load(path)
    assert str(caught.value) == (
        f"{path}: no Ed25519 private key in PEM without a passphrase; "
        "make one with `streamrec models keygen FILE`"
    )


def test_a_key_that_is_not_there_is_named_with_the_verb_that_makes_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=rf"{path}: .*`streamrec models keygen FILE`"):
            SigningKey.load(path)


# -- one machine's own key ----------------------------------------------------------------------


def test_a_machine_of_ones_own_makes_its_key_once_and_trusts_it(tmp_path: Path) -> None:
    plain = load_settings(registry={"path": tmp_path / "registry"})
    first, second = with_own_key(plain), with_own_key(plain)
    assert first == second
    path = first.registry.signing_key
    assert path == tmp_path / "registry.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.registry.trusted_keys == (SigningKey.load(path).public,)


@pytest.mark.parametrize(
    "keys",
    [{"trusted_keys": [MINE.public]}, {"signing_key": "my.key"}, {"require_signature": False}],
    ids=str,
)
def test_keys_that_are_set_are_left_alone(tmp_path: Path, keys: dict[str, object]) -> None:
    settings = load_settings(registry={"path": tmp_path / "registry", **keys})
    assert with_own_key(settings) == settings
    assert list(tmp_path.iterdir()) == []
