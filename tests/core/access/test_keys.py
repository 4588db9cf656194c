from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access.keys import ApiKey, Token, new_token, read_token
from core.access.scopes import SCOPES, Scope, allows


def key_of(token: Token, expires_at: float | None = None) -> ApiKey:
    return ApiKey(
        id=token.id, name="a", scopes=("classify",), digest=token.digest, created_at=1.0, expires_at=expires_at
    )


def test_a_token_opens_its_own_key_only() -> None:
    token, other = new_token(), new_token()
    assert token.opens(key_of(token))
    assert not other.opens(key_of(token))
    assert not Token(token.id, other.secret).opens(key_of(token))
    assert not token.opens(None)


def test_a_token_reads_back_and_is_stored_hashed() -> None:
    token = new_token()
    assert read_token(str(token)) == token
    key = key_of(token)
    assert key.digest == hashlib.sha256(token.secret.encode()).hexdigest()
    assert token.secret not in key.model_dump_json()


def test_a_token_shows_its_secret_only_as_text() -> None:
    token = new_token()
    assert token.secret not in repr(token)
    assert token.secret not in f"{[token]}"


def test_two_tokens_differ_and_are_long_enough() -> None:
    tokens = [new_token() for _ in range(100)]
    assert len({token.secret for token in tokens}) == len({token.id for token in tokens}) == 100
    assert all(len(token.secret) == 43 for token in tokens)  # 256 bits in base64


@given(st.text(max_size=80))
def test_other_texts_are_no_tokens(text: str) -> None:
    assert read_token(text) is None


@pytest.mark.parametrize("change", ["{}x", "x{}", "{} ", "{}\n"])
def test_a_token_has_exactly_one_form(change: str) -> None:
    assert read_token(change.format(new_token())) is None


def test_a_key_expires_at_its_moment() -> None:
    key = key_of(new_token(), expires_at=100.0)
    assert (key.expired(99.9), key.expired(100.0)) == (False, True)
    assert not key_of(new_token()).expired(1e12)


@pytest.mark.parametrize("needed", SCOPES)
def test_admin_may_do_everything_and_the_others_their_own(needed: Scope) -> None:
    assert allows(("admin",), needed)
    assert allows((needed,), needed)
    others = [scope for scope in SCOPES if scope not in (needed, "admin")]
    assert not allows(others, needed)
