"""
What an application's response says of our cookies itself: then the application wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .cookies import read_set_cookie
from .shell import Cookies


class Own:
    """
    The cookies of ours that a response sets or deletes before we have added any.

    Args:
        headers: The response's headers.
        goes_with: Every cookie of ours, and the token's cookie that it comes and goes with.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        goes_with: Mapping[bytes, bytes],
        *,
        now: float,
    ) -> None:
        self._goes_with = goes_with
        self._deletes: dict[bytes, bool] = {}
        self._values: dict[bytes, bytes] = {}
        for name, line in headers:
            if name.lower() == b"set-cookie":
                cookie, deletes = read_set_cookie(line, now=now)
                if cookie in goes_with:
                    self._deletes[cookie] = deletes
                    self._values[cookie] = line.partition(b";")[0].partition(b"=")[2].strip()

    def __contains__(self, name: object) -> bool:
        return name in self._deletes

    def __bool__(self) -> bool:
        return bool(self._deletes)

    def deletes(self, names: Iterable[bytes]) -> bool:
        """Return whether one of *names* is deleted."""
        return any(self._deletes.get(name) for name in names)

    def sets(self, name: bytes) -> bytes | None:
        """Return the value that *name* is set to; None if it is left alone or deleted."""
        return None if self._deletes.get(name, True) else self._values[name]

    def leaves(self, due: Cookies) -> Cookies:
        """Return what of *due* it leaves to us: neither its cookies, nor what goes with them."""
        return [
            cookie
            for cookie in due
            if cookie[0] not in self and self._goes_with.get(cookie[0], cookie[0]) not in self
        ]
