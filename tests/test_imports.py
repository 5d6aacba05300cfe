"""What `import asgi_refresh` needs, and what it gives: four dependencies, and the public names."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import asgi_refresh

ROOT = Path(__file__).parents[1]
PACKAGE = Path(asgi_refresh.__file__).parent

# The public names of the design.
PUBLIC = {
    *("Issuer", "Config", "LOCALHOST", "Cookie", "Key", "Tokens", "Session", "RefreshMiddleware"),
    *("RefreshEndpoint", "Auth", "get_auth", "require_auth", "Store", "MemoryStore", "SQLiteStore"),
    *("Event", "errors", "Payload", "ClaimsLoader", "EventHook", "Revocation", "Client"),
    *("Verifier", "VerifierMiddleware", "require_fresh", "require_scopes"),
    *("require_refresh_token", "Legacy", "LegacyToken"),
}

REQUIRED = {"starlette", "itsdangerous", "jwt", "anyio"}
PULLED_IN = {"idna", "sniffio", "typing_extensions", "exceptiongroup"}

# Runs before anything is imported: from then on only *allowed* and the standard library are there.
BLOCK = """
import sys
before = set(sys.modules)
allowed = set({allowed!r})
class Blocked:
    asked = set()
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names:
            self.asked.add(top)
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run(code: str, *, allowed: set[str] | None = None) -> Any:
    """Run *code* in a new interpreter where only *allowed* can be imported, and return its JSON."""
    permitted = {"asgi_refresh", *REQUIRED, *PULLED_IN} if allowed is None else allowed
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK.format(allowed=sorted(permitted)) + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_import_needs_only_the_four_dependencies() -> None:
    loaded = run(
        "import asgi_refresh, json\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps(sorted(tops - sys.stdlib_module_names)))"
    )

    assert {"asgi_refresh", *REQUIRED} <= set(loaded) <= {"asgi_refresh", *REQUIRED, *PULLED_IN}


def test_a_session_lives_on_the_four_dependencies() -> None:
    answer = run(
        "import anyio, json\n"
        "from asgi_refresh import Issuer, MemoryStore, SQLiteStore\n"
        "async def main():\n"
        "    subjects = []\n"
        "    for store in (None, MemoryStore(), SQLiteStore(':memory:')):\n"
        "        issuer = Issuer('x' * 40, store=store, on_event=lambda event: None)\n"
        "        tokens = await issuer.issue('alice')\n"
        "        tokens = await issuer.refresh(tokens.refresh_token)\n"
        "        subjects.append((await issuer.authenticate(tokens.access_token))['sub'])\n"
        "    return subjects\n"
        "print(json.dumps(anyio.run(main)))"
    )

    assert answer == ["alice"] * 3


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_the_block_bites(missing: str) -> None:
    allowed = {"asgi_refresh", *REQUIRED, *PULLED_IN} - {missing}
    answer = run(
        "import json\n"
        "try:\n"
        "    import asgi_refresh\n"
        "except ModuleNotFoundError as error:\n"
        "    print(json.dumps(error.name.partition('.')[0]))",
        allowed=allowed,
    )

    assert answer == missing


def project() -> dict[str, Any]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(table, dict)
    return table


def test_the_project_requires_four_distributions() -> None:
    names = [re.match(r"[A-Za-z0-9._-]+", line) for line in project()["dependencies"]]

    assert sorted(name[0].lower() for name in names if name) == [
        "anyio",
        "itsdangerous",
        "pyjwt",
        "starlette",
    ]
    assert len(project()["dependencies"]) == 4


def test_pyjwt_is_required_without_its_known_holes() -> None:
    # Requirement JW-15: four advisories were fixed in 2.13.
    (pyjwt,) = [line for line in project()["dependencies"] if line.startswith("pyjwt")]

    assert pyjwt == "pyjwt>=2.13"


def test_the_project_needs_python_3_11() -> None:
    assert project()["requires-python"] == ">=3.11"


# --- the public names -----------------------------------------------------------------------------


def test_the_public_names_are_those_of_the_design() -> None:
    assert set(asgi_refresh.__all__) == PUBLIC


def test_no_public_name_stands_twice() -> None:
    assert len(asgi_refresh.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_can_be_imported(name: str) -> None:
    assert hasattr(asgi_refresh, name)


def test_the_package_offers_nothing_else_by_a_public_name() -> None:
    modules = {path.stem for path in PACKAGE.iterdir()}
    offered = {name for name in vars(asgi_refresh) if not name.startswith("_")}

    assert offered - PUBLIC - modules == {"annotations"}


def test_the_version_is_that_of_the_project() -> None:
    assert asgi_refresh.__version__ == project()["version"]


def test_the_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()


# --- docstrings -----------------------------------------------------------------------------------


def home(name: str, package: Path = PACKAGE) -> Path:
    """The module that defines the public *name*."""
    for node in ast.parse((package / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            place = package.joinpath(*(node.module or name).split("."))
            return home(name, place) if place.is_dir() else place.with_suffix(".py")
    raise AssertionError(f"{name} is imported from nowhere")


def _text(node: ast.stmt | None) -> str:
    """The string that *node* is, if it is one."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value.value if isinstance(node.value.value, str) else ""
    return ""


def undocumented(source: str, name: str) -> list[str]:
    """What of *name* in *source* carries no docstring; *name* itself if it is not there."""
    body = ast.parse(source).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef) and node.name == name:
            members = [
                f"{name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
                and not member.name.startswith("_")
                and not ast.get_docstring(member)
            ]
            return members if ast.get_docstring(node) else [name, *members]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return [] if ast.get_docstring(node) else [name]
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return [] if _text(after).strip() else [name]
    return [name]


@pytest.mark.parametrize("name", sorted(PUBLIC - {"errors"}))
def test_a_public_name_and_its_methods_are_documented(name: str) -> None:
    assert undocumented(home(name).read_text(encoding="utf-8"), name) == []


@pytest.mark.parametrize(
    "name",
    [
        node.name
        for node in ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ],
)
def test_an_error_is_documented(name: str) -> None:
    assert undocumented((PACKAGE / "errors.py").read_text(encoding="utf-8"), name) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_is_documented(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("class A:\n    '''Doc.'''", []),
        ("class A:\n    pass", ["A"]),
        ("class A:\n    '''Doc.'''\n    def f(self): ...\n    def _g(self): ...", ["A.f"]),
        ("class A:\n    '''Doc.'''\n    async def f(self): ...", ["A.f"]),
        ("def A():\n    '''Doc.'''", []),
        ("async def A():\n    pass", ["A"]),
        ("A = 1\n'''Doc.'''", []),
        ("A: int = 1\n'''Doc.'''", []),
        ("A = 1\n'''  '''", ["A"]),
        ("A = 1\nB = 2\n'''Doc.'''", ["A"]),
        ("A = 1", ["A"]),
        ("B = 1\n'''Doc.'''", ["A"]),
    ],
)
def test_a_missing_docstring_is_seen(source: str, missing: list[str]) -> None:
    assert undocumented(source, "A") == missing
