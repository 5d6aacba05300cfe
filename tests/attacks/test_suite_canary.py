"""The canary that listens to every test hears what it is there to hear."""

from __future__ import annotations

import logging

import pytest

from asgi_refresh import Event, Issuer
from asgi_refresh.errors import ConfigurationError, InvalidTokenError
from tests.canary import Canary, tokens_in

ISSUER = Issuer("the-canary-is-a-secret-of-32-bytes-or-more", store=None)


async def parts() -> list[str]:
    tokens = await ISSUER.issue("alice")
    whole = [tokens.access_token, tokens.refresh_token]
    return [*whole, *(part for token in whole for part in token.split(".") if len(part) > 42)]


@pytest.mark.anyio
async def test_whatever_part_of_a_token_is_told_is_heard(canary: Canary) -> None:
    words = await parts()
    assert len(words) >= 5
    for word in words:
        assert tokens_in(f"so it says {word!r}")
        Event("rejected", detail=word)
        InvalidTokenError(f"not good: {word}")
        logging.getLogger("asgi_refresh").warning("it came with %s", word)
        assert len(canary.take()) == 3


def test_an_error_with_a_word_for_its_message_alone_is_heard(canary: Canary) -> None:
    ConfigurationError("aB3" * 15)
    assert len(canary.take()) == 1


def test_what_is_no_token_is_not_heard(canary: Canary) -> None:
    Event("issued", subject="a" * 200, session_id="aB3" * 7, detail="https://app.example")
    assert not canary.take()
