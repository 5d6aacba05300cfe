"""
Which issuer an application signs its users in with.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from asgi_refresh.issuer import Issuer

_MOST: Final = 10_000
# Where frameworks and wrappers keep the application inside of them, and how they keep a middleware
# that is not built yet.
_NAMES: Final = (
    *("app", "_app", "asgi_app", "application", "__self__", "func"),
    *("middleware_stack", "user_middleware", "middleware", "routes", "issuer", "args", "kwargs"),
)


def issuer_of(app: Any) -> Issuer:
    """
    Return the issuer of the `RefreshMiddleware` around or in *app*.

    Raises:
        LookupError: There is none to be found, or there are several.
    """
    found: dict[int, Issuer] = {}
    seen: dict[int, Any] = {}
    ahead: deque[Any] = deque([app])
    while ahead and len(seen) < _MOST:
        item = ahead.popleft()
        if id(item) in seen or isinstance(item, str | bytes | type):
            continue
        seen[id(item)] = item
        if isinstance(item, Issuer):
            found[id(item)] = item
        else:
            ahead += _inside(item)
    if len(found) != 1:
        raise LookupError(
            f"{len(found) or 'no'} issuers stand behind a RefreshMiddleware of this application:"
            " say issuer=…"
        )
    return next(iter(found.values()))


def _inside(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if isinstance(item, list | tuple):
        return list(item)  # pyright: ignore[reportUnknownArgumentType]
    inside = [getattr(item, name, None) for name in _NAMES]
    for cell in getattr(item, "__closure__", None) or ():
        try:
            inside.append(cell.cell_contents)
        except ValueError:  # a name that is bound later
            continue
    return [value for value in inside if value is not None]
