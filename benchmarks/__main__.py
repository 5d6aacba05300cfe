"""
What it costs: a request, a key, a rotation on each store, and a store as it grows.

    python -m benchmarks [--quick] [--rounds N] [--requests N]
    python -m benchmarks keys [--quick] [--rounds N] [--requests N] [--algorithms NAME …]
    python -m benchmarks stores [--quick] [--sessions N] [--stores NAME …]
    python -m benchmarks scale [--quick] [--sessions N N …] [--stores NAME …]

The first needs nothing but this package, the second `cryptography`, and authx if that is to be
in it; see `hot`, `keys`, `rotations` and `scale` for what they measure.
`stores` and `scale` use a Redis server that they start, and the databases at TEST_POSTGRESQL_URL
and TEST_MARIADB_URL, as the tests do; what is not there is left out. They drop what they made.
"""

from __future__ import annotations

import argparse
import importlib

STORES = ["memory", "sqlite", "redis", "postgresql", "postgresql-psycopg", "mariadb"]
SCALED = ["redis", "sqlite", "postgresql"]
ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", nargs="?", choices=["hot", "keys", "stores", "scale"], default="hot"
    )
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--requests", type=int, help="in each round of the hot path, of keys")
    parser.add_argument("--sessions", type=int, nargs="+", help="how many are kept")
    parser.add_argument("--stores", choices=STORES, nargs="+")
    parser.add_argument("--algorithms", choices=ALGORITHMS, nargs="+")
    options = parser.parse_args()
    rounds, quick, sessions = options.rounds, options.quick, options.sessions
    # Imported when asked for: the stores' drivers are no part of the hot path, nor it of theirs.
    if options.what == "hot":
        importlib.import_module("benchmarks.hot").run(
            rounds=rounds or (3 if quick else 21),
            requests=options.requests or (200 if quick else 2000),
        )
    elif options.what == "keys":
        importlib.import_module("benchmarks.keys").run(
            options.algorithms or ALGORITHMS,
            rounds=rounds or (1 if quick else 11),
            requests=options.requests or 20,
        )
    elif options.what == "stores":
        importlib.import_module("benchmarks.rotations").run(
            options.stores or STORES,
            rounds=rounds or (2 if quick else 9),
            sessions=(sessions or [1_000 if quick else 20_000])[0],
        )
    else:
        importlib.import_module("benchmarks.scale").run(
            options.stores or SCALED,
            rounds=rounds or (20 if quick else 200),
            sessions=sessions or ([1_000, 10_000] if quick else [100_000, 1_000_000]),
        )


if __name__ == "__main__":
    main()
