"""
One thing that was found of a running application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["bad", "note", "good"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was found.

    Attributes:
        level: Whether it is bad (exit code 1), worth knowing, or as it should be.
        name: A word for programs.
        seen: What was asked and answered.
        why: What can come of it.
        fix: What to do; nothing for what is good.
    """

    level: Level
    name: str
    seen: str
    why: str
    fix: str = ""
