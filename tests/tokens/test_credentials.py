"""What a request brings along, as plain values."""

from __future__ import annotations

import pytest

from asgi_refresh.credentials import Credentials, Headers
from asgi_refresh.sessions import FrozenDict
from asgi_refresh.tokens import AccessToken, RefreshToken


def access(session_id: str, expires_at: float) -> AccessToken:
    times = {"iat": 0, "auth_time": 0, "exp": expires_at}
    names = {"sub": "alice", "sid": session_id, "jti": "j", "gen": 1}
    return AccessToken(FrozenDict(names | times))


def refresh(session_id: str) -> RefreshToken:
    return RefreshToken(session_id, 1, None, 0.0)


def test_a_session_lasts_as_long_as_the_last_access_token_of_it() -> None:
    tokens = (access("a", 9.0), access("b", 5.0), access("a", 7.0), refresh("b"), refresh("c"))

    assert Credentials(genuine=tokens).sessions == {"a": 9.0, "b": 5.0, "c": 0.0}


def test_headers_go_by_their_names_in_small_letters() -> None:
    headers = Headers([(b"Cookie", b"1"), (b"X-A", b"2"), (b"cookie", b"3")])

    assert dict(headers) == {b"cookie": [b"1", b"3"], b"x-a": [b"2"]}
    assert len(headers) == 2


def test_a_header_that_is_not_there_is_named() -> None:
    headers = Headers([])

    assert headers.get(b"cookie") == ()
    assert headers.get(b"cookie", None) is None
    with pytest.raises(KeyError, match="cookie"):
        headers[b"cookie"]
