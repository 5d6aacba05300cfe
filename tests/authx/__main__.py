"""
AuthX 1.7.1 through the facts about it, by itself and with this library in front.

    python -m tests.authx [--stateless]

Both columns are the same application and the real package. On the left AuthX's own
`implicit_refresh_middleware` is installed as its pages say; on the right it is not, and
`RefreshMiddleware` is. What is printed was observed just now.
"""

from __future__ import annotations

import argparse
import warnings
from importlib.metadata import version

import anyio

from tests.authx.cases import CASES, observe
from tests.authx.site import Front


async def rows(front: Front) -> list[tuple[str, str, str, str]]:
    """Return the table: name, what is done, AuthX alone, and behind *front*."""
    return [
        (case.name, case.about, await observe(case, "authx"), await observe(case, front))
        for case in CASES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.authx",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stateless", action="store_true", help="ours without a store")
    front: Front = "stateless" if parser.parse_args().stateless else "stored"
    warnings.filterwarnings("ignore", "Accessing the 'model_fields'", DeprecationWarning)
    print(f"authx {version('authx')}\n")
    for line in [("fact", "what is done", "AuthX alone", "with asgi_refresh"), ("---",) * 4]:
        print(f"| {' | '.join(line)} |")
    for line in anyio.run(rows, front):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
