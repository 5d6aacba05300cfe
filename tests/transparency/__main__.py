"""
`python -m tests.transparency [suite|validators|applications …]`: is it noticed that we are there?

`suite`: Starlette's own tests, with the middleware around every application they build.
`validators`: what asgiref and Falcon find in the messages that go through.
`applications [NAME …]`: other people's, unmodified, by real sockets; without a name all are run, and
`docs/compatibility.md` is written. Without a word, all three. Ends with 1 where something differs.
"""

from __future__ import annotations

import argparse
import signal
import sys

from . import suite


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.transparency", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="word")
    words = parser.parse_args().words
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    return suite.main()


if __name__ == "__main__":
    sys.exit(main())
