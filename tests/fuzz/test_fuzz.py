"""
A moment of fuzzing, and that it bites: each target finds every fault planted in what it tests.

A fault is planted in a copy: the source of a function with one change, in the function's place for
the length of a test.
"""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_refresh import (
    access,
    bodies,
    caching,
    claims,
    cookies,
    credentials,
    inbound,
    jwt_profile,
    middleware,
    passdown,
    signers,
)
from asgi_refresh.endpoints import wire
from tests.canary import Canary
from tests.fuzz import __main__ as command
from tests.fuzz import engine
from tests.fuzz.engine import CORPUS, Mutator, Target, fuzz, minimised
from tests.fuzz.targets import TARGETS

EXECUTIONS = 3000
AT_MOST = 20_000  # executions until a planted fault is found; most are found within a thousand
each = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@each
def test_every_kept_input_passes(target: Target) -> None:
    for data in target.corpus().values():
        target.run(data)


@each
def test_fresh_inputs_pass(target: Target, canary: Canary) -> None:
    run = fuzz(target, executions=EXECUTIONS, seed=20, corpus_too=False)

    assert (run.executions, run.failures) == (EXECUTIONS, [])
    canary.take()  # it puts tokens into Origin and User-Agent, which events quote


def test_the_corpus_is_small_files_of_every_target() -> None:
    folders = {path.name for path in CORPUS.iterdir()} - {"crashes"}
    assert folders == set(TARGETS)
    for path in CORPUS.rglob("*"):
        assert path.is_dir() or path.stat().st_size <= 4096
    assert all(len(target.corpus()) >= 36 for target in TARGETS.values())


# --- planted faults -------------------------------------------------------------------------------

Reader, Profile = access.AccessReader, jwt_profile.JwtProfile
Middleware, Inbound = middleware.RefreshMiddleware, inbound.Inbound
PassDown = passdown.PassDown
PLANTED: dict[str, list[tuple[str, Any, str, str, str]]] = {
    "cookies": [
        ("a later duplicate is not seen", cookies, "sole_value",
         "header.split(name, 2)", "header.split(name, 1)"),
        ("any white space is taken off a name", cookies, "collect",
         "name.strip(_WHITE)", "name.strip()"),
        ("one value counts twice", cookies, "collect", "value not in values and ", ""),
        ("a fifth value counts", cookies, "collect", " and len(values) < most", ""),
        ("the old value stays", cookies, "replace_value",
         "keep_only(header, {**keep, name: None})", "header"),
        ("a name that is not plain stays", cookies, "_dropped", "found or not plain", "found"),
        ("a name with a space before it stays", cookies, "_dropped",
         "key.strip(_BLANK) != name", "key != name"),
        ("a name with another blank stays", cookies, "_dropped",
         "key.strip(_BLANK)", "key.strip(_WHITE)"),
        ("a later twin stays", cookies, "_dropped", "found or not plain", "not plain"),
        ("the first Max-Age wins", cookies, "read_set_cookie",
         "over = match[1] is not None", "over = match[1] is not None if over is None else over"),
        ("a Max-Age of many digits is read", cookies, "read_set_cookie",
         "match[1] is not None", "int(text) <= 0"),
        ("no such day", cookies, "parse_date", "except ValueError:", "except KeyError:"),
    ],
    "access": [
        ("exp may be anything", claims, "check_payload", 'and number(payload["exp"]) > 0', ""),
        ("gen may be true", claims, "check_payload",
         'type(payload["gen"]) is int', 'isinstance(payload["gen"], int)'),
        ("a subject may be empty", claims, "is_identifier", "0 < len(value) < 256",
         "len(value) < 256"),
        ("a name may stand twice", claims, "parse_object",
         'text.count(":") != len', "0 > len"),
        ("NaN is a number", claims, "parse_object",
         "_scan(text)", "json.JSONDecoder().raw_decode(text)"),
        ("text may follow", claims, "parse_object", " or end != len(text)", ""),
        ("not of UTF-8", claims, "parse_object", "raw.decode()", "raw.decode('latin-1')"),
        ("bits to spare", signers, "b64decode",
         " or (short and text[-1] not in _LAST[short])", ""),
        ("characters to spare", signers, "b64decode", ", strict_mode=True", ""),
        ("crit is not seen", Reader, "_unusual_header",
         ' or header.keys() != {"alg", "kid", "typ"}', ""),
        ("alg is not seen", Reader, "_unusual_header",
         'header["alg"] != key.algorithm', "False"),
        ("iss begins the same", Reader, "_check_registered", 'payload.get("iss") != self._issuer',
         "not str(payload.get('iss')).startswith(str(self._issuer))"),
        ("aud is among several", Reader, "_check_registered", "audience != [expected]",
         "expected not in audience"),
        ("issued tomorrow", Reader, "_check_registered", 'payload["iat"] > latest or ', ""),
        ("no signature", Reader, "read",
         "not signer.verify(signing_input, signature)", "not signature"),
    ],
    "refresh": [
        ("a part of the tag will do", signers.Mac, "verify",
         "hmac.compare_digest(self.sign(message), signature)",
         "self.sign(message).startswith(signature)"),
        ("a tag in another case", signers.Mac, "verify",
         "hmac.compare_digest(self.sign(message), signature)",
         "self.sign(message).lower() == signature.lower()"),
        ("only the newest secret", Profile, "read_refresh", "in self._macs]", "in self._macs[:1]]"),
        ("another end", jwt_profile, "_stateless_fields",
         "int(session.idle_expires_at)", "int(session.expires_at)"),
        ("claims that change", jwt_profile, "_read_stateless", "freeze(claims)", "claims"),
        ("a generation is cut off", Profile, "mint_refresh",
         "session.id.encode(), generation)", "session.id.encode(), generation % 1000)"),
        ("an id in another case", Profile, "read_refresh",
         "session_id.decode(),", "session_id.decode().lower(),"),
        ("a space is taken off", Profile, "read_refresh",
         'raw.rpartition(b".")', "raw.strip(b' =').rpartition(b'.')"),
    ],
    "body": [
        ("no limit", bodies, "read_body", "if len(content) > most:", "if False:"),
        ("a limit for each chunk", bodies, "read_body", "len(content) > most",
         "len(message.get('body', b'')) > most"),
        ("what it says of its length", bodies, "read_body",
         "declared.isdigit() and len(declared) < 20 and ", ""),
        ("a client that leaves", bodies, "read_body",
         'message["type"] != "http.request"', "False"),
        ("a field twice", wire, "_form", "len(values) != len(pairs)", "False"),
        ("any number of fields", bodies, "form_fields", "=most", "=None"),
        ("octets that are no text", bodies, "form_fields", 'errors="strict"', 'errors="replace"'),
        ("text/plain", wire, "parameters", "kind == _JSON", "kind in (_JSON, b'text/plain')"),
        ("two media types", bodies, "media_type", "if len(types) == 1 else", "if types else"),
        ("not of UTF-8", claims, "parse_object",
         "(ValueError, RecursionError)", "(json.JSONDecodeError, RecursionError)"),
        ("an empty text", wire.Parameters, "text", " or not value", ""),
    ],
    "boundary": [
        ("a User-Agent beyond ASCII", credentials, "client_of",
         'decode("ascii", "backslashreplace")', "decode()"),
        ("an empty Authorization", PassDown, "_may_pass",
         'words[-1] if words else b""', "words[-1]"),
        ("from another site", Middleware, "_is_ours", " and _is_same_origin(headers)", ""),
        ("two origins", middleware, "_is_same_origin", 'and names.count(b"origin") <= 1', ""),
        ("expired", Middleware, "_is_good",
         "token.expires_at - now > self._refresh_before and ", ""),
        ("twice", Middleware, "__call__", "auth._scope = None",
         "await self.app(scope, receive, forward)"),
        ("never refused", middleware, "_refuse", "await respond(send, 403, text, [])", "pass"),
        ("kept by caches", caching, "forbid_caching", 'b"private, no-store"', 'b"private"'),
        ("OPTIONS refreshes", Inbound, "_may_refresh", "method in _NEVER_REFRESH", "False"),
        ("two cookie headers", passdown, "replaced",
         "pair[0].lower() != name", "pair[0].lower() == name"),
        ("a forged cookie of nobody's", credentials, "_came",
         "except InvalidTokenError", "except AssertionError"),
    ],
}  # fmt: skip


def plant(patch: pytest.MonkeyPatch, owner: Any, name: str, old: str, new: str) -> None:
    """Put a copy of the function *name* with *new* for *old* wherever the function is used."""
    function = vars(owner)[name]
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {name}"
    flags = __future__.annotations.compiler_flag
    code = compile(source.replace(old, new), f"<planted {name}>", "exec", flags, dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, function.__globals__, made)
    patch.setattr(owner, name, made[name])
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("asgi_refresh") and vars(module).get(name) is function:
            patch.setattr(module, name, made[name])


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        pytest.param(TARGETS[name], fault[1:], id=f"{name}: {fault[0]}")
        for name, faults in PLANTED.items()
        for fault in faults
    ],
)
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, target: Target, fault: tuple[Any, str, str, str]
) -> None:
    plant(monkeypatch, *fault)

    run = fuzz(target, executions=AT_MOST, seed=21, corpus_too=False)

    assert run.failures, "it was not found"
    monkeypatch.undo()
    target.run(run.failures[0].data)  # it was the fault's, and leaves nothing behind


# --- the engine -----------------------------------------------------------------------------------


@each
def test_a_seed_makes_the_same_inputs_again(target: Target) -> None:
    corpus = list(target.corpus().values())
    first, again, other = (Mutator(target, corpus, seed) for seed in (1, 1, 2))
    made = [first() for _ in range(500)]

    assert made == [again() for _ in range(500)]
    assert made != [other() for _ in range(500)]
    assert max(map(len, made)) <= target.most


def test_a_failing_input_is_made_small() -> None:
    def attempt(data: bytes) -> None:
        if b"b" in data and b"y" in data:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        attempt(b"abcxyz")

    kind = engine.kind_of(caught.value)
    assert minimised(attempt, b"a" * 99 + b"bcd" * 7 + b"xyz" * 30, kind) == b"by"


def test_the_command_keeps_what_fails_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(data: bytes) -> None:
        assert b"rt" not in data

    monkeypatch.setattr(engine, "CRASHES", tmp_path)
    monkeypatch.setitem(TARGETS, "cookies", replace(TARGETS["cookies"], run=attempt))
    arguments = ["fuzz", "cookies", "--executions", "300", "--seed", "1"]
    monkeypatch.setattr(sys, "argv", arguments)

    assert command.main() == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"rt"]
    assert "300 executions" in capsys.readouterr().out

    monkeypatch.setitem(TARGETS, "cookies", replace(TARGETS["cookies"], run=len))
    assert command.main() == 0
