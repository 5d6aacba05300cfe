"""Request bodies: how much is read and for how long, and what a form in one says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from asgi_refresh import Config, bodies
from asgi_refresh.bodies import UnreadableBody, form_fields, media_type, read_body, replayed
from asgi_refresh.double_submit import FORM, MAX_FORM, accepts, repeated

pytestmark = pytest.mark.anyio

GONE = {"type": "http.disconnect"}
MOST = 10


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Inbox:
    """What a client sends; it is waited for where there is no more."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.left = list(messages)

    async def __call__(self) -> dict[str, Any]:
        if not self.left:
            await anyio.sleep_forever()
        return self.left.pop(0)


def length(value: bytes) -> dict[bytes, list[bytes]]:
    return {b"content-length": [value]}


async def refused(headers: Any, inbox: Inbox) -> int:
    with pytest.raises(UnreadableBody) as raised:
        await read_body(headers, inbox, most=MOST)
    return raised.value.status


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"0123456789")],
        [piece(b"01234", more=True), piece(b"", more=True), piece(b"56789")],
        [piece(b"0123456789", more=True), {"type": "http.request"}],
    ],
)
async def test_a_body_of_the_most_there_may_be_is_read_whole(messages: Any) -> None:
    inbox = Inbox(*messages, GONE)

    assert await read_body(length(b"10"), inbox, most=MOST) == b"0123456789"
    assert inbox.left == [GONE]


async def test_a_message_without_a_body_is_an_empty_one() -> None:
    assert await read_body({}, Inbox({"type": "http.request"}), most=MOST) == b""


async def test_a_longer_one_is_refused_as_soon_as_it_is_one() -> None:
    inbox = Inbox(piece(b"0123456789", more=True), piece(b"x", more=True), GONE)

    assert await refused({}, inbox) == 413
    assert inbox.left == [GONE]


@pytest.mark.parametrize("declared", [b"11", b"9" * 19])
async def test_one_that_says_so_is_not_read_at_all(declared: bytes) -> None:
    inbox = Inbox(piece(b"x"))

    assert await refused(length(declared), inbox) == 413
    assert len(inbox.left) == 1


@pytest.mark.parametrize("declared", [b"9" * 20, b"9" * 5000, b"-11", b"1e9", b"", "٣٣".encode()])
async def test_what_is_no_length_is_not_believed(declared: bytes) -> None:
    assert await read_body(length(declared), Inbox(piece(b"x")), most=MOST) == b"x"


async def test_a_client_that_leaves_is_told_from_one_that_sends_nothing() -> None:
    assert await refused({}, Inbox(piece(b"x", more=True), GONE)) == 400


async def test_one_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.001)

    assert await refused({}, Inbox(piece(b"x", more=True))) == 408


async def test_a_body_that_was_read_is_received_once_more_and_then_what_follows() -> None:
    receive = replayed(b"abc", Inbox(GONE))

    assert [await receive(), await receive()] == [piece(b"abc"), GONE]


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"Text/HTML; charset=utf-8"], b"text/html"),
        ([b" text/html ;x"], b"text/html"),
        ([b"text/html"], b"text/html"),
        ([], b""),
        ([b"text/html", b"text/html"], b""),
    ],
)
def test_a_media_type_is_that_of_the_only_header(values: list[bytes], expected: bytes) -> None:
    assert media_type({b"content-type": values} if values else {}) == expected


def test_a_form_keeps_empty_fields_and_order() -> None:
    fields = [("a", "1"), ("b", ""), ("a", "é &")]

    assert form_fields(b"a=1&b=&a=%C3%A9+%26") == fields


def test_a_form_has_at_most_a_thousand_fields() -> None:
    assert len(form_fields(b"&".join([b"a=1"] * 1000))) == 1000
    with pytest.raises(ValueError, match="fields"):
        form_fields(b"&".join([b"a=1"] * 1001))


@pytest.mark.parametrize("raw", [b"a=%ff", "a=é".encode()])
def test_what_is_not_utf_8_in_ascii_is_no_form(raw: bytes) -> None:
    with pytest.raises(ValueError, match="codec"):
        form_fields(raw)


# --- the double-submit token in one ---------------------------------------------------------------

CONFIG = Config(csrf_header="X-Token", csrf_field="token")


async def presented(
    headers: dict[bytes, list[bytes]], body: bytes = b""
) -> tuple[bytes | None, bytes]:
    """What is repeated, and the body that the application still receives."""
    inbox = Inbox(piece(body, more=len(body) > MAX_FORM), GONE)
    token, receive = await repeated(headers, inbox, CONFIG)
    received = (await receive()).get("body", b"gone")
    assert inbox.left == [] or await receive() == GONE
    return token, received


def form(kind: bytes = FORM) -> dict[bytes, list[bytes]]:
    return {b"content-type": [kind]}


@pytest.mark.parametrize(
    ("headers", "body", "token"),
    [
        ({b"x-token": [b"t"]}, b"x", b"t"),
        ({b"x-token": [b"t"]} | form(), b"token=other", b"t"),
        ({b"x-token": [b"t", b"t"]}, b"x", None),
        ({b"x-token": [b""]} | form(), b"token=t", b""),
        (form(), b"a=b&token=t", b"t"),
        (form(FORM.title() + b"; charset=utf-8"), b"token=t", b"t"),
        (form(), b"token=%C3%A9", "é".encode()),
        (form(), b"token=", b""),
        (form(), b"token=t&token=t", None),
        (form(), b"other=t", None),
        (form(), b"token=%ff", None),
        (form(b"text/plain"), b"token=t", None),
        ({}, b"token=t", None),
    ],
)
async def test_a_token_is_repeated_in_the_header_or_else_in_the_form(
    headers: Any, body: bytes, token: bytes | None
) -> None:
    assert await presented(headers, body) == (token, body)


async def test_a_form_is_looked_into_up_to_its_limit() -> None:
    body = b"token=t&pad=".ljust(MAX_FORM, b"x")

    assert await presented(form(), body) == (b"t", body)
    assert (await presented(form(), body + b"x"))[0] is None


@pytest.mark.parametrize(
    ("expected", "token", "good"),
    [
        (["a", "b"], b"a", True),
        (["a", "b"], b"b", True),
        (["a", "b"], b"c", False),
        (["a"], b"", False),
        (["a"], None, False),
        (["a"], "é".encode(), False),
        ([], b"a", False),
    ],
)
def test_any_of_the_expected_tokens_will_do(
    expected: Iterable[str], token: bytes | None, good: bool
) -> None:
    assert accepts([*expected], token) is good
