"""
Documents as tests: the fenced blocks of a Markdown file, and how each kind is run.

- A `python` block that begins with `# app.py` is appended to that file, which a server runs; it is
  also executed. One that begins with `# test_app.py` is appended to that file, which pytest runs
  beside app.py. Every other `python` block of the page is executed after it, in one namespace.
- In a `console` block, `$ ` begins a command and the lines below are what it prints; `...` stands
  for any text, and alone on a line for any lines. `uvicorn` stays up for the rest of the page. Port
  8000 stands for a free one. Pages but the README find a SECRET_KEY in the environment.
- A `sh` block is for people: `make` targets that exist, and `pip install`.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.examples.support import ROOT

APP = "# app.py"
TESTS = "# test_app.py"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int
    heading: str

    @property
    def is_app(self) -> bool:
        return self.text.startswith(APP)

    @property
    def is_tests(self) -> bool:
        return self.text.startswith(TESTS)


@dataclass(frozen=True)
class Command:
    text: str
    expected: str

    def matches(self, printed: str) -> bool:
        lines = self.expected.splitlines()
        pattern = "".join(map(_pattern, lines))
        text = printed.replace("\r\n", "\n")
        text += "" if text.endswith("\n") or not text else "\n"
        return re.fullmatch(pattern, text) is not None


def _pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*?"
    return ".*?".join(map(re.escape, line.split("..."))) + r"\n"


def blocks(page: Path, language: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            match["language"],
            match["text"],
            text.count("\n", 0, match.start()) + 1,
            text[: match.start()].rpartition("\n#")[2].partition("\n")[0].lstrip("# "),
        )
        for match in _BLOCK.finditer(text)
        if match["language"] == language
    ]


def app_source(page: Path) -> str:
    return "\n".join(block.text for block in blocks(page, "python") if block.is_app)


def source_of_tests(page: Path) -> str:
    return "\n".join(block.text for block in blocks(page, "python") if block.is_tests)


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield Command(command, expected)


async def execute(page: Path) -> list[tuple[str, dict[str, Any]]]:
    """
    Execute every python block of *page* but its tests; return what each left in the one namespace.

    The headings the blocks stand under come with that.

    `await` may stand outside of functions.
    """
    module = ModuleType("a_document")
    sys.modules[module.__name__] = module  # frameworks look annotations up there
    left: list[tuple[str, dict[str, Any]]] = []
    for block in blocks(page, "python"):
        if block.is_tests:
            continue
        source = "\n" * block.line + block.text  # so that a traceback names the right line
        code = compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, module.__dict__)
        if inspect.isawaitable(result):
            await result
        left.append((block.heading, dict(module.__dict__)))
    return left
