"""
Alice, Bob and a stranger visit every page of the grid through a cache; what reached whom.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .app import ACCESS, REFRESH
from .grid import ETAG, Case

BOB = "bob"
STRANGER = "nobody"  # as a page names who is not signed in
_STALE = 2.2  # what may be kept for a second is certainly stale then
_NAMED = re.compile(r"for ([a-z0-9-]+);")


@dataclass(frozen=True)
class Response:
    """What one visitor got."""

    visitor: str
    status: int
    body: str = ""
    cookies: Sequence[str] = ()
    serial: str | None = None


@dataclass
class Tally:
    """
    What came of one situation through one cache.

    Attributes:
        seen: Responses that visitors got.
        hits: Those that the cache had stored: their number had come before.
        given: Cases in which Alice got cookies.
        leaks: What reached somebody it was not for, in words.
        failures: Answers of the cache itself, in words: what did not pass shows nothing.
    """

    seen: int = 0
    hits: int = 0
    given: int = 0
    leaks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, case: Case, responses: Sequence[Response]) -> None:
        """Count the *responses* of one case, in the order in which they came."""
        self.seen += len(responses)
        serials = [response.serial for response in responses]
        self.hits += sum(serial in serials[:at] for at, serial in enumerate(serials) if serial)
        self.given += any(r.cookies for r in responses if r.visitor == case.alice)
        self.leaks += leaks(case, responses)
        self.failures += [
            f"{case.path}: {r.status} for {r.visitor}" for r in responses if r.serial is None
        ]


def leaks(case: Case, responses: Iterable[Response]) -> list[str]:
    """Return what is wrong in the *responses* of one case, a line each."""
    found = []
    for response in responses:
        visitor = response.visitor
        # Bob's session is young, and the stranger has none: no cookie is due to either.
        if visitor != case.alice and response.cookies:
            names = ", ".join(line.partition("=")[0] for line in response.cookies)
            found.append(f"{case.path}: Set-Cookie of {names} for {visitor}")
        found += [
            f"{case.path}: the page of {named} for {visitor}"
            for named in _NAMED.findall(response.body)
            if named != visitor and (case.names_visitor or named != STRANGER)
        ]
    return found


class Walk:
    """
    Visits to the pages of one application, through one cache.

    Args:
        cache: The port of the cache.
        origin: The port of the application, for what goes past the cache.
    """

    def __init__(self, cache: int, origin: int) -> None:
        self._cache, self._origin = _Connection(cache), _Connection(origin)
        self._others = [_Connection(cache), _Connection(cache)]
        self._bob = self._sign_in(BOB)

    def close(self) -> None:
        for connection in (self._cache, self._origin, *self._others):
            connection.close()

    def through(self, cases: Sequence[Case]) -> dict[str, Tally]:
        """Visit every page, and return what came of it for each situation."""
        tallies = {case.situation: Tally() for case in cases}
        first: dict[Case, list[Response]] = {}
        for case in cases:
            if case.primes:
                first[case] = [self._visit(case, STRANGER, {})]
        if first:
            time.sleep(_STALE)
        for case in cases:
            seen = first.get(case, [])
            tallies[case.situation].add(case, [*seen, *self._case(case)])
        return tallies

    def _case(self, case: Case) -> Iterator[Response]:
        if case.situation == "innocent":
            for _ in range(3):
                yield self._visit(case, STRANGER, {})
            return
        jar = self._before(case)
        if case.situation == "together":
            yield from self._together(case, jar)
        else:
            alice = self._visit(case, case.alice, jar, tag=case.status == "304c")
            yield alice
            jar = _after(jar, alice.cookies)
        yield self._visit(case, STRANGER, {})
        yield self._visit(case, BOB, self._bob)
        if case.situation not in ("login", "own"):  # once is enough
            yield self._visit(case, case.alice, jar)
        if case.names_visitor:
            yield self._visit(case, STRANGER, {})

    def _before(self, case: Case) -> dict[str, str]:
        """Return what Alice brings along."""
        if case.situation in ("login", "own"):
            return {}
        jar = self._sign_in(case.alice)
        if case.situation == "dead":
            self._origin.get("/-/out", case.alice, jar)
        if case.situation == "dead" or "refresh" in case.situation or case.situation == "together":
            del jar[ACCESS.name]  # as browsers do when it has expired
        return jar

    def _sign_in(self, subject: str) -> dict[str, str]:
        jar = _after({}, self._origin.get(f"/-/in/{subject}", subject, {}).cookies)
        assert jar.keys() == {ACCESS.name, REFRESH.name}
        return jar

    def _visit(
        self, case: Case, visitor: str, jar: Mapping[str, str], *, tag: bool = False
    ) -> Response:
        return _ask(self._cache, case, visitor, jar, tag=tag)

    def _together(self, case: Case, jar: Mapping[str, str]) -> list[Response]:
        got: list[Response] = []
        others = zip(self._others, (BOB, STRANGER), (self._bob, {}), strict=True)

        def visit(connection: _Connection, visitor: str, cookies: Mapping[str, str]) -> None:
            got.append(_ask(connection, case, visitor, cookies))

        threads = [threading.Thread(target=visit, args=other) for other in others]
        threads.insert(0, threading.Thread(target=visit, args=(self._cache, case.alice, jar)))
        for thread in threads:
            thread.start()
            time.sleep(0.002)  # Alice is the first
        for thread in threads:
            thread.join()
        assert len(got) == len(threads)
        return got


class _Connection:
    """One connection to one port, opened again when it was closed."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.close = self._http.close

    def get(
        self,
        path: str,
        visitor: str,
        jar: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Ask for *path*, and return what came."""
        sent = {"Host": "app.example", "X-Visitor": visitor, **(headers or {})}
        if jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        try:
            return self._get(path, visitor, sent)
        except (http.client.BadStatusLine, ConnectionError):  # the server had enough of it
            self._http.close()
            return self._get(path, visitor, sent)

    def _get(self, path: str, visitor: str, sent: Mapping[str, str]) -> Response:
        self._http.request("GET", path, headers=dict(sent))
        got = self._http.getresponse()
        body = got.read().decode("latin-1")
        cookies = got.headers.get_all("Set-Cookie", [])
        return Response(visitor, got.status, body, cookies, got.headers.get("X-Serial"))


def _ask(
    connection: _Connection,
    case: Case,
    visitor: str,
    jar: Mapping[str, str],
    *,
    tag: bool = False,
) -> Response:
    headers = {"Range": "bytes=0-31"} if case.status == "206" else {}
    if tag:
        same = not case.names_visitor
        headers["If-None-Match"] = ETAG.decode() if same else f'"{visitor}"'
    if case.situation == "bearer" and visitor == case.alice:
        headers["Authorization"] = f"Bearer {jar[ACCESS.name]}"
        jar = {}
    elif case.situation == "dead" and visitor == case.alice:
        headers |= {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    return connection.get(case.path, visitor, jar, headers)


def _after(jar: Mapping[str, str], lines: Iterable[str]) -> dict[str, str]:
    """Return the jar after the Set-Cookie *lines*."""
    left = dict(jar)
    for line in lines:
        name, _, value = line.partition(";")[0].partition("=")
        left[name] = value
        if re.search(r"max-age=0\b", line, re.IGNORECASE):
            del left[name]
    return left
