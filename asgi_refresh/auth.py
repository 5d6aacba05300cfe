"""
`Auth`: what a handler sees of the request's session, and how it says what should become of it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, Protocol, cast

from .claims import check_claims
from .cookies import Cookie
from .errors import Reason, StoreRequiredError
from .intents import (
    BY_BEARER,
    BY_COOKIE,
    LOGGED_OUT,
    PENDING,
    READ,
    SCOPE_KEY,
    STARTED,
    How,
    Intent,
)
from .issuer import Issuer, Payload
from .sessions import FrozenDict
from .tokens import AccessToken


class Exchange(Protocol):
    """What commits the intent of one request."""

    async def commit(self) -> None: ...  # noqa: D102


class Shell(Protocol):
    """What an `Auth` needs of the middleware that made it."""

    issuer: Issuer
    refresh: Cookie

    def exchange(self, auth: Auth) -> Exchange: ...  # noqa: D102


class Auth:
    """
    The session of one request; also what Starlette calls `request.user` and `request.auth`.

    True if somebody is signed in. `login()`, `elevate()` and `logout()` record what is wanted, in
    sync handlers and threads too; it is done when the response starts.
    """

    __slots__ = (
        "_cookie", "_exchange", "_foreign", "_how", "_intent", "_scope", "_shell", "_state",
        "_token",
    )  # fmt: skip

    # Made by the middleware, slot by slot: a request that nobody asks about costs next to nothing.
    # What the request brought is noted at once: an application may rewrite its scope.
    _token: AccessToken | None
    _how: How
    _state: int
    _shell: Shell
    _scope: MutableMapping[str, Any] | None
    _cookie: bytes  # the Cookie header, as it came
    _foreign: str | None  # the origin, where that must not sign anybody in
    _intent: Intent | None
    _exchange: Any

    def __getattr__(self, name: str) -> Any:
        # Slots that the middleware leaves empty until they are needed.
        if name in ("_intent", "_exchange", "_foreign"):
            return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @classmethod
    def of(cls, connection_or_scope: Any, *, scope_key: str = SCOPE_KEY) -> Auth:
        """
        Return the `Auth` of a request, in any framework.

        Args:
            connection_or_scope: The ASGI scope, or a request object that has it as `scope`.
            scope_key: The middleware's.

        Raises:
            LookupError: There is none: the middleware is not installed, or the path is excluded.
        """
        scope: Any = getattr(connection_or_scope, "scope", connection_or_scope)
        auth: object = scope.get(scope_key)
        if not isinstance(auth, cls):
            raise LookupError(  # noqa: TRY004 - it is not there at all
                f"no {scope_key!r} in the scope: RefreshMiddleware is not installed in front of"
                " this application, or the path is excluded or one of its endpoints"
            )
        return auth

    # --- who it is ------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        self._state |= READ
        return self._token is not None

    def __repr__(self) -> str:
        token = self._seen()  # a page may print it
        if token is None:
            return f"<Auth anonymous, {self._how.reason}>"
        return f"<Auth {token.subject!r} via {self._how.via}>"

    def _seen(self) -> AccessToken | None:
        self._state |= READ
        return self._token

    @property
    def payload(self) -> Payload | None:
        """The verified claims, read-only at every depth; None if anonymous."""
        token = self._seen()
        return None if token is None else token.payload

    @property
    def subject(self) -> str | None:
        """The claim `sub`; None if anonymous."""
        token = self._seen()
        return None if token is None else token.subject

    @property
    def session_id(self) -> str | None:
        """The claim `sid`; None if anonymous."""
        token = self._seen()
        return None if token is None else token.session_id

    @property
    def expires_at(self) -> float | None:
        """When the access token ends, in seconds since the epoch; None if anonymous."""
        token = self._seen()
        return None if token is None else token.expires_at

    @property
    def csrf_token(self) -> str | None:
        """The double-submit token of the session, for forms; None if anonymous."""
        token, issuer = self._seen(), self._shell.issuer
        if token is None or not isinstance(issuer, Issuer):  # a `Verifier` has no secret for it
            return None
        return issuer.profile.csrf_tokens(token.session_id, token.payload)[0]

    @property
    def via(self) -> Literal["cookie", "bearer"] | None:
        """What the access token came in; None if anonymous."""
        self._state |= READ
        return self._how.via

    @property
    def refreshed(self) -> bool:
        """Whether the access token was minted for this very request."""
        self._state |= READ
        return self._how.refreshed

    @property
    def reason(self) -> Reason | None:
        """Why the request is anonymous; None if it is not."""
        self._state |= READ
        return self._how.reason

    @property
    def scopes(self) -> tuple[str, ...]:
        """The claim `scope`, split (RFC 6749, 3.3), and "authenticated"; empty if anonymous."""
        payload = self.payload
        if payload is None:
            return ()
        scope = payload.get("scope")
        return (*(scope.split() if isinstance(scope, str) else ()), "authenticated")

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in (Starlette's user contract)."""
        return bool(self)

    @property
    def identity(self) -> str:
        """The subject, or "" (Starlette's user contract)."""
        return self.subject or ""

    display_name = identity

    def is_fresh(self, within: timedelta) -> bool:
        """Return whether the user proved who they are no longer than *within* ago (`auth_time`)."""
        token = self._seen()
        if token is None:
            return False
        return self._shell.issuer.clock() - token.auth_time <= within.total_seconds()

    # --- what should become of it ---------------------------------------------------------------

    def login(
        self,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        persistent: bool = True,
        device: str | None = None,
    ) -> None:
        """
        Sign *subject* in, whose identity has just been proved, with a response below 400.

        Always a new session; those the request came with end. Subject and claims show at once.

        Args:
            subject: 1 to 255 characters; the claim `sub`.
            claims: More claims, JSON. `scope` is a string of words.
            persistent: Whether the cookies outlive the browser ("remember me").
            device: A label for lists of sessions.

        Raises:
            ValueError: The subject or the claims cannot be carried.
            RuntimeError: The response has started, or this is a WebSocket.
        """
        if self._open_scope("login")["type"] == "websocket":
            raise RuntimeError("a WebSocket cannot sign anybody in: login() in an HTTP request")
        mint = self._shell.issuer.mint
        session = mint.session(subject, claims, persistent=persistent, device=device)
        self._intend(login=session)
        self._token = mint.access(session, cast("FrozenDict", session.claims)).token
        self._how = BY_COOKIE

    def elevate(self, claims: Mapping[str, Any] | None = None) -> None:
        """
        Record that the privileges of this session change, with a response below 400.

        The session stays; tokens of it from before end (a barrier), so that a copy gains nothing.

        Args:
            claims: Claims in place of those given at login; they show at once. None keeps them.

        Raises:
            ValueError: The claims cannot be carried.
            RuntimeError: No cookie signs anybody in, it is too late, or this is a WebSocket.
            StoreRequiredError: Without a store.
        """
        token, earlier = self._token, self._intent
        new = earlier is not None and earlier.login is not None
        if self._open_scope("elevate")["type"] == "websocket" or token is None or new:
            raise RuntimeError("elevate() needs a session that is signed in, in an HTTP request")
        if self._how is BY_BEARER:
            raise RuntimeError("elevate() sets cookies; for a bearer token call issuer.barrier()")
        if self._shell.issuer.rotating is None:
            raise StoreRequiredError("elevate() needs a store")
        if claims is None:
            self._intend(elevate=True)
            return
        checked = check_claims(claims)
        self._intend(elevate=True, claims=checked)
        self._token = token.with_claims(checked)

    def logout(self, *, everywhere: bool = False) -> None:
        """
        Sign out, whatever becomes of the response: here, or *everywhere* the subject is signed in.

        The request is anonymous at once. Called without a session it deletes the cookies.

        Raises:
            RuntimeError: The response has started.
            StoreRequiredError: *everywhere* without a store.
        """
        self._open_scope("logout")
        if everywhere and self._shell.issuer.rotating is None:
            raise StoreRequiredError("logout(everywhere=True) needs a store")
        everywhere = everywhere or (self._intent is not None and self._intent.everywhere)
        self._intend(login=None, elevate=False, logout=True, everywhere=everywhere)
        self._token, self._how = None, LOGGED_OUT

    async def commit(self) -> None:
        """
        Do now what was recorded, if anything, for a handler that wants to see the error.

        The cookies go out with the response, whatever its status.

        Raises:
            AccessDeniedError: `load_claims` refused the subject.
            ClaimsUnavailable, StoreUnavailable: Nobody was signed in, or out.
            RuntimeError: The response has started.
        """
        self._open_scope("commit")
        if self._intent is not None:
            await self._shell.exchange(self).commit()

    def _open_scope(self, what: str) -> Mapping[str, Any]:
        scope = self._scope
        if self._state & STARTED or scope is None:
            raise RuntimeError(
                f"{what}() comes too late, the response has started (or this service only verifies"
                " tokens); to end the session call issuer.revoke(auth.session_id)"
            )
        return scope

    def _intend(self, **changes: Any) -> None:
        intent, token, how = self._intent, self._token, self._how
        if intent is None and token is not None:
            intent = Intent(token.session_id, token.subject, token.expires_at, how is BY_BEARER)
        self._intent = replace(intent or Intent(), **changes)
        self._state |= PENDING
