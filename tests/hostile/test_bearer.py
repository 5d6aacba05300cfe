"""`Authorization: Bearer`: a good one wins over cookies, a bad one never shadows a good cookie."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_refresh import Config, MemoryStore, Tokens
from tests.hostile.tools import ACCESS, Recorder, both, cookie_line, http, run, said, wrapped
from tests.support import Clock, Spy, make_issuer

pytestmark = pytest.mark.anyio


def bearer(raw: Tokens | str | bytes, scheme: bytes = b"Bearer ") -> tuple[bytes, bytes]:
    if isinstance(raw, Tokens):
        raw = raw.access_token
    return b"authorization", scheme + (raw.encode() if isinstance(raw, str) else raw)


@pytest.mark.parametrize(
    "scheme",
    [b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR ", b"Bearer  ", b"Bearer     "],
)
async def test_the_scheme_counts_in_any_case_before_one_space_or_more(
    clock: Clock, scheme: bytes
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    told, _ = await said(wrapped(issuer), bearer(await issuer.issue("alice"), scheme))

    assert (told["subject"], told["via"], told["refreshed"]) == ("alice", "bearer", False)


async def test_trailing_spaces_do_not_count(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")

    told, _ = await said(wrapped(issuer), bearer(tokens.access_token + "  "))

    assert told["subject"] == "alice"


@pytest.mark.parametrize(
    "scheme",
    [
        b"", b"Bearer", b"Bearer\t", b" Bearer ", b"\tBearer ", b"Bearers ", b"XBearer ", b"Basic ",
        b"Token ", b"DPoP ", b"Bearer=", b"Bearer: ", b"Bearer, ", b"Bearer Bearer ", b'Bearer "',
        b"\xc5\x82earer ", b"Bearer\xa0", b"Bearer\r\n ", b"Negotiate ", b"Bearer x ",
    ],
)  # fmt: skip
async def test_any_other_scheme_signs_nobody_in(clock: Clock, scheme: bytes) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    told, cookies = await said(wrapped(issuer), bearer(await issuer.issue("alice"), scheme))

    assert (told["subject"], cookies) == (None, [])


@pytest.mark.parametrize(
    "tail", [b"x", b" x", b",", b", Bearer y", b"\t", b"\x00", b"=", b";", b"\n"]
)
async def test_junk_after_the_token_signs_nobody_in(clock: Clock, tail: bytes) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")

    told, _ = await said(wrapped(issuer), bearer(tokens.access_token.encode() + tail))

    assert told["subject"] is None


@pytest.mark.parametrize("same", [True, False])
async def test_two_authorization_headers_are_none(clock: Clock, same: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice, bob = await issuer.issue("alice"), await issuer.issue("bob")

    told, _ = await said(wrapped(issuer), bearer(alice), bearer(alice if same else bob))

    assert told["reason"] == "no_credentials"


async def test_an_authorization_header_in_two_cases_is_two(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice, bob = await issuer.issue("alice"), await issuer.issue("bob")

    told, _ = await said(wrapped(issuer), bearer(alice), (b"Authorization", bearer(bob)[1]))

    assert told["reason"] == "no_credentials"


async def test_the_same_token_may_come_as_bearer_and_as_cookie(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")

    told, _ = await said(wrapped(issuer), bearer(tokens), both(tokens))

    assert told["via"] == "bearer"


# --- a good bearer wins ---------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
async def test_a_good_bearer_wins_over_a_good_cookie(clock: Clock, known: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice, bob = await issuer.issue("alice"), await issuer.issue("bob")
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))

    told, _ = await said(app, both(alice), bearer(bob))

    assert (told["subject"], told["via"]) == ("bob", "bearer")


@pytest.mark.parametrize("wait", [570, 3600])
async def test_next_to_a_good_bearer_due_cookies_are_not_refreshed(
    clock: Clock, wait: float
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy, config=Config(revocation="refresh"))
    alice = await issuer.issue("alice")
    clock.advance(wait)
    bob = await issuer.issue("bob")
    spy.calls.clear()

    told, cookies = await said(wrapped(issuer), both(alice), bearer(bob))

    assert (told["subject"], cookies, spy.calls) == ("bob", [], [])


async def test_next_to_a_good_bearer_the_cookie_header_passes_as_it_came(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice = await issuer.issue("alice")
    clock.advance(3600)
    bob = await issuer.issue("bob")

    told, _ = await said(wrapped(issuer), both(alice), bearer(bob))

    assert told["cookie_headers"] == [both(alice)[1].decode()]


@pytest.mark.parametrize(
    "cookie",
    [
        cookie_line((ACCESS, "garbage")),
        cookie_line(("x", "y" * 20_000)),
        cookie_line((ACCESS, "a"), (ACCESS, "b")),
    ],
    ids=["garbage", "oversize", "double"],
)
async def test_next_to_a_good_bearer_no_cookie_is_even_reported(
    clock: Clock, events: list[Any], cookie: Any
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    tokens = await issuer.issue("alice")
    events.clear()

    told, _ = await said(wrapped(issuer), cookie, bearer(tokens))

    assert (told["subject"], events) == ("alice", [])


async def test_a_good_bearer_near_its_end_is_used_and_not_refreshed(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(599.5)

    told, cookies = await said(wrapped(issuer), bearer(tokens), both(tokens))

    assert (told["via"], told["refreshed"], cookies) == ("bearer", False, [])


async def test_a_logout_under_a_bearer_ends_its_session(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    await run(
        wrapped(issuer, Recorder()),
        http("/logout", "POST", headers=[bearer(await issuer.issue("alice"))]),
    )

    assert await issuer.sessions("alice") == []


async def test_a_login_under_a_bearer_leaves_its_session_alone(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    await run(
        wrapped(issuer, Recorder()),
        http("/login", "POST", headers=[bearer(await issuer.issue("alice"))]),
    )

    assert len(await issuer.sessions("mallory")) == 1
    assert len(await issuer.sessions("alice")) == 1


async def test_with_bearer_off_a_logout_leaves_the_session_of_the_header_alone(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(bearer=False))

    await run(
        wrapped(issuer, Recorder()),
        http("/logout", "POST", headers=[bearer(await issuer.issue("alice"))]),
    )

    assert len(await issuer.sessions("alice")) == 1


# --- a bad bearer never shadows a good cookie -----------------------------------------------------

BAD = ["garbage", "expired", "revoked", "refresh", "undefined", "basic", "two", "empty", "latin"]


async def bad(kind: str, issuer: Any, clock: Clock) -> list[tuple[bytes, bytes]]:
    other = await issuer.issue("mallory")
    if kind == "revoked":
        await issuer.revoke(other.session_id)
    if kind == "expired":
        clock.advance(3600)
    return {
        "garbage": [bearer("a.b.c")],
        "expired": [bearer(other)],
        "revoked": [bearer(other)],
        "refresh": [bearer(other.refresh_token)],
        "undefined": [bearer("undefined")],
        "basic": [bearer("dXNlcjpwYXNz", b"Basic ")],
        "two": [bearer(other), bearer(other)],
        "empty": [(b"authorization", b"")],
        "latin": [bearer(b"\xff\xfe")],
    }[kind]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("known", [True, False])
async def test_next_to_a_bad_header_a_good_cookie_signs_in(
    clock: Clock, kind: str, known: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    headers = await bad(kind, issuer, clock)
    alice = await issuer.issue("alice")
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))

    told, _ = await said(app, both(alice), *headers)

    assert (told["subject"], told["via"]) == ("alice", "cookie")


@pytest.mark.parametrize("kind", BAD)
async def test_next_to_a_bad_header_due_cookies_are_refreshed(clock: Clock, kind: str) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice = await issuer.issue("alice")
    clock.advance(3600)
    headers = await bad(kind, issuer, clock)

    told, cookies = await said(wrapped(issuer), both(alice), *headers)

    assert (told["subject"], told["refreshed"], len(cookies)) == ("alice", True, 2)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("garbage", "invalid_token"), ("expired", "expired_token"), ("revoked", "revoked_token"),
        ("refresh", "invalid_token"), ("undefined", "invalid_token"), ("basic", "no_credentials"),
        ("two", "no_credentials"), ("empty", "no_credentials"), ("latin", "invalid_token"),
    ],
)  # fmt: skip
async def test_a_bad_header_alone_is_anonymous_and_says_why(
    clock: Clock, events: list[Any], kind: str, reason: str
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    headers = await bad(kind, issuer, clock)
    events.clear()

    told, cookies = await said(wrapped(issuer), *headers)

    assert (told["subject"], told["reason"], cookies) == (None, reason, [])
    expected = [] if reason == "no_credentials" else [("rejected", reason)]
    assert [(event.name, event.reason) for event in events] == expected


async def test_a_revoked_bearer_of_another_process_is_refused_after_one_poll(
    clock: Clock,
) -> None:
    store = MemoryStore()
    here, there = make_issuer(clock, store=store), make_issuer(clock, store=store)
    tokens = await here.issue("alice")
    app = wrapped(here)
    assert (await said(app, bearer(tokens)))[0]["subject"] == "alice"
    await there.revoke(tokens.session_id)

    clock.advance(1)

    assert (await said(app, bearer(tokens)))[0]["reason"] == "revoked_token"


# --- bearer=False ---------------------------------------------------------------------------------


async def test_with_bearer_off_a_good_header_is_no_credential(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(bearer=False))

    told, _ = await said(wrapped(issuer), bearer(await issuer.issue("alice")))

    assert told["reason"] == "no_credentials"


@pytest.mark.parametrize("known", [True, False])
async def test_with_bearer_off_the_cookie_counts_whatever_the_header(
    clock: Clock, known: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(bearer=False))
    alice, bob = await issuer.issue("alice"), await issuer.issue("bob")
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))

    told, _ = await said(app, both(alice), bearer(bob))

    assert (told["subject"], told["via"]) == ("alice", "cookie")


async def test_with_bearer_off_a_good_header_is_no_way_around_the_origin_check(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(bearer=False))
    alice = await issuer.issue("alice")
    headers = [both(alice), bearer(alice), (b"origin", b"https://evil.example")]

    sent = await run(wrapped(issuer), http(method="POST", headers=headers))

    assert sent[0]["status"] == 403


async def test_with_bearer_off_a_login_under_a_good_header_is_origin_checked(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(bearer=False))
    alice = await issuer.issue("alice")
    headers = [bearer(alice), (b"origin", b"https://evil.example")]

    await run(wrapped(issuer, Recorder()), http("/login", "POST", headers=headers))

    assert await issuer.sessions("mallory") == []


async def test_a_bearer_request_varies_with_the_cookie_all_the_same(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await run(wrapped(issuer), http(headers=[bearer(await issuer.issue("alice"))]))

    assert json.loads(sent[1]["body"])["subject"] == "alice"
    assert (b"vary", b"Cookie, Authorization") in sent[0]["headers"]
