"""
The layers of the design, over the syntax tree: who imports whom, what is pure, what is too long.

Every checker takes sources and returns what is wrong, so that each is shown to bite by a small
source that does wrong.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import asgi_refresh

PACKAGE = "asgi_refresh"
ROOT = Path(asgi_refresh.__file__).parent

# A module imports from its own row and the rows above it. "" is the package, its public face.
ROWS = {
    "errors": 0,
    "events": 0,
    "access": 1,
    "cache": 1,
    "caching": 1,
    "claims": 1,
    "cookies": 1,
    "devices": 1,
    "jwk": 1,
    "jwt_profile": 1,
    "keys": 1,
    "legacy": 1,
    "sessions": 1,
    "signers": 1,
    "tokens": 1,
    "config": 2,
    "decide": 2,
    "origins": 2,
    "profile": 2,
    "review": 2,
    "settings": 2,
    "rotation": 2,
    "adoption": 3,
    "denylist": 3,
    "flight": 3,
    "grants": 3,
    "issuer": 3,
    "kept": 3,
    "marks": 3,
    "legacy_tokens": 3,
    "mint": 3,
    "rotating": 3,
    "settler": 3,
    "stateless": 3,
    "strays": 3,
    "store": 3,
    "stores": 3,
    "stores.lua": 3,
    "stores.redis": 3,
    "stores.sqlalchemy": 3,
    "stores.sqlite": 3,
    "stores.tables": 3,
    "stores.whole": 3,
    "telemetry": 3,
    "verifier": 3,
    "auth": 4,
    "bodies": 4,
    "credentials": 4,
    "dependencies": 4,
    "double_submit": 4,
    "endpoints": 4,
    "endpoints.jwks": 4,
    "endpoints.refresh": 4,
    "endpoints.revoke": 4,
    "endpoints.sessions": 4,
    "endpoints.wire": 4,
    "exchange": 4,
    "inbound": 4,
    "intents": 4,
    "middleware": 4,
    "own": 4,
    "passdown": 4,
    "shell": 4,
    "turned_away": 4,
    "verifying": 4,
    "": 4,
    "__main__": 5,
    "cli": 5,
    "cli.checking": 5,
    "cli.cookie_findings": 5,
    "cli.demo": 5,
    "cli.doctor": 5,
    "cli.explain": 5,
    "cli.finding": 5,
    "cli.findings": 5,
    "cli.inspecting": 5,
    "cli.keygen": 5,
    "cli.output": 5,
    "cli.probing": 5,
    "cli.program": 5,
    "cli.sessions": 5,
    "cli.stores": 5,
    "cli.tidying": 5,
    "compat": 5,
    "compat.authx": 5,
    "compat.blocklist": 5,
    "compat.django": 5,
    "compat.fastapi": 5,
    "compat.flask_jwt_extended": 5,
    "compat.leaving": 5,
    "compat.litestar": 5,
    "compat.options": 5,
    "compat.pair": 5,
    "compat.pair_tokens": 5,
    "compat.quart": 5,
    "testing": 5,
    "testing.browser": 5,
    "testing.checks": 5,
    "testing.clock": 5,
    "testing.events": 5,
    "testing.exchanges": 5,
    "testing.find": 5,
    "testing.jar": 5,
    "testing.replay": 5,
    "testing.samples": 5,
    "testing.signing_in": 5,
    "testing.store_checks": 5,
    "demo": 5,
    "demo.__main__": 5,
    "demo.app": 5,
    "demo.page": 5,
    "demo.stores": 5,
    "demo.thief": 5,
    "demo.watching": 5,
}
# What a row may import that is neither ours nor in the standard library; row 5 is free.
THIRD_PARTY: dict[int, set[str]] = {
    0: set(),
    1: {"jwt", "itsdangerous"},
    2: set(),
    3: {"anyio"},
    4: {"anyio", "starlette"},
}
# Beside that, what an extra brings: the client library of a store, key pairs.
EXTRAS = {
    "jwk": {"cryptography"},
    "stores.lua": {"redis"},
    "stores.redis": {"redis"},
    "stores.sqlalchemy": {"sqlalchemy"},
    "stores.tables": {"sqlalchemy"},
}
PURE_ROWS = (0, 1, 2)
ALLOWED = {"config": ["imports os"]}  # `Config.from_env`, which nothing else calls

IMPURE_MODULES = frozenset(
    {
        *("time", "random", "secrets", "os", "uuid", "asyncio", "threading", "socket", "anyio"),
        *("starlette", "logging", "sqlite3", "urllib.request", "subprocess", "pathlib", "io"),
        *("tempfile", "contextvars", "importlib", "multiprocessing", "concurrent", "http"),
    }
)
IMPURE_CALLS = frozenset({"open", "print", "input", "__import__", "eval", "exec", "breakpoint"})
CLOCKS = frozenset({"now", "utcnow", "today"})

BANNED_IMPORTS = frozenset({"http.cookies", "starlette.middleware.base"})
BANNED_NAMES = frozenset({"BaseHTTPMiddleware", "SimpleCookie"})
BANNED_CALLS = frozenset({"set_cookie", "delete_cookie"})
REQUESTS = frozenset({"request", "req", "connection", "conn", "websocket", "ws", "Request"})

MOST_LINES_OF_A_FUNCTION = 45
MOST_LINES_OF_A_MODULE = 300

Sources = Mapping[str, str]


def sources(root: Path) -> dict[str, str]:
    """Module name, less the package's, to source."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


PACKAGE_SOURCES = sources(ROOT)
PACKAGES = frozenset(
    ".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.rglob("__init__.py")
)
PURE = sorted(name for name, row in ROWS.items() if row in PURE_ROWS)


# --- what is imported -----------------------------------------------------------------------------


def imports(module: str, source: str, *, packages: frozenset[str]) -> Iterator[tuple[str, str]]:
    """
    Yield what *source* imports, wherever it says so: each absolute dotted name, and "" or a member.

    Imports in functions and under TYPE_CHECKING count: a circle is a circle.
    """
    inside = [PACKAGE, *module.split(".")] if module else [PACKAGE]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (module in packages)
            base = inside[: len(inside) - up] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield name, alias.name


def internal(module: str, source: str, known: Sources, packages: frozenset[str]) -> set[str]:
    """The modules of the package that *module* imports."""
    found = set()
    for name, member in imports(module, source, packages=packages):
        if name != PACKAGE and not name.startswith(PACKAGE + "."):
            continue
        inner = name.removeprefix(PACKAGE).removeprefix(".")
        submodule = f"{inner}.{member}".removeprefix(".")
        found.add(submodule if member and submodule in known else inner)
    return found


def graph(known: Sources, packages: frozenset[str]) -> dict[str, set[str]]:
    return {name: internal(name, source, known, packages) for name, source in known.items()}


def upward(edges: Mapping[str, set[str]], rows: Mapping[str, int]) -> list[str]:
    """What imports from a row below its own, or is in no row."""
    wrong = [f"{name} is in no row" for name in sorted(edges) if name not in rows]
    for name in sorted(set(edges) & set(rows)):
        for other in sorted(edges[name]):
            if rows.get(other, 99) > rows[name]:
                wrong += [f"{name} imports {other}"]
    return wrong


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """One circle of imports, or nothing."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := visit(other, [*way, name]):
                return found
        done.add(name)
        return []

    for name in sorted(edges):
        if found := visit(name, []):
            return found
    return []


def third_party(module: str, source: str, packages: frozenset[str]) -> set[str]:
    """The distributions' packages that *source* imports."""
    tops = {name.partition(".")[0] for name, _ in imports(module, source, packages=packages)}
    return tops - sys.stdlib_module_names - {PACKAGE}


EDGES = graph(PACKAGE_SOURCES, PACKAGES)


def test_every_module_is_in_a_row_and_imports_from_none_below() -> None:
    assert upward(EDGES, ROWS) == []


def test_every_row_names_modules_that_are_there() -> None:
    assert sorted(set(ROWS) - set(PACKAGE_SOURCES)) == []


def test_no_imports_go_in_a_circle() -> None:
    assert circle(EDGES) == []


@pytest.mark.parametrize("module", [name for name, row in ROWS.items() if row in THIRD_PARTY])
def test_a_row_imports_only_the_packages_that_are_its_business(module: str) -> None:
    used = third_party(module, PACKAGE_SOURCES[module], PACKAGES)

    assert used <= THIRD_PARTY[ROWS[module]] | EXTRAS.get(module, set())


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import redis.asyncio as r", {"redis"}),
        ("def f():\n    from jwt.algorithms import x", {"jwt"}),
        ("import json\nfrom . import errors\nfrom .jwt import x\nimport asgi_refresh.x", set()),
    ],
)
def test_an_import_of_another_package_is_seen(source: str, used: set[str]) -> None:
    assert third_party("m", source, frozenset({""})) == used


def test_the_graph_is_not_empty() -> None:
    assert EDGES["decide"] == {"errors", "sessions", "tokens"}
    assert EDGES["stores"] >= {"stores.sqlite", "store"}
    assert EDGES["stores.sqlite"] == {"sessions", "store"}
    assert {"errors", "auth", "stores.sqlite"} <= EDGES[""]


@pytest.mark.parametrize(
    "source",
    [
        "from .late import x",
        "from . import late",
        "import asgi_refresh.late",
        "import asgi_refresh.late as x",
        "from asgi_refresh import late",
        "from asgi_refresh.late import x",
        "def f():\n    from .late import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .late import x",
        "try:\n    from .late import x\nexcept ImportError:\n    x = None",
    ],
)
def test_an_import_from_a_row_below_is_seen(source: str) -> None:
    edges = graph({"early": source, "late": ""}, frozenset({""}))

    assert upward(edges, {"early": 1, "late": 2}) == ["early imports late"]
    assert upward(edges, {"early": 2, "late": 2}) == []
    assert upward(edges, {"early": 2, "late": 1}) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("stores.one", "from ..late import x"),
        ("stores.one", "from .. import late"),
        ("stores", "from ..late import x"),
        ("stores", "from .. import late"),
    ],
)
def test_a_relative_import_in_a_package_is_seen(module: str, source: str) -> None:
    known = {"stores": "", "stores.one": "", "late": "", module: source}
    edges = graph(known, frozenset({"", "stores"}))

    assert edges[module] == {"late"}


def test_a_sibling_in_a_package_is_seen() -> None:
    known = {"stores": "from .one import x", "stores.one": "from . import two", "stores.two": ""}
    edges = graph(known, frozenset({"", "stores"}))

    assert edges == {"stores": {"stores.one"}, "stores.one": {"stores.two"}, "stores.two": set()}


def test_a_module_that_is_in_no_row_is_seen() -> None:
    assert upward({"new": set()}, {}) == ["new is in no row"]


def test_an_import_of_a_module_in_no_row_is_seen() -> None:
    assert upward({"old": {"gone"}}, {"old": 5}) == ["old imports gone"]


def test_other_packages_are_not_in_the_graph() -> None:
    source = "import asgi_refresh_more, anyio\nfrom asgi_refreshing.late import x"

    assert graph({"early": source, "late": ""}, frozenset({""}))["early"] == set()


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
    ],
)
def test_a_circle_is_seen(edges: dict[str, set[str]], expected: list[str]) -> None:
    assert circle(edges) == expected


# --- purity ---------------------------------------------------------------------------------------


def _is_or_is_in(name: str, modules: frozenset[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def impurities(source: str) -> list[str]:
    """What in *source* waits, or reaches for a clock, randomness, a log or the world."""
    wrong = []
    for name, member in imports("m", source, packages=frozenset({""})):
        if _is_or_is_in(name, IMPURE_MODULES) or _is_or_is_in(f"{name}.{member}", IMPURE_MODULES):
            wrong.append(f"imports {name}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            wrong.append(f"line {node.lineno}: async")
        elif isinstance(node, ast.comprehension) and node.is_async:
            wrong.append(f"line {node.target.lineno}: async")
        elif isinstance(node, ast.Name) and node.id in IMPURE_CALLS:
            wrong.append(f"line {node.lineno}: {node.id}")
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS and _is_date(node.value):
            wrong.append(f"line {node.lineno}: {node.attr}")
    return wrong


def _is_date(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name in ("datetime", "date", "dt")


@pytest.mark.parametrize("module", PURE)
def test_the_first_three_rows_are_pure(module: str) -> None:
    assert impurities(PACKAGE_SOURCES[module]) == ALLOWED.get(module, [])


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): pass",
        "class A:\n    async def f(self): pass",
        "async def f():\n    await g()",
        "import time",
        "import time as t",
        "from time import time",
        "def f():\n    import random",
        "import secrets",
        "import os",
        "import os.path",
        "from os import environ",
        "import uuid",
        "import asyncio",
        "import threading",
        "import socket",
        "import anyio",
        "from anyio import to_thread",
        "import anyio.to_thread",
        "from starlette.types import Scope",
        "import logging",
        "import sqlite3",
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "open('f')",
        "x = open",
        "print(1)",
        "input()",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "import datetime as dt\ndt.datetime.utcnow()",
        "from datetime import date\ndate.today()",
        "from datetime import datetime\nnow = datetime.now",
    ],
)
def test_an_impurity_is_seen(source: str) -> None:
    assert impurities(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime, timedelta\ndatetime(2030, 1, 1).timestamp()",
        "import timeit_like, osmosis, random_words",
        "from urllib.parse import quote",
        "def f(now): return now.today",
        "def f(self): self.open(); self.print()",
        "import json, re, hashlib, hmac",
        "from .time import x",
    ],
)
def test_what_is_pure_is_not_blamed(source: str) -> None:
    assert impurities(source) == []


# --- sizes ----------------------------------------------------------------------------------------


def too_long(source: str) -> list[str]:
    """Functions, and the module itself, that have more lines than one reads at a glance."""
    lines = len(source.splitlines())
    wrong = [f"the module: {lines} lines"] if lines > MOST_LINES_OF_A_MODULE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                wrong.append(f"{node.name}: {length} lines")
    return wrong


@pytest.mark.parametrize("module", PACKAGE_SOURCES)
def test_nothing_is_too_long_to_read(module: str) -> None:
    assert too_long(PACKAGE_SOURCES[module]) == []


@pytest.mark.parametrize("head", ["def f():\n", "async def f():\n", "class A:\n  def f(self):\n"])
def test_a_function_of_46_lines_is_seen(head: str) -> None:
    assert too_long(head + "    x = 1\n" * 44) == []
    assert too_long(head + "    x = 1\n" * 45) == ["f: 46 lines"]


def test_a_module_of_301_lines_is_seen() -> None:
    assert too_long("x = 1\n" * 300) == []
    assert too_long("x = 1\n" * 301) == ["the module: 301 lines"]


# --- what is never used ---------------------------------------------------------------------------


def banned(source: str) -> list[str]:
    """Where *source* leaves cookies to others, or is a BaseHTTPMiddleware."""
    wrong = []
    for name, member in imports("m", source, packages=frozenset({""})):
        if _is_or_is_in(name, BANNED_IMPORTS) or f"{name}.{member}" in BANNED_IMPORTS:
            wrong.append(f"imports {name}")
        if member in BANNED_NAMES:
            wrong.append(f"imports {member}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in BANNED_NAMES:
            wrong.append(f"line {node.lineno}: {node.id}")
        elif isinstance(node, ast.Attribute):
            if node.attr in BANNED_NAMES | BANNED_CALLS:
                wrong.append(f"line {node.lineno}: {node.attr}")
            elif node.attr == "cookies" and _is_request(node.value):
                wrong.append(f"line {node.lineno}: request.cookies")
    return wrong


def _is_request(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        node = node.func
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name.lstrip("_") in REQUESTS or name in ("HTTPConnection", "WebSocket")


@pytest.mark.parametrize("module", PACKAGE_SOURCES)
def test_cookies_are_never_left_to_others(module: str) -> None:
    assert banned(PACKAGE_SOURCES[module]) == []


@pytest.mark.parametrize(
    "source",
    [
        "import http.cookies",
        "from http import cookies",
        "from http.cookies import SimpleCookie",
        "def f():\n    from http.cookies import Morsel",
        "request.cookies",
        "request.cookies['a']",
        "self.request.cookies.get('a')",
        "self._request.cookies",
        "conn.cookies",
        "Request(scope).cookies",
        "HTTPConnection(scope).cookies",
        "response.set_cookie('a', 'b')",
        "self.response.delete_cookie('a')",
        "f = response.set_cookie",
        "from starlette.middleware.base import BaseHTTPMiddleware",
        "import starlette.middleware.base",
        "from starlette.middleware import base",
        "class A(BaseHTTPMiddleware): pass",
        "class A(base.BaseHTTPMiddleware): pass",
    ],
)
def test_what_is_never_used_is_seen(source: str) -> None:
    assert banned(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "from .cookies import read_set_cookie\nread_set_cookie(b'')",
        "self._shell.cookies(grant)",
        "from http import HTTPStatus",
        "from starlette.middleware import Middleware",
        "self._cookies = 1",
    ],
)
def test_our_own_cookies_are_not_blamed(source: str) -> None:
    assert banned(source) == []
