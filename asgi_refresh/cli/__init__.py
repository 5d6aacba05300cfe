"""
The program `asgi-refresh`, which `python -m asgi_refresh` is, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_NEEDED = frozenset({"click", "rich"})


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a command and return its exit code: 0, 1 for what failed or was found, 2 for wrong usage.

    Args:
        arguments: The command line without the program's name; None: this process's.
    """
    try:
        from .program import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        print("The command line needs: pip install 'asgi-refresh[cli]'", file=sys.stderr)
        return 2
    return run(arguments)
