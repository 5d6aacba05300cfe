"""
Starts workers by forking: everything is imported once, so a restart costs milliseconds.

Reads ports from its standard input, one in a line; for each it forks a worker that serves there,
and answers with the worker's process id. At the end of its input it ends, and its workers with it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import traceback

import uvicorn

from .app import create

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux

_SERVED_WITH = [
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
]


def main(libraries: list[str]) -> None:
    for library in [*_SERVED_WITH, *libraries]:
        importlib.import_module(library)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _serve(int(line))
        print(pid, flush=True)


def _serve(port: int) -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        config = uvicorn.Config(
            create,
            factory=True,
            host="127.0.0.1",
            port=port,
            log_level="critical",
            lifespan="off",
            access_log=False,
        )
        uvicorn.Server(config).run()
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
