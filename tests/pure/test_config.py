"""The settings: the defaults as designed, every refusal, and no option without a reader."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import asgi_refresh
from asgi_refresh import LOCALHOST, Config, Cookie
from asgi_refresh.errors import ConfigurationError

PACKAGE = Path(asgi_refresh.__file__).parent

# --- defaults -------------------------------------------------------------------------------------

# The table of the design, field by field.
DEFAULTS: dict[str, Any] = {
    "access_lifetime": timedelta(minutes=10),
    "refresh_before": timedelta(minutes=1),
    "idle_lifetime": timedelta(days=14),
    "session_lifetime": timedelta(days=90),
    "rotation_grace": timedelta(seconds=60),
    "leeway": timedelta(seconds=5),
    "issuer": None,
    "audience": None,
    "access_cookie": Cookie("__Host-access"),
    "refresh_cookie": Cookie("__Host-refresh"),
    "bearer": True,
    "revocation": "live",
    "revocation_poll": timedelta(seconds=1),
    "store_timeout": timedelta(seconds=1),
    "cross_origin": "refuse",
    "trusted_origins": (),
    "cross_origin_exempt": (),
    "csrf_cookie": None,
    "csrf_header": "X-CSRF-Token",
    "csrf_field": "csrf_token",
    "clear_site_data": (),
    "exclude": (),
    "max_cookie_header": 16384,
    "token_cache": 4096,
    "max_sessions": None,
}


def test_the_fields_are_those_of_the_design() -> None:
    assert [f.name for f in fields(Config)] == list(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_is_that_of_the_design(name: str) -> None:
    assert getattr(Config(), name) == DEFAULTS[name]


def test_the_defaults_suit_rotation() -> None:
    Config().check_rotating()


def test_localhost_differs_in_the_cookies_only() -> None:
    plain = {
        "access_cookie": Cookie("access", secure=False),
        "refresh_cookie": Cookie("refresh", secure=False),
    }

    assert {name: getattr(LOCALHOST, name) for name in DEFAULTS} == DEFAULTS | plain


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().bearer = False  # type: ignore[misc]


def test_a_config_has_slots_and_nothing_else() -> None:
    assert not hasattr(Config(), "__dict__")


def test_every_setting_is_given_by_name() -> None:
    assert all(f.kw_only for f in fields(Config))
    with pytest.raises(TypeError, match="positional"):
        Config(timedelta(minutes=5))  # type: ignore[misc]


@pytest.mark.parametrize("name", ["trusted_origins", "cross_origin_exempt", "exclude"])
def test_a_list_becomes_a_tuple(name: str) -> None:
    values = ["https://a.example"] if name == "trusted_origins" else ["/a", "/b"]
    config = Config(**{name: values})
    kept = tuple(values)
    values.clear()

    assert getattr(config, name) == kept


@pytest.mark.parametrize("name", ["trusted_origins", "cross_origin_exempt", "exclude"])
def test_an_iterator_is_kept_or_refused_but_never_lost(name: str) -> None:
    values = ["https://a.example"] if name == "trusted_origins" else ["/a", "/b"]
    try:
        config = Config(**{name: iter(values)})
    except ConfigurationError:
        return

    assert getattr(config, name) == tuple(values)


# --- refusals -------------------------------------------------------------------------------------


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
DURATIONS = [name for name, value in DEFAULTS.items() if isinstance(value, timedelta)]

# Just refused, and its neighbour that is just not.
EDGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"access_lifetime": seconds(1) - TICK, "refresh_before": seconds(0)},
        {"access_lifetime": seconds(1), "refresh_before": seconds(0)},
        "access_lifetime: a second or more",
    ),
    ({"refresh_before": -TICK}, {"refresh_before": seconds(0)}, "refresh_before"),
    (
        {"refresh_before": seconds(600)},
        {"refresh_before": seconds(600) - TICK},
        "refresh_before must be shorter than access_lifetime",
    ),
    (
        {"access_lifetime": 14 * DAY},
        {"access_lifetime": 14 * DAY - TICK},
        "access_lifetime < idle_lifetime <= session_lifetime",
    ),
    ({"idle_lifetime": seconds(600)}, {"idle_lifetime": seconds(600) + TICK}, "idle_lifetime"),
    ({"idle_lifetime": 90 * DAY + TICK}, {"idle_lifetime": 90 * DAY}, "session_lifetime"),
    (
        {"session_lifetime": 400 * DAY + TICK},
        {"session_lifetime": 400 * DAY},
        "session_lifetime: browsers keep no cookie longer than 400 days",
    ),
    ({"rotation_grace": -TICK}, {"rotation_grace": seconds(0)}, "rotation_grace: 0 to 5 minutes"),
    (
        {"rotation_grace": seconds(300) + TICK},
        {"rotation_grace": seconds(300)},
        "rotation_grace: 0 to 5 minutes",
    ),
    ({"leeway": -TICK}, {"leeway": seconds(0)}, "leeway: 0 to 60 seconds"),
    ({"leeway": seconds(60) + TICK}, {"leeway": seconds(60)}, "leeway: 0 to 60 seconds"),
    ({"revocation_poll": seconds(0)}, {"revocation_poll": TICK}, "revocation_poll"),
    ({"store_timeout": seconds(0)}, {"store_timeout": TICK}, "store_timeout"),
    ({"max_cookie_header": 0}, {"max_cookie_header": 1}, "max_cookie_header must be a positive"),
    ({"token_cache": 0}, {"token_cache": 1}, "token_cache must be a positive int"),
    ({"max_sessions": 0}, {"max_sessions": 1}, "max_sessions must be a positive int"),
]


@pytest.mark.parametrize(("bad", "_good", "message"), EDGES)
def test_a_setting_beyond_the_edge_is_refused(
    bad: dict[str, Any], _good: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Config(**bad)


@pytest.mark.parametrize(("_bad", "good", "_message"), EDGES)
def test_a_setting_at_the_edge_is_taken(
    _bad: dict[str, Any], good: dict[str, Any], _message: str
) -> None:
    config = Config(**good)

    assert {name: getattr(config, name) for name in good} == good


REFUSED: list[tuple[str, Any]] = [
    *((name, value) for name in DURATIONS for value in (60, 60.0, "60", None, True)),
    *((name, value) for name in DURATIONS for value in (timedelta(days=-1),)),
    *((name, v) for name in ("issuer", "audience") for v in ("", 1, b"a", ["a"], True)),
    *((name, v) for name in ("access_cookie", "refresh_cookie") for v in ("a", None, b"a")),
    *(("bearer", value) for value in (1, 0, None, "yes")),
    *(("revocation", value) for value in ("", "Live", "never", None, True)),
    *(("cross_origin", value) for value in ("", "Refuse", "deny", None, True)),
    *(
        (name, value)
        for name in ("max_cookie_header", "token_cache", "max_sessions")
        for value in (-1, 1.0, "1", True)
    ),
    ("max_cookie_header", None),
    ("token_cache", None),
    *(
        (name, value)
        for name in ("trusted_origins", "cross_origin_exempt", "exclude")
        for value in ("/a", "https://a.example", [b"/a"], [1], [None], ["/a", 1], b"/a", None, 1)
    ),
    *(
        ("trusted_origins", [value])
        for value in ("", "null", "a.example", "https://a.example/", "*", "https://*.example")
    ),
    ("trusted_origins", ["https://a.example", "https://b.example/x"]),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_value_of_the_wrong_kind_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Config(**{name: value})


@pytest.mark.parametrize("name", ["cross_origin_exempt", "exclude"])
@pytest.mark.parametrize("path", ["", "a", "a/", "*", "https://a.example/", " /a"])
def test_a_path_that_does_not_start_with_a_slash_is_refused(name: str, path: str) -> None:
    with pytest.raises(ConfigurationError, match="a path starts with '/'") as caught:
        Config(**{name: ["/good", path]})
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize(
    "good",
    [
        {"issuer": "https://a.example", "audience": "b"},
        {"bearer": False},
        {"revocation": "refresh"},
        {"revocation": "always"},
        {"cross_origin": "allow"},
        {"cross_origin": "websockets"},
        {"trusted_origins": ("https://a.example", "http://localhost:3000")},
        {"cross_origin_exempt": ("/callback",), "exclude": ("/static", "/")},
    ],
)
def test_every_choice_of_the_design_is_taken(good: dict[str, Any]) -> None:
    config = Config(**good)

    assert {name: getattr(config, name) for name in good} == good


def test_both_cookies_may_not_have_one_name() -> None:
    with pytest.raises(ConfigurationError, match="need different names"):
        Config(access_cookie=Cookie("a"), refresh_cookie=Cookie("a", path="/"))


@pytest.mark.parametrize(
    ("access", "refresh", "covered"),
    [
        ("/", "/", True),
        ("/app", "/", True),
        ("/app", "/app", True),
        ("/app/x", "/app", True),
        ("/app/x", "/app/", True),
        ("/app/", "/app", True),
        ("/app/", "/app/", True),
        ("/", "/refresh", False),
        ("/app", "/app/refresh", False),
        ("/app", "/ap", False),
        ("/app", "/api", False),
        ("/app", "/app/", False),  # a request for /app would carry the access cookie only
    ],
)
def test_the_refresh_cookie_comes_along_wherever_the_access_cookie_does(
    access: str, refresh: str, covered: bool
) -> None:
    cookies = {
        "access_cookie": Cookie("a", path=access),
        "refresh_cookie": Cookie("r", path=refresh),
    }
    if covered:
        assert Config(**cookies).refresh_cookie.path == refresh
    else:
        with pytest.raises(ConfigurationError, match="refresh_cookie must be sent wherever"):
            Config(**cookies)


# What is said, to the letter; ever one of the settings that it is said of.
SAID: list[tuple[dict[str, Any], str]] = [
    ({"leeway": 5}, "leeway must be a timedelta, not 5"),
    ({"access_cookie": "a"}, "access_cookie must be a Cookie"),
    ({"csrf_cookie": "a"}, "csrf_cookie must be a Cookie or None"),
    ({"csrf_field": ""}, "csrf_field must be one word of letters, digits, '-' and '_'"),
    ({"issuer": ""}, "issuer must be a non-empty, printable str or None"),
    ({"max_sessions": 0}, "max_sessions must be a positive int"),
    ({"exclude": [1]}, "exclude must be a sequence of strings"),
    (
        {"access_lifetime": seconds(0), "refresh_before": seconds(0)},
        "access_lifetime: a second or more",
    ),
    ({"refresh_before": DAY}, "refresh_before must be shorter than access_lifetime"),
    (
        {"access_lifetime": 14 * DAY},
        "access_lifetime < idle_lifetime <= session_lifetime must hold",
    ),
    (
        {"session_lifetime": 401 * DAY},
        "session_lifetime: browsers keep no cookie longer than 400 days",
    ),
    ({"rotation_grace": DAY}, "rotation_grace: 0 to 5 minutes"),
    ({"leeway": DAY}, "leeway: 0 to 60 seconds"),
    ({"revocation_poll": seconds(0)}, "revocation_poll must be positive"),
    ({"store_timeout": seconds(0)}, "store_timeout must be positive"),
    (
        {"access_cookie": Cookie("a"), "refresh_cookie": Cookie("a")},
        "the cookies need different names",
    ),
    (
        {"access_cookie": Cookie("a", http_only=False)},
        "cookie 'a' holds a token: scripts must not read it",
    ),
    ({"csrf_cookie": Cookie("c")}, "csrf_cookie: scripts read it, http_only=False"),
    (
        {"refresh_cookie": Cookie("r", path="/r")},
        (
            "refresh_cookie must be sent wherever access_cookie is: its path must contain '/', its"
            " domain be the same"
        ),
    ),
    ({"revocation": "never"}, "revocation: live|refresh|always"),
    ({"cross_origin": "deny"}, "cross_origin: refuse|websockets|allow"),
    ({"bearer": 1}, "bearer must be True or False"),
    (
        {"trusted_origins": ["*"]},
        (
            "trusted_origins: '*' is not an origin; write 'https://app.example', with the"
            " scheme and without a path"
        ),
    ),
    (
        {"clear_site_data": ["cookies"]},
        (
            "clear_site_data: 'cookies' is none of cache, executionContexts, storage; our cookies"
            " are deleted by name, for one of them keeps the sign-out final"
        ),
    ),
    ({"exclude": ["a"]}, "exclude: a path starts with '/': 'a'"),
]


@pytest.mark.parametrize(("settings", "message"), SAID)
def test_what_is_wrong_with_a_setting_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config(**settings)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"access_lifetime": seconds(61), "refresh_before": seconds(0)},
            (
                "with a store, access_lifetime must be at least 2 * (rotation_grace + 2 * leeway) ="
                " 0:02:20"
            ),
        ),
        (
            {"access_lifetime": seconds(150), "refresh_before": seconds(60)},
            (
                "with a store, refresh_before must leave at least 2 * (rotation_grace + 2 * leeway)"
                " = 0:02:20 of access_lifetime"
            ),
        ),
    ],
)
def test_what_does_not_suit_rotation_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config(**settings).check_rotating()

    assert str(caught.value) == message


def test_a_refused_setting_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="leeway"):
        Config(leeway=timedelta(hours=1))


# --- rotation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("grace", "leeway", "window"), [(60, 5, 70), (0, 0, 0), (0, 60, 120)])
def test_the_window_is_the_grace_and_twice_the_leeway(
    grace: float, leeway: float, window: float
) -> None:
    config = Config(rotation_grace=seconds(grace), leeway=seconds(leeway))

    assert config.window == seconds(window)


def test_with_rotation_an_access_token_lives_twice_the_window() -> None:
    never = timedelta(0)
    Config(access_lifetime=seconds(140), refresh_before=never).check_rotating()

    short = Config(access_lifetime=seconds(140) - TICK, refresh_before=never)
    with pytest.raises(ConfigurationError, match=r"access_lifetime must be at least .* 0:02:20"):
        short.check_rotating()


def test_with_rotation_refresh_before_leaves_twice_the_window() -> None:
    Config(access_lifetime=seconds(200), refresh_before=seconds(60)).check_rotating()

    eager = Config(access_lifetime=seconds(200), refresh_before=seconds(60) + TICK)
    with pytest.raises(ConfigurationError, match=r"refresh_before must leave at least .* 0:02:20"):
        eager.check_rotating()


# --- no option without a reader -------------------------------------------------------------------


def attributes_read(tree: ast.AST, holders: tuple[str, ...]) -> set[str]:
    """The names that are read as attributes of anything called like one of *holders*."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and (
            (isinstance(node.value, ast.Name) and node.value.id in holders)
            or (isinstance(node.value, ast.Attribute) and node.value.attr in holders)
        )
    }


def options_read(package: Path) -> set[str]:
    """The options that a module other than config.py reads, itself or by a property of Config."""
    read: set[str] = set()
    for path in package.rglob("*.py"):
        if path != package / "config.py":
            read |= attributes_read(ast.parse(path.read_text()), ("config", "_config"))
    for node in ast.walk(ast.parse((package / "config.py").read_text())):
        is_property = isinstance(node, ast.FunctionDef) and "property" in {
            decorator.id for decorator in node.decorator_list if isinstance(decorator, ast.Name)
        }
        if isinstance(node, ast.FunctionDef) and is_property and node.name in read:
            read |= attributes_read(node, ("self",))
    return read


@pytest.mark.parametrize("name", DEFAULTS)
def test_no_option_is_without_a_reader(name: str) -> None:
    assert name in options_read(PACKAGE)


def test_the_search_for_readers_sees_readers_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "class Config:\n"
        "    def __post_init__(self): self.checked, config.checked\n"
        "    @property\n"
        "    def window(self): return self.grace\n"
        "    @property\n"
        "    def unused(self): return self.forgotten\n"
    )
    (tmp_path / "a.py").write_text(
        "config.window, issuer.config.one, self._config.two\n"
        "config.written = 1\n"
        "other.three, three, 'config.three'\n"
    )

    assert options_read(tmp_path) == {"window", "grace", "one", "two"}


@pytest.mark.parametrize(
    ("access", "refresh", "fits"),
    [
        ({"domain": "example.org"}, {}, False),
        ({"domain": "example.org"}, {"domain": "example.org"}, True),
        ({}, {"domain": "example.org"}, True),
    ],
)
def test_the_refresh_cookie_is_kept_at_home_no_more_often_than_the_access_cookie(
    access: dict[str, Any], refresh: dict[str, Any], fits: bool
) -> None:
    cookies = {
        "access_cookie": Cookie("access", **access),
        "refresh_cookie": Cookie("refresh", **refresh),
    }

    if fits:
        Config(**cookies)
    else:
        with pytest.raises(ConfigurationError, match="refresh_cookie must be sent"):
            Config(**cookies)


@pytest.mark.parametrize(
    "origin", ["https://a.example:443", "http://a.example:80", "https://a.example:65536"]
)
def test_an_origin_that_no_browser_writes_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="trusted_origins"):
        Config(trusted_origins=[origin])


def test_an_origin_with_an_unusual_port_is_taken() -> None:
    assert Config(trusted_origins=["http://a.example:8443"]).trusted_origins == (
        "http://a.example:8443",
    )
