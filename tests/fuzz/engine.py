"""
The fuzzer: mutations of a corpus, the same ones for the same seed, and what is done with a failure.

It is blind to coverage and knows the grammar instead: what separates the parts of an input, and the
words that mean something in one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
WORDS: Final = Path(__file__).parent / "words"
CRASHES: Final = CORPUS / "crashes"

_BYTES: Final = [bytes((value,)) for value in range(256)]
_ODD_BYTES: Final = [
    *_BYTES,
    *(bytes((b,)) for b in b"\0\t\n\r !\"%&'(),-./;<=>[\\]_{}~\x7f\x80\xa0"),
]
_NUMBER: Final = re.compile(rb"-?[0-9]+")
_NUMBERS: Final = [
    *(b"0", b"-1", b"1", b"-0", b"00", b"255", b"256", b"4096", b"4097", b"2147483648", b"1e3"),
    *(b"9007199254740992", b"-9007199254740992", b"18446744073709551616", b"0.5", b"1e400"),
]
_ROUNDS: Final = (1, 1, 1, 1, 1, 2, 2, 3, 5)
_DRIFT: Final = 1 / 16  # of the outputs become inputs for a while


@dataclass(frozen=True, slots=True)
class Target:
    """
    What is fuzzed.

    Attributes:
        name: Also of its folder in the corpus.
        run: Raises for an input that breaks a promise; keeps nothing from one input to the next.
        separators: What stands between the parts of one.
        pieces: Each matches what may stand in the place of its like.
        most: Bytes of an input.
        execution: What one execution is, for the report.
    """

    name: str
    run: Callable[[bytes], None] = field(repr=False)
    separators: Sequence[bytes] = field(repr=False)
    pieces: Sequence[re.Pattern[bytes]] = field(repr=False)
    most: int = 2048
    execution: str = ""

    def words(self) -> list[bytes]:
        """What means something in an input: a line each, with the escapes of a bytes literal."""
        text = (WORDS / f"{self.name}.txt").read_text(encoding="ascii")
        lines = text.splitlines()
        return [line.encode().decode("unicode_escape").encode("latin-1") for line in lines]

    def corpus(self) -> dict[str, bytes]:
        """The kept inputs by the names of their files: those made by hand, and former failures."""
        made = sorted((CORPUS / self.name).iterdir())
        failed = sorted(CRASHES.glob(f"{self.name}-*"))
        return {path.name: path.read_bytes() for path in (*made, *failed)}


class Mutator:
    """Makes inputs, for ever; the same ones for the same corpus and seed."""

    def __init__(self, target: Target, corpus: Sequence[bytes], seed: int) -> None:
        self._random = Random(f"{target.name} {seed}").random
        self._kept = 3 * len(corpus)
        self._pool = [*corpus, *corpus, *corpus, *corpus]  # the last quarter drifts
        self._words, self._separators, self._most = target.words(), target.separators, target.most
        self._pieces = [(piece, _fitting(piece, self._words)) for piece in target.pieces]
        common = [self._exchange] * 3
        common += [self._insert_word, self._replace_by_word, self._mix_parts, self._delete]
        rare = [self._flip, self._set_byte, self._insert_byte, self._double, self._splice]
        rare += [self._borrow, self._change_number, self._swap_case, self._repeat, self._nudge]
        self._operations = [*common, *common, *rare]

    def __call__(self) -> bytes:
        """Return the next input."""
        random, pool, operations = self._random, self._pool, self._operations
        data = pool[int(random() * len(pool))]
        for _ in range(_ROUNDS[int(random() * len(_ROUNDS))]):
            data = operations[int(random() * len(operations))](data)
        if len(data) > self._most:
            data = data[: self._most]
        if random() < _DRIFT:
            pool[self._kept + int(random() * (len(pool) - self._kept))] = data
        return data

    def _span(self, data: bytes) -> tuple[int, int]:
        """A place in *data*, and another a little behind it."""
        random = self._random
        begin = int(random() * (len(data) + 1))
        reach = random() * 1.1
        length = len(data) if reach > 1 else 16
        return begin, begin + 1 + int(reach * reach * reach * length)

    def _word(self) -> bytes:
        return self._words[int(self._random() * len(self._words))]

    def _flip(self, data: bytes) -> bytes:
        at = int(self._random() * len(data))
        bit = 1 << int(self._random() * 8)
        return data[:at] + bytes(byte ^ bit for byte in data[at : at + 1]) + data[at + 1 :]

    def _set_byte(self, data: bytes) -> bytes:
        at = int(self._random() * len(data))
        return data[:at] + _ODD_BYTES[int(self._random() * len(_ODD_BYTES))] + data[at + 1 :]

    def _insert_byte(self, data: bytes) -> bytes:
        at = int(self._random() * (len(data) + 1))
        return data[:at] + _ODD_BYTES[int(self._random() * len(_ODD_BYTES))] + data[at:]

    def _insert_word(self, data: bytes) -> bytes:
        at = int(self._random() * (len(data) + 1))
        return data[:at] + self._word() + data[at:]

    def _replace_by_word(self, data: bytes) -> bytes:
        begin, end = self._span(data)
        return data[:begin] + self._word() + data[end:]

    def _delete(self, data: bytes) -> bytes:
        begin, end = self._span(data)
        return data[:begin] + data[end:]

    def _double(self, data: bytes) -> bytes:
        begin, end = self._span(data)
        return data[:end] + data[begin:]

    def _repeat(self, data: bytes) -> bytes:
        begin, end = self._span(data)
        piece = data[begin:end]
        grows = self._random()
        times = min(1 << int(grows * grows * 12), self._most // (len(piece) + 1))
        return data[:begin] + piece * times + data[end:]

    def _splice(self, data: bytes) -> bytes:
        other = self._pool[int(self._random() * len(self._pool))]
        here, there = int(self._random() * (len(data) + 1)), int(self._random() * (len(other) + 1))
        return data[:here] + other[there:]

    def _borrow(self, data: bytes) -> bytes:
        other = self._pool[int(self._random() * len(self._pool))]
        begin, end = self._span(other)
        at = int(self._random() * (len(data) + 1))
        return data[:at] + other[begin:end] + data[at:]

    def _swap_case(self, data: bytes) -> bytes:
        begin, end = self._span(data)
        return data[:begin] + data[begin:end].swapcase() + data[end:]

    def _change_number(self, data: bytes) -> bytes:
        match = _NUMBER.search(data, int(self._random() * (len(data) + 1)))
        if match is None:
            return self._insert_byte(data)
        begin, end = match.span()
        if end - begin > 20 or self._random() < 0.5:
            number = _NUMBERS[int(self._random() * len(_NUMBERS))]
        else:
            number = b"%d" % (int(match[0]) + int(self._random() * 13) - 6)
        return data[:begin] + number + data[end:]

    def _nudge(self, data: bytes) -> bytes:
        """Change the last byte of a part by a little."""
        separator = self._separators[int(self._random() * len(self._separators))]
        parts = data.split(separator)
        at = int(self._random() * len(parts))
        part = parts[at]
        parts[at] = part[:-1] + bytes(byte ^ 1 << int(self._random() * 4) for byte in part[-1:])
        return separator.join(parts)

    def _exchange(self, data: bytes) -> bytes:
        """Put another piece in the place of one, and break nothing around it."""
        random = self._random
        piece, words = self._pieces[int(random() * len(self._pieces))]
        spans = [match.span() for match in piece.finditer(data)]
        if not spans:
            return data + self._word()
        begin, end = spans[int(random() * len(spans))]
        if words and random() < 0.6:
            new = words[int(random() * len(words))]
        else:
            other = self._pool[int(random() * len(self._pool))]
            match = piece.search(other, int(random() * (len(other) + 1)))
            new = b"" if match is None else match[0]
        return data[:begin] + new + data[end:]

    def _mix_parts(self, data: bytes) -> bytes:
        """Swap, drop, double or exchange what stands between separators."""
        random = self._random
        separator = self._separators[int(random() * len(self._separators))]
        parts = data.split(separator)
        at, how = int(random() * len(parts)), random()
        if how < 0.25:
            other = int(random() * len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif how < 0.4 and len(parts) > 1:
            del parts[at]
        elif how < 0.6:
            parts.insert(int(random() * (len(parts) + 1)), parts[at])
        elif how < 0.8:
            parts.insert(at, self._word())
        else:
            others = self._pool[int(random() * len(self._pool))].split(separator)
            parts[at] = others[int(random() * len(others))]
        return separator.join(parts)


def _fitting(piece: re.Pattern[bytes], words: Sequence[bytes]) -> list[bytes]:
    """Those of *words* that are such a piece behind one separator or another."""
    return [
        word for word in words if any(piece.fullmatch(b + word, 1) for b in (b":", b",", b"\n"))
    ]


@dataclass(slots=True)
class Failure:
    """
    A promise that was broken.

    Attributes:
        data: The input, made small.
        error: What was raised.
        execution: After how many executions.
    """

    data: bytes
    error: Exception
    execution: int

    @property
    def kind(self) -> str:
        """What was raised and where: failures of one kind are one failure."""
        return kind_of(self.error)


@dataclass(slots=True)
class Run:
    """What a run came to."""

    executions: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


def fuzz(
    target: Target,
    *,
    executions: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    most_failures: int = 1,
    corpus_too: bool = True,
) -> Run:
    """Run *target* on the corpus and then on mutations, until one of the bounds is met."""
    corpus = list(target.corpus().values())
    mutate, run, known = Mutator(target, corpus, seed), Run(), set[str]()
    attempt = target.run
    began = perf_counter()
    for data in _inputs(corpus if corpus_too else (), mutate):
        if run.executions == executions:
            break
        if not run.executions % 256 and seconds and perf_counter() - began >= seconds:
            break
        run.executions += 1
        try:
            attempt(data)
        except Exception as error:  # noqa: BLE001 - whatever is raised is a failure
            if kind_of(error) not in known:
                known.add(kind_of(error))
                small = minimised(attempt, data, kind_of(error))
                run.failures.append(Failure(small, error, run.executions))
                if len(run.failures) >= most_failures:
                    break
    run.seconds = perf_counter() - began
    return run


def _inputs(corpus: Sequence[bytes], mutate: Mutator) -> Iterator[bytes]:
    yield from corpus
    while True:
        yield mutate()


def kind_of(error: BaseException) -> str:
    """Return what *error* is and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    return type(error).__name__ + where


def minimised(
    attempt: Callable[[bytes], None], data: bytes, kind: str, *, tries: int = 3000
) -> bytes:
    """Return *data* without whatever the failure of this *kind* does not need."""
    size = max(1, len(data) // 2)
    while size and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if _fails(attempt, shorter, kind):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _fails(attempt: Callable[[bytes], None], data: bytes, kind: str) -> bool:
    try:
        attempt(data)
    except Exception as error:  # noqa: BLE001
        return kind_of(error) == kind
    return False


def keep(target: Target, failure: Failure) -> Path:
    """Write the input of *failure* to where the next run of the tests finds it."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{target.name}-{hashlib.sha256(failure.data).hexdigest()[:12]}"
    path.write_bytes(failure.data)
    return path
