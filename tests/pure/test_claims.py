"""Claims at the edges of what is believed and of what may be said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asgi_refresh.claims import MAX_CLAIMS, check_claims, check_payload, number, parse_object
from asgi_refresh.errors import InvalidTokenError


def payload(**values: Any) -> dict[str, Any]:
    times = {"exp": 1.0, "iat": 0.0, "auth_time": 0.0}
    return {"sub": "alice", "sid": "s1", "jti": "j1", "gen": 1, **times, **values}


@pytest.mark.parametrize("around", [b"\x0b%b", b"%b\x0c", b"\xc2\xa0%b", b"%b\xc2\x85"])
def test_what_is_no_white_space_of_json_is_not_trimmed(around: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        parse_object(around % b"{}")


def test_the_white_space_of_json_is() -> None:
    assert parse_object(b" \t\r\n{} \t\r\n") == {}


@pytest.mark.parametrize("value", [2**53 - 1, 1 - 2**53, -1000, 0, 0.5])
def test_what_a_float_counts_exactly_is_a_number_of_seconds(value: float) -> None:
    assert number(value) == value


@pytest.mark.parametrize("value", [2**53, -(2**53), math.inf, -math.inf, math.nan, True, "1", None])
def test_anything_else_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match="not a number of seconds"):
        number(value)


@pytest.mark.parametrize("moment", [0.25, 1, 1.5])
def test_a_token_may_end_at_any_moment_after_the_epoch(moment: float) -> None:
    check_payload(payload(exp=moment))


@pytest.mark.parametrize("moment", [0, -1])
def test_a_token_that_ends_at_the_epoch_is_none(moment: float) -> None:
    with pytest.raises(ValueError, match="claims"):
        check_payload(payload(exp=moment))


def test_claims_of_the_greatest_size_are_taken_and_one_byte_more_is_not() -> None:
    room = MAX_CLAIMS - len('{"x":""}')

    assert check_claims({"x": "a" * room}) == {"x": "a" * room}
    with pytest.raises(ValueError, match=f"claims of {MAX_CLAIMS + 1} bytes"):
        check_claims({"x": "a" * (room + 1)})
