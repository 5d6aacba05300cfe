"""Other people's applications behind the middleware: the facts, the run, and the table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.conformance import report
from tests.processes import folder, free_port, running

from .cases import APPLICATIONS, Application
from .visitor import ACCESS, FOLDER, NAME, REFRESH, Visitor

BOTH = {ACCESS, REFRESH}


def anonymous(application: Application, visitor: Visitor) -> None:
    """Whoever is not signed in is nobody to the application, and gets no cookie of ours."""
    assert application.who(visitor) is None, "somebody"
    assert not BOTH & visitor.jar.keys(), "a cookie of ours"


def sign_in(application: Application, visitor: Visitor) -> None:
    """Whoever is signed in is so to the application, and no cookie is set again."""
    application.sign_in(visitor)
    assert visitor.changed == BOTH, f"set are {visitor.changed}"
    seen = application.who(visitor)
    assert seen == "alice", f"it is {seen}"
    assert not visitor.changed, f"set again: {visitor.changed}"


def refresh(application: Application, visitor: Visitor) -> None:
    """An expired access token is renewed in the application's own request."""
    application.sign_in(visitor)
    for _ in range(3):
        before = dict(visitor.jar)
        visitor.expire()
        seen = application.who(visitor)
        assert seen == "alice", f"it is {seen}"
        renewed = {name for name in BOTH if visitor.jar.get(name) != before[name]}
        assert renewed == BOTH, f"renewed are {renewed}"
        assert application.who(visitor) == "alice", "the new cookies are not good"
        assert not visitor.changed, "refreshed twice"


def stream(application: Application, visitor: Visitor) -> None:
    """What comes in pieces comes whole, with the new cookies before the first of them."""
    assert application.stream is not None
    application.sign_in(visitor)
    visitor.expire()
    application.stream(visitor)
    wanted = {ACCESS} if application.by_websocket else BOTH  # a handshake never rotates
    assert visitor.changed == wanted, f"with it came {visitor.changed}"
    assert application.who(visitor) == "alice", "the new cookies are not good"


def sign_out(application: Application, visitor: Visitor) -> None:
    """After a sign-out neither the browser nor a copy of its cookies is anybody."""
    application.sign_in(visitor)
    kept = dict(visitor.jar)
    application.sign_out(visitor)
    assert not BOTH & visitor.jar.keys(), "our cookies are still there"
    assert application.who(visitor) is None, "still signed in"
    visitor.jar = kept
    assert application.who(visitor) is None, "a copy is still good"


Fact = Callable[[Application, Visitor], None]
FACTS: dict[str, Fact] = {
    "anonymous": anonymous,
    "sign-in": sign_in,
    "refresh": refresh,
    "stream": stream,
    "sign-out": sign_out,
}


@dataclass(frozen=True)
class Seen:
    """
    What came of one application.

    Attributes:
        facts: By fact, what was seen instead; empty: it holds. What is missing has no meaning.
    """

    application: Application
    facts: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        for fact, wrong in self.facts.items():
            if wrong:
                yield f"{self.application.name}: {fact}: {wrong}"


@contextmanager
def serving(application: Application) -> Iterator[int]:
    """Run *application* by uvicorn, and yield its port."""
    with folder("transparency-") as path:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "tests.transparency.serve:app"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        environment = {NAME: application.name, FOLDER: str(path / "store")}
        with running(command, path / "output", port, environment):
            try:
                yield port
            except Exception:
                print((path / "output").read_text(errors="replace")[-3000:], file=sys.stderr)
                raise


def seen(application: Application) -> Seen:
    """Serve *application*, and establish the facts."""
    found = {}
    try:
        with serving(application) as port:
            for name, fact in FACTS.items():
                if name != "stream" or application.stream is not None:
                    found[name] = _wrong(fact, application, Visitor(port))
    except RuntimeError as error:  # it does not start
        found["anonymous"] = str(error)[-300:]
    return Seen(application, found)


def _wrong(fact: Fact, application: Application, visitor: Visitor) -> str:
    try:
        fact(application, visitor)
    except Exception as error:  # noqa: BLE001 - whatever it is, the fact was not seen
        return f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    return ""


def table(results: Sequence[Seen]) -> Iterator[str]:
    """Yield the section of the page."""
    yield report.seen_on()
    yield ""
    yield f"| Application | {' | '.join(FACTS)} | What is asked |"
    yield "|---" * (len(FACTS) + 2) + "|"
    for one in results:
        cells = [_shown(one.facts.get(fact)) for fact in FACTS]
        packages = report.versions(one.application.packages)
        name = f"{one.application.title} {packages[one.application.packages[0]]}"
        yield f"| {name} | {' | '.join(cells)} | {one.application.shows} |"


def _shown(wrong: str | None) -> str:
    if wrong is None:
        return "-"
    return "**no**" if wrong else "yes"


def main(names: Sequence[str]) -> int:
    """Run those of *names*, or all, in which case the page is written."""
    results = []
    for name in names or APPLICATIONS:
        one = seen(APPLICATIONS[name])
        results.append(one)
        print(name, *one.problems(), sep="\n  ", flush=True)
    problems = [line for one in results for line in one.problems()]
    print(*table(results), sep="\n")
    if not names and not problems:
        report.write("applications", table(results))
        print(f"written: {report.PAGE}")
    return 1 if problems else 0
