"""What an `Auth` says of nobody and of somebody; and that to ask it undoes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_refresh import Auth
from tests.blackbox.helpers import ACCESS, HOUR, REFRESH, deleted, doing, given, make_site
from tests.blackbox.test_refresh import READERS
from tests.support import Clock, answer

pytestmark = pytest.mark.anyio

Act = Callable[[Auth], Any]
CALLS: dict[str, Act] = {
    "login": lambda auth: auth.login("bob"),
    "logout": lambda auth: auth.logout(),
    "elevate": lambda auth: auth.elevate(),
    "commit": lambda auth: auth.commit().send(None),
}


async def seen(clock: Clock, look: Act, *, signed_in: bool) -> Any:
    """What *look* finds in a request."""
    found: list[Any] = []
    site = make_site(clock, doing(lambda auth: found.append(look(auth))))
    if signed_in:
        await site.sign_in("alice", {"scope": "read"})
    await site.browser.get("/")
    return found[0]


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (lambda auth: auth.identity, ""),
        (lambda auth: auth.display_name, ""),
        (lambda auth: auth.scopes, ()),
        (lambda auth: auth.is_authenticated, False),
        (lambda auth: auth.is_fresh(timedelta.max), False),
        (lambda auth: auth.csrf_token, None),
        (lambda auth: auth.session_id, None),
        (lambda auth: auth.expires_at, None),
        (repr, "<Auth anonymous, no_credentials>"),
    ],
)
async def test_of_nobody_it_says_so(clock: Clock, look: Act, found: Any) -> None:
    assert await seen(clock, look, signed_in=False) == found


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (lambda auth: auth.scopes, ("read", "authenticated")),
        (lambda auth: auth.is_authenticated, True),
        (repr, "<Auth 'alice' via cookie>"),
    ],
)
async def test_of_somebody_it_says_who(clock: Clock, look: Act, found: Any) -> None:
    assert await seen(clock, look, signed_in=True) == found


async def test_it_is_found_in_a_scope_and_by_whatever_has_one(clock: Clock) -> None:
    found: list[Auth] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.extend([Auth.of(scope), Auth.of(SimpleNamespace(scope=scope))])
        await answer(send)

    await make_site(clock, app).browser.get("/")

    assert found[0] is found[1]


async def test_what_it_has_not_is_said_as_python_says_it(clock: Clock) -> None:
    def look(auth: Any) -> str:
        with pytest.raises(AttributeError) as error:
            _ = auth.is_admin
        return str(error.value)

    assert await seen(clock, look, signed_in=True) == "'Auth' object has no attribute 'is_admin'"


@pytest.mark.parametrize("call", CALLS)
async def test_what_comes_too_late_is_named(clock: Clock, call: str) -> None:
    kept: list[Auth] = []
    site = make_site(clock, doing(kept.append))
    await site.sign_in("alice")
    await site.browser.get("/")

    with pytest.raises(RuntimeError, match=rf"^{call}\(\) comes too late"):
        CALLS[call](kept[0])


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("wait", [0, HOUR], ids=["young", "due"])
async def test_to_look_undoes_nothing_that_is_to_be_written(
    clock: Clock, read: Act, wait: float
) -> None:
    """Neither a login nor a refresh."""

    def act(auth: Auth) -> None:
        if not wait:
            auth.login("bob")
        read(auth)

    site = make_site(clock, doing(act, body=b""))
    await site.sign_in("alice")
    clock.advance(wait)

    assert len(given(await site.browser.get("/"))) == 2


async def test_a_login_that_comes_to_nothing_does_not_undo_a_look(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        bool(auth)
        auth.login("bob")

    response = await make_site(clock, doing(act, status=400, body=b"")).browser.get("/")

    assert response.all("vary") == ["Cookie, Authorization"]


async def test_a_session_bears_the_label_that_a_login_gives_it(clock: Clock) -> None:
    site = make_site(clock, doing(lambda auth: auth.login("bob", device="the till")))

    await site.browser.post("/")

    assert [session.device for session in await site.issuer.sessions("bob")] == ["the till"]


async def test_a_logout_after_elevate_is_one(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        auth.elevate()
        auth.logout()

    site = make_site(clock, doing(act))
    await site.sign_in("alice")

    assert deleted(await site.browser.post("/")) == {ACCESS, REFRESH}
    assert await site.issuer.sessions("alice") == []
