"""
A clock that can be moved, and how an issuer that was built without one gets it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import CellType, FunctionType
from typing import Any, Final

from asgi_refresh.issuer import Issuer
from asgi_refresh.middleware import RefreshMiddleware

_OURS: Final = "asgi_refresh."


class Clock:
    """
    Seconds since the epoch that go on as *base* does, and leap ahead when told: `Issuer(clock=…)`.

    Args:
        base: What tells the time; `lambda: 1_800_000_000.0` for one that stands still.
    """

    def __init__(self, base: Callable[[], float] = time.time) -> None:
        self._base, self._ahead = base, 0.0

    def __call__(self) -> float:
        """Return what time it is."""
        return self._base() + self._ahead

    def advance(self, **units: float) -> None:
        """
        Leap ahead; what a browser keeps is not told: for that, `advance(client, …)`.

        Args:
            units: As `timedelta` takes them: `days=15`, `seconds=70`.

        Raises:
            ValueError: That is no leap ahead. Tokens of the future are refused.
        """
        seconds = timedelta(**units).total_seconds()
        if seconds < 0:
            raise ValueError("time goes one way")
        self._ahead += seconds


def movable(issuer: Issuer) -> Clock:
    """
    Return the clock of *issuer*, which is given one that can be moved if it has none.

    It stays: were it taken back, what was issued meanwhile would be of the future.
    """
    old = issuer.clock
    if isinstance(old, Clock):
        return old
    new = Clock(old)
    for part in list(_parts([issuer, *_middlewares(issuer)])):  # before `new` is one of them
        for name, value in _attributes(part):
            if value is old:
                object.__setattr__(part, name, new)
        for cell in _cells(part):
            if cell.cell_contents is old:
                cell.cell_contents = new
    return new


def _middlewares(issuer: Issuer) -> list[Any]:
    # Asked of the collector: a framework may keep them where nobody finds them. By type, because
    # isinstance() wakes lazy objects.
    found = [item for item in gc.get_objects() if issubclass(type(item), RefreshMiddleware)]
    return [middleware for middleware in found if middleware.issuer is issuer]


def _parts(roots: Iterable[Any]) -> Iterator[Any]:
    """Yield what *roots* are made of, as far as it is made of this package."""
    seen: dict[int, Any] = {}
    ahead = list(roots)
    while ahead:
        part = ahead.pop()
        if id(part) not in seen and _is_ours(part):
            seen[id(part)] = part
            yield part
            ahead += [value for _, value in _attributes(part)]
            ahead += [cell.cell_contents for cell in _cells(part)]


def _is_ours(part: object) -> bool:
    home = part.__module__ if isinstance(part, FunctionType) else type(part).__module__
    return str(home).startswith(_OURS)


def _attributes(part: object) -> list[tuple[str, Any]]:
    names: set[str] = set(getattr(part, "__dict__", ()))
    for kind in type(part).__mro__:
        slots: Any = kind.__dict__.get("__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    return [(name, getattr(part, name)) for name in names if hasattr(part, name)]


def _cells(part: object) -> list[CellType]:
    return list(part.__closure__ or ()) if isinstance(part, FunctionType) else []
