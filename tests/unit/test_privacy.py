"""A pseudonym is the same for a visitor and a key, and says nothing without the key."""

import hashlib
import hmac
import re

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from streamrec.privacy import Pseudonyms

KEY, OTHER = SecretStr("a key of sixteen"), SecretStr("another key of 24 chars.")


@given(visitor=st.binary(max_size=300), other=st.binary(max_size=300))
def test_visitors_have_the_same_name_under_the_same_key_alone(visitor: bytes, other: bytes) -> None:
    name = Pseudonyms(KEY).of(visitor)
    assert re.fullmatch("[0-9a-f]{16}", name)
    assert Pseudonyms(KEY).of(visitor) == name
    assert Pseudonyms(OTHER).of(visitor) != name
    assert (Pseudonyms(KEY).of(other) == name) == (other == visitor)


def test_whoever_has_the_key_can_tell_a_visitors_name() -> None:
    full = hmac.new(KEY.get_secret_value().encode(), b"visitor-1", hashlib.sha256).hexdigest()
    assert Pseudonyms(KEY).of(b"visitor-1") == full[:16]


def test_without_a_key_every_process_draws_its_own() -> None:
    first, second = Pseudonyms(None), Pseudonyms(None)
    assert first.of(b"v") == first.of(b"v") != second.of(b"v")
