"""
For a second service that only reads access tokens: it has public keys, and no secret.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import anyio
import anyio.to_thread

from .access import AccessReader
from .cache import TokenCache
from .errors import ConfigurationError, ExpiredTokenError, KeysUnavailable
from .flight import Flight
from .keys import Key
from .tokens import AccessToken, token_bytes

Jwks: TypeAlias = Mapping[str, Any]
_MOST: Final = 256 * 1024  # bytes of a JWKS document that are read
_REFETCH: Final = 60.0  # seconds between two fetches, whatever keys tokens name
_STALE: Final = 300.0  # seconds after which keys are fetched again, in case one was withdrawn
_RETRY: Final = 1.0  # seconds until the next, while there is no key at all


class Verifier:
    """
    Verifies access tokens with public keys. Revocations do not reach it: tokens end by expiry.

    Args:
        source: The keys; or a JWKS document (RFC 7517, 5) as an object, the path of a file, or an
            https URL. A file is read and a URL fetched at first use; again by the first request
            after five minutes, so that a key which was withdrawn is refused; and where a token
            names a key that is not known, at most once a minute. While that fails, the keys stay.
        issuer: Required as `iss`, exactly; None: tokens of a named issuer are refused.
        audience: Required as `aud`, exactly; None: tokens for an audience are refused.
        leeway: Seconds by which `iat` and `nbf` may lie in the future.
        timeout: Seconds for a fetch.
        token_cache: Verified tokens that are remembered.
        clock: Returns seconds since the epoch.

    Raises:
        ConfigurationError: There is no key in *source*, or two of one id, or its URL is not https.
    """

    def __init__(
        self,
        source: Key | Sequence[Key] | Jwks | str | os.PathLike[str],
        *,
        issuer: str | None = None,
        audience: str | None = None,
        leeway: float = 5.0,
        timeout: float = 5.0,
        token_cache: int = 4096,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._timeout, self._cache = timeout, TokenCache(token_cache)
        self._flight = Flight[None]()
        self._next_fetch = self._stale_from = 0.0
        self._checks: dict[str, Any] = {"issuer": issuer, "audience": audience, "leeway": leeway}
        self._fetch: Callable[[], bytes] | None = None
        keys: Sequence[Key] = ()
        if isinstance(source, str | os.PathLike):
            self._fetch = _source(os.fspath(source), timeout)
        elif isinstance(source, Mapping):
            keys = read_jwks(source)
        else:
            keys = [source] if isinstance(source, Key) else list(source)
        if self._fetch is None and not keys:
            raise ConfigurationError("a verifier needs at least one key")
        if len({key.id for key in keys}) != len(keys):
            raise ConfigurationError("two keys of the verifier have the same id")
        self._use(keys)

    def __repr__(self) -> str:
        return f"<Verifier, {self._count} keys>"

    async def authenticate(self, access_token: str) -> Mapping[str, Any]:
        """
        Return the claims of *access_token*.

        Raises:
            InvalidTokenError: It is not good; `ExpiredTokenError` if it was.
            KeysUnavailable: There are no keys yet, and the document cannot be had.
        """
        token = await self.read(token_bytes(access_token))
        if self.clock() >= token.expires_at:
            raise ExpiredTokenError
        return token.payload

    async def read(self, raw: bytes) -> AccessToken:
        """
        Return the access token that *raw* spells, expired or not.

        Raises:
            InvalidTokenError: It is no access token of these keys.
            KeysUnavailable: There are no keys yet, and the document cannot be had.
        """
        if self._fetch is not None and self._count and self.clock() >= self._stale_from:
            # One request asks; the others go on with the keys there are.
            self._stale_from = self.clock() + _REFETCH
            await self._flight.run("keys", self._update)
        token = self._cache.get(raw)
        if token is not None:
            return token
        if self._fetch is not None and self._reader.misses_key_of(raw):
            await self._flight.run("keys", self._update)
            if not self._count:
                raise KeysUnavailable("the JWKS document cannot be had")
        token = self._reader.read(raw, now=self.clock())
        self._cache.put(raw, token)
        return token

    async def _update(self, _last: None) -> None:
        fetch = self._fetch
        if fetch is None or self.clock() < self._next_fetch:
            return
        self._next_fetch = self.clock() + (_REFETCH if self._count else _RETRY)
        try:
            with anyio.fail_after(self._timeout):
                document = await anyio.to_thread.run_sync(fetch, abandon_on_cancel=True)
            keys = read_jwks(json.loads(document))
        except Exception:  # noqa: BLE001 - a network raises anything; the old keys stay
            return
        self._use(keys)
        self._next_fetch = self.clock() + _REFETCH
        self._stale_from = self.clock() + _STALE

    def _use(self, keys: Sequence[Key]) -> None:
        # What a key that is gone has signed must not be remembered as good.
        self._cache.clear()
        self._reader = AccessReader(keys, **self._checks)
        self._count = len(keys)


def read_jwks(document: Jwks) -> list[Key]:
    """
    Return the public keys for signatures of a JWKS document; it leaves the others out.

    Raises:
        ConfigurationError: There are none.
    """
    members: Any = document.get("keys")
    keys: list[Key] = []
    for member in members if isinstance(members, list) else []:  # pyright: ignore[reportUnknownVariableType]
        try:
            # A symmetric key in a public document is no secret, and a private one no longer.
            if not {"k", "d"} & set(member):  # pyright: ignore[reportUnknownArgumentType]
                keys.append(Key.from_jwk(member))  # pyright: ignore[reportUnknownArgumentType]
        except (ConfigurationError, TypeError):
            continue  # RFC 7517, 5: keys that are not understood are ignored
    if not keys:
        raise ConfigurationError("there is no public key for signatures in the JWKS document")
    return keys


def _source(name: str, timeout: float) -> Callable[[], bytes]:
    if "://" not in name:
        return Path(name).read_bytes
    parts = urlsplit(name)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ConfigurationError("a JWKS URL is https: whoever changes the keys signs everybody in")
    opener = build_opener(_NoRedirect)

    def fetch() -> bytes:
        request = Request(name, headers={"accept": "application/json"})  # noqa: S310 - see above
        try:
            with opener.open(request, timeout=timeout) as response:
                document = cast("bytes", response.read(_MOST + 1))
        except HTTPError as error:
            error.close()  # it is the response, and holds the connection
            raise
        if len(document) > _MOST:
            raise ValueError("the JWKS document is too long")
        return document

    return fetch


class _NoRedirect(HTTPRedirectHandler):
    """Keys come from where they were said to be, and nowhere else."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow nothing: the answer is then an error."""
