"""
What a test does to the user of a client: sign them in, and let time go by.

A client is a browser of ours, the test client of Starlette, Litestar or Quart, or the async client
of httpx or httpx2 over an `ASGITransport`: what has an application and a cookie jar.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Mapping
from http.cookiejar import CookieJar
from math import ceil
from typing import Any, Protocol, overload
from urllib.parse import urlsplit

from starlette.types import Receive, Scope, Send

from asgi_refresh.auth import Auth
from asgi_refresh.issuer import Issuer
from asgi_refresh.middleware import RefreshMiddleware
from asgi_refresh.tokens import token_bytes

from . import jar
from .browser import AsyncBrowser, Browser, portal_of
from .clock import movable
from .exchanges import respond, scope_of
from .find import issuer_of

_PATH = "/asgi-refresh-sign-in"


class SyncClient(Protocol):
    """A client that answers when it is called."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request."""
        ...


class AsyncClient(Protocol):
    """A client that is awaited."""

    def get(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Send a request."""
        ...


@overload
def sign_in(  # pyright: ignore[reportOverlappingOverload] - what is awaited, and the others
    client: AsyncClient,
    subject: str,
    /,
    *,
    issuer: Issuer | None = None,
    persistent: bool = True,
    device: str | None = None,
    **claims: Any,
) -> Coroutine[Any, Any, None]: ...
@overload
def sign_in(
    client: SyncClient,
    subject: str,
    /,
    *,
    issuer: Issuer | None = None,
    persistent: bool = True,
    device: str | None = None,
    **claims: Any,
) -> None: ...
def sign_in(
    client: Any,
    subject: str,
    /,
    *,
    issuer: Issuer | None = None,
    persistent: bool = True,
    device: str | None = None,
    **claims: Any,
) -> Coroutine[Any, Any, None] | None:
    """
    Sign *subject* in: *client* then has the cookies of a genuine session, as after `auth.login()`.

    No route of the application runs. An async client is awaited: `await sign_in(client, "alice")`.

    Args:
        client: The client; it is turned to https where the cookies ask for that.
        subject: As of `Auth.login`.
        issuer: Who signs in; None: the one behind the application's `RefreshMiddleware`.
        persistent: As of `Auth.login`.
        device: As of `Auth.login`.
        claims: As of `Auth.login`.

    Raises:
        LookupError: The application's issuer is not to be found, or there are several.
        ValueError: The subject or the claims cannot be carried, or the client keeps no such cookie.
        AccessDeniedError, ClaimsUnavailable, StoreUnavailable: Nobody is signed in.
    """
    signer = _issuer(client, issuer)
    about = {"persistent": persistent, "device": device}
    if inspect.iscoroutinefunction(client.get):
        return _sign_in(client, signer, subject, claims, about)
    with portal_of(client) as portal:
        portal.call(lambda: _sign_in(client, signer, subject, claims, about))
    return None


async def _sign_in(
    client: Any, issuer: Issuer, subject: str, claims: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    async def login(scope: Scope, _receive: Receive, send: Send) -> None:
        auth = Auth.of(scope)
        auth.login(subject, claims, **about)
        await auth.commit()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    cookie = issuer.config.access_cookie
    host, cookies = _host(client, secure=cookie.secure), _jar(client)
    url = f"https://{host}{cookie.path}"
    held = jar.header(cookies, url)
    headers = [] if held is None else [("cookie", held)]
    scope = {**scope_of("http", ("https", host, _PATH, ""), headers), "method": "GET"}
    response = await respond(RefreshMiddleware(login, issuer), scope)
    jar.deliver(cookies, url, response.headers.getlist("set-cookie"))
    if f"{cookie.name}=" not in (jar.header(cookies, url) or ""):
        raise ValueError(f"a client of {host} does not keep {cookie!r}")


def expire_access(client: Any, *, issuer: Issuer | None = None) -> None:
    """
    Let the time go by until the access token of *client* is over, and its cookie with it.

    Args:
        client: The client, signed in.
        issuer: Whose token; None: as `sign_in` finds it.

    Raises:
        LookupError: The client has no access token.
    """
    signer = _issuer(client, issuer)
    raw = jar.value(_jar(client), signer.config.access_cookie.name)
    if raw is None:
        raise LookupError("the client has no access cookie: sign_in(client, …) first")
    left = signer.read_access(token_bytes(raw)).expires_at - signer.clock()
    advance(client, issuer=issuer, seconds=max(0, ceil(left)))


def advance(client: Any, *, issuer: Issuer | None = None, **units: float) -> None:
    """
    Let time go by, for the application of *client* and for its cookies.

    The issuer's clock is moved. One that cannot be moved is replaced, and stays so.

    Args:
        client: The client.
        issuer: Whose clock; None: as `sign_in` finds it.
        units: As `timedelta` takes them: `days=15`, `seconds=70`.

    Raises:
        ValueError: The time would go back.
    """
    clock = movable(_issuer(client, issuer))
    before = clock()
    clock.advance(**units)
    jar.elapse(_jar(client), clock() - before)


def _issuer(client: Any, issuer: Issuer | None) -> Issuer:
    if issuer is not None:
        return issuer
    app = getattr(client, "app", None)
    if app is None:  # httpx keeps it in the transport
        app = getattr(getattr(client, "_transport", None), "app", None)
    return issuer_of(app)


def _jar(client: Any) -> CookieJar:
    for holder, name in ((client, "cookie_jar"), (getattr(client, "cookies", None), "jar")):
        found = getattr(holder, name, None)
        if isinstance(found, CookieJar):
            return found
    raise TypeError(f"{type(client).__name__} keeps no cookies that can be set")


def _host(client: Any, *, secure: bool) -> str:
    base_url = getattr(client, "base_url", None)
    if base_url is None:
        return "localhost"  # Quart's, whose jar goes by nothing
    parts = urlsplit(str(base_url))
    if not parts.netloc:
        raise ValueError("the client has no base_url: say base_url='https://testserver'")
    if secure and parts.scheme == "http" and not isinstance(client, Browser | AsyncBrowser):
        client.base_url = str(base_url).replace("http", "https", 1)
    return parts.netloc
