"""
The eight facts, each true of a place or an AssertionError that says what was seen instead.

A fact begins with a visitor of its own, and waits for nothing: time is moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .visitor import ACCESS, OTHERS, REFRESH, Place
from .wire.common import Response, Wire

TOGETHER = 8  # requests in parallel
ELSEWHERE = "https://elsewhere.example"
FILE = "/files/page.txt"  # nginx's own, behind auth_request


async def refresh(place: Place) -> None:
    """An expired access token is renewed in the same request, with what is true of it now."""
    visitor = place.visitor()
    await place.control("role", "reader")
    await visitor.sign_in()
    await place.expire()
    await place.control("role", "editor")
    before = dict(visitor.jar)
    response = await visitor.get("/me")
    _check_refreshed(response, visitor.jar)
    assert response.json()["role"] == "editor", "the old claims"
    changed = {name for name in visitor.jar if visitor.jar[name] != before[name]}
    assert changed == {ACCESS, REFRESH}, f"new are {changed}"
    cached = response.all("cache-control")
    assert cached == ["private, no-store"], f"Cache-Control: {cached}"
    again = await visitor.get("/me")
    assert again.json()["subject"] == "alice", "the new cookies are not good"
    assert not again.all("set-cookie"), "refreshed twice"
    del visitor.jar[ACCESS]
    _check_refreshed(await visitor.get("/me"), visitor.jar)


def _check_refreshed(response: Response, jar: dict[str, str]) -> None:
    told = response.json()
    assert told["subject"] == "alice", f"the request was {told}"
    assert told["refreshed"] is True, "nothing was refreshed"
    names = [line.partition("=")[0] for line in response.all("set-cookie")]
    assert sorted(names) == [ACCESS, REFRESH], f"Set-Cookie of {names}"
    _check_passed_down(told["cookies"], jar)


def _check_passed_down(cookies: dict[str, str], jar: dict[str, str]) -> None:
    """The framework's own reading of the Cookie header: the new token, and all of the others."""
    assert cookies.get(ACCESS) == jar[ACCESS], "the framework reads another access token"
    others = {name: cookies.get(name) for name in OTHERS}
    assert others == OTHERS, f"of the other cookies the framework reads {others}"


async def cookies(place: Place) -> None:
    """Cookies in headers of their own, and twins of ours, sign in and refresh all the same."""
    stale = f"{ACCESS}=of-an-earlier-deployment"
    for twins in ([], [stale], [stale, f"{REFRESH}=of-an-earlier-deployment"]):
        for split in (True, False):
            for first in (True, False):
                await _send_cookies(place, twins=twins, split=split, first=first)


async def _send_cookies(place: Place, *, twins: list[str], split: bool, first: bool) -> None:
    visitor = place.visitor()
    await visitor.sign_in()
    pairs = visitor.pairs()
    sent = twins + pairs if first else pairs + twins
    how = f"{'split' if split else 'joined'}, {len(twins)} twins {'first' if first else 'last'}"
    lines = sent if split else ["; ".join(sent)]
    signed_in = await visitor.get("/me", cookies=lines)
    told = signed_in.json()
    assert told["subject"] == "alice", f"{how}: {told}"
    _check_passed_down(told["cookies"], visitor.jar)
    await place.expire()
    refreshed = await visitor.get("/me", cookies=lines)
    assert refreshed.json()["subject"] == "alice", f"{how}, expired: {refreshed.json()}"
    _check_refreshed(refreshed, visitor.jar)


async def handlers(place: Place) -> None:
    """Handlers that are sync, in a thread, and handlers that are async sign in and out."""
    for kind in ("sync", "async"):
        visitor = place.visitor()
        await visitor.sign_in(kind)
        assert await visitor.who() == "alice", f"{kind} handler: nobody was signed in"
        response = await visitor.post(f"/logout/{kind}")
        assert response.status == 204, f"{kind} sign-out: {response.status}"
        assert visitor.jar == OTHERS, f"{kind} handler: left are {sorted(visitor.jar)}"
        assert await visitor.who() is None, f"{kind} handler: nobody was signed out"


async def parallel(place: Place) -> None:
    """Requests side by side, with one expired token, all succeed and rotate once."""
    visitor = place.visitor()
    await visitor.sign_in()
    await place.expire()
    await place.control("events")
    copies = [visitor.copy() for _ in range(TOGETHER)]
    responses = await asyncio.gather(*(each.get("/me") for each in copies))
    subjects = [response.json()["subject"] for response in responses]
    assert subjects == ["alice"] * TOGETHER, f"they were {subjects}"
    successors = {each.jar[REFRESH] for each in copies}
    assert len(successors) == 1, f"{len(successors)} refresh tokens went out"
    rotations = (await place.control("events")).count("refreshed")
    assert rotations == 1, f"{rotations} rotations"
    await place.expire()
    assert await copies[-1].who() == "alice", "signed out afterwards"


async def websocket(place: Place) -> None:
    """A handshake knows who it is and may refresh; what its cookies bring may be lost."""
    await place.visitor().sign_in()  # now it is known what the server offers
    for wire in place.websocket_wires():
        if place.refuses_by_http2 and wire is place.wire:
            refused = await place.visitor().websocket(wire)
            assert refused.status != 200, "WebSockets do come by HTTP/2: note that"
        else:
            await _websocket(place, wire)


async def _websocket(place: Place, wire: Wire) -> None:
    visitor = place.visitor()
    await visitor.sign_in()
    plain = await visitor.websocket(wire)
    assert plain.told is not None, f"refused with {plain.status}"
    assert plain.told["subject"] == "alice", f"signed in: {plain.told}"
    await place.expire()
    before = dict(visitor.jar)
    renewed = await visitor.websocket(wire)
    assert renewed.told is not None, f"expired: refused with {renewed.status}"
    assert (renewed.told["subject"], renewed.told["refreshed"]) == ("alice", True)
    assert visitor.jar[REFRESH] == before[REFRESH], "a handshake has rotated"
    if place.sends_accept_headers:
        assert visitor.jar[ACCESS] != before[ACCESS], "no new access cookie came"
        _check_passed_down(renewed.told["cookies"], visitor.jar)
    else:
        assert not renewed.set_cookies, "the server sends what websocket.accept says: note that"
    visitor.jar = before  # lost on the way, whether the server sends it or not
    assert await visitor.who() == "alice", "signed out by a handshake"
    foreign = await visitor.websocket(wire, origin=ELSEWHERE)
    assert (foreign.status, foreign.told) == (403, None), f"from elsewhere: {foreign.status}"


async def streaming(place: Place) -> None:
    """The new cookies come with the first piece of a stream, and are good while it runs."""
    visitor = place.visitor()
    await visitor.sign_in()
    await place.expire()
    await place.control("close")
    exchange = await visitor.send("GET", "/stream")
    response = await exchange.head()
    first = await exchange.piece()
    assert first == b"first", f"the stream begins with {first!r}"
    names = [line.partition("=")[0] for line in response.all("set-cookie")]
    assert sorted(names) == [ACCESS, REFRESH], f"Set-Cookie of {names}"
    visitor.take(response.all("set-cookie"))
    meanwhile = await visitor.get("/me")
    assert meanwhile.json()["subject"] == "alice", "not signed in while the stream runs"
    assert not meanwhile.all("set-cookie"), "refreshed again while the stream runs"
    await place.control("open")
    rest = await exchange.rest()
    assert rest == b"last", f"the stream ends with {rest!r}"


async def crash(place: Place) -> None:
    """A handler that raises has signed nobody in, and has lost nobody's session."""
    visitor = place.visitor()
    response = await visitor.post("/crash/login")
    assert response.status == 500, f"{response.status}"
    assert visitor.jar == OTHERS, "signed in by a crash"
    await visitor.sign_in()
    await place.expire()
    before = dict(visitor.jar)
    crashed = await visitor.post("/crash/nothing")
    assert crashed.status == 500, f"expired: {crashed.status}"
    visitor.jar = before  # where the 500 brought cookies, they are lost on the way
    assert await visitor.who() == "alice", "signed out by a crash"
    await place.expire()
    assert await visitor.who() == "alice", "the session ends after a crash"
    thief = visitor.copy()
    assert (await visitor.post("/crash/logout")).status == 500
    assert await thief.who() is None, "a sign-out that crashes does not end the session"


async def sign_out(place: Place) -> None:
    """A sign-out deletes both cookies, makes every copy worthless, and ends no other session."""
    visitor, other = place.visitor(), place.visitor()
    await visitor.sign_in()
    await other.sign_in()
    thief = visitor.copy()
    response = await visitor.post("/logout/async")
    deleted = [line for line in response.all("set-cookie") if "max-age=0" in line.lower()]
    assert len(deleted) == 2, f"deleted are {deleted}"
    assert await thief.who() is None, "the access token is still good"
    del thief.jar[ACCESS]
    assert await thief.who() is None, "the refresh token is still good"
    assert await other.who() == "alice", "another session has ended"
    here = place.visitor()
    await here.sign_in()
    await here.post("/everywhere/sync")
    assert await other.who() is None, "signed out everywhere, and another session goes on"
    await place.expire()
    assert await other.who() is None, "signed out everywhere, and another session refreshes"


async def files(place: Place) -> None:
    """What nginx serves itself stays open over ten expiries, even if every new cookie is lost."""
    visitor = place.visitor()
    refused = await visitor.get(FILE)
    assert refused.status == 401, f"a stranger gets {refused.status}"
    await visitor.sign_in()
    for number in range(10):
        await place.expire()
        response = await visitor.get(FILE)
        assert (response.status, response.body) == (200, b"hello"), f"{number}: {response.status}"
        assert response.all("set-cookie"), f"{number}: no new cookie came"
    assert await visitor.who() == "alice", "signed out afterwards"
    forgetful = place.visitor()
    await forgetful.sign_in()
    for number in range(10):
        await place.expire()
        exchange = await forgetful.send("GET", FILE)
        status = (await exchange.whole()).status
        assert status == 200, f"{number}, without the new cookies: {status}"


Fact = Callable[[Place], Awaitable[None]]
FACTS: dict[str, Fact] = {
    "refresh": refresh,
    "cookies": cookies,
    "handlers": handlers,
    "parallel": parallel,
    "websocket": websocket,
    "streaming": streaming,
    "crash": crash,
    "sign-out": sign_out,
}
BEHIND_AUTH_REQUEST = {**FACTS, "files": files}
