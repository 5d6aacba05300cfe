"""The targets, by name."""

from __future__ import annotations

from typing import Final

from . import access, body, boundary, cookies, refresh
from .engine import Target

TARGETS: Final[dict[str, Target]] = {
    module.TARGET.name: module.TARGET for module in (cookies, access, refresh, body, boundary)
}
