"""What a server serves: the application of one peer, chosen by a variable of the environment."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from benchmarks.browser import App
from benchmarks.peers import load

PEER, WITHOUT = "BENCHMARK_PEER", "BENCHMARK_WITHOUT"


def app() -> App:
    """Return the peer's application; with `WITHOUT` set, what it is compared to."""
    name = os.environ[PEER]
    with ThreadPoolExecutor(1) as outside:  # servers call this inside of their event loop
        adapters, _ = outside.submit(load, [name]).result()
    adapter = adapters[name]
    return adapter.bare() if os.environ.get(WITHOUT) else adapter.build()
