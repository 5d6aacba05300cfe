"""`Config.from_env`: settings as text, both ways, and what is none."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh import Config, Cookie
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.settings import parse, show

PREFIX = "ASGI_REFRESH_"
DEFAULTS = {field.name: field.default for field in fields(Config)}

# Of every field a text, and what it says.
EVERY: dict[str, tuple[str, Any]] = {
    "access_lifetime": ("5m", timedelta(minutes=5)),
    "refresh_before": ("30s", timedelta(seconds=30)),
    "idle_lifetime": ("30d", timedelta(days=30)),
    "session_lifetime": ("100d", timedelta(days=100)),
    "rotation_grace": ("20", timedelta(seconds=20)),
    "leeway": ("500ms", timedelta(seconds=0.5)),
    "issuer": ("https://auth.example", "https://auth.example"),
    "audience": ("api", "api"),
    "access_cookie": (
        "__Secure-a; Path=/app; Domain=example.com; SameSite=Strict",
        Cookie("__Secure-a", path="/app", domain="example.com", same_site="strict"),
    ),
    "refresh_cookie": ("__Host-r; Partitioned", Cookie("__Host-r", partitioned=True)),
    "bearer": ("false", False),
    "revocation": ("always", "always"),
    "revocation_poll": ("2 s", timedelta(seconds=2)),
    "store_timeout": ("0.25s", timedelta(seconds=0.25)),
    "cross_origin": ("allow", "allow"),
    "trusted_origins": (
        "https://a.example, https://b.example",
        ("https://a.example", "https://b.example"),
    ),
    "cross_origin_exempt": ("/callback", ("/callback",)),
    "csrf_cookie": ("__Host-csrf; HttpOnly=false", Cookie("__Host-csrf", http_only=False)),
    "csrf_header": ("X-XSRF-TOKEN", "X-XSRF-TOKEN"),
    "csrf_field": ("_xsrf", "_xsrf"),
    "clear_site_data": ("cache storage", ("cache", "storage")),
    "exclude": ("/static /media", ("/static", "/media")),
    "max_cookie_header": ("8192", 8192),
    "token_cache": ("100", 100),
    "max_sessions": ("5", 5),
}
# A cookie that is fit for the other one's default.
BESIDE = {"access_cookie": {f"{PREFIX}REFRESH_COOKIE": "__Secure-r; Domain=example.com"}}


def env(**values: str) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": value for name, value in values.items()}


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env(environ)
    return str(caught.value)


def test_every_field_is_looked_at_here() -> None:
    assert set(EVERY) == set(DEFAULTS)


@pytest.mark.parametrize("name", EVERY)
def test_a_variable_sets_its_field(name: str) -> None:
    text, value = EVERY[name]
    config = Config.from_env(env(**{name: text}) | BESIDE.get(name, {}))

    assert getattr(config, name) == value


@pytest.mark.parametrize("name", EVERY)
def test_a_variable_leaves_the_other_fields(name: str) -> None:
    beside = BESIDE.get(name, {})
    config = Config.from_env(env(**{name: EVERY[name][0]}) | beside)
    changed = {
        field.name for field in fields(config) if getattr(config, field.name) != field.default
    }

    assert changed == {name} | {key.removeprefix(PREFIX).lower() for key in beside}


@pytest.mark.parametrize("environ", [{}, {"HOME": "/root"}, {f"{PREFIX}STORE": "memory:"}])
def test_without_variables_it_is_the_default(environ: dict[str, str]) -> None:
    assert Config.from_env(environ) == Config()


def test_by_default_the_environment_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ACCESS_LIFETIME", "7m")

    assert Config.from_env().access_lifetime == timedelta(minutes=7)


def test_white_space_around_a_value_does_not_matter() -> None:
    assert Config.from_env(env(access_lifetime=" 7m\n")).access_lifetime == timedelta(minutes=7)


@pytest.mark.parametrize("text", ["1", "true", "True", "YES", "on"])
def test_the_words_for_true(text: str) -> None:
    assert Config.from_env(env(bearer=text)).bearer is True


@pytest.mark.parametrize("text", ["0", "false", "False", "NO", "off"])
def test_the_words_for_false(text: str) -> None:
    assert Config.from_env(env(bearer=text)).bearer is False


@pytest.mark.parametrize("name", ["issuer", "audience", "max_sessions"])
def test_an_empty_value_is_none_where_there_may_be_none(name: str) -> None:
    assert getattr(Config.from_env(env(**{name: ""})), name) is None


@pytest.mark.parametrize("name", ["trusted_origins", "exclude", "cross_origin_exempt"])
def test_an_empty_list_is_one(name: str) -> None:
    assert getattr(Config.from_env(env(**{name: " , "})), name) == ()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("access_lifetime", "ten minutes"), ("access_lifetime", ""), ("access_lifetime", "-5m"),
        ("access_lifetime", "5 weeks"), ("access_lifetime", "1e3"), ("access_lifetime", "5m 3s"),
        ("access_lifetime", "PT5M"), ("access_lifetime", "0:05:00"), ("access_lifetime", "५m"),
        ("leeway", "nan"), ("leeway", "9999999999d"), ("bearer", "maybe"), ("bearer", ""),
        ("token_cache", "many"), ("token_cache", "-1"), ("token_cache", "1.5"), ("token_cache", ""),
        ("token_cache", "1" * 5000), ("max_sessions", "none"), ("max_cookie_header", "16k"),
        ("access_cookie", ""), ("access_cookie", "a b"), ("access_cookie", "a; Max-Age=5"),
        ("access_cookie", "__Host-a; Domain=x.example"), ("access_cookie", "a; Secure=maybe"),
        ("access_cookie", "a; SameSite=never"), ("access_cookie", "a; Path=x"),
    ],
)  # fmt: skip
def test_an_unreadable_value_names_its_variable(name: str, text: str) -> None:
    assert refused(env(**{name: text})).startswith(f"{PREFIX}{name.upper()}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("access_lifetime", "0"), ("refresh_before", "1h"), ("idle_lifetime", "1m"),
        ("session_lifetime", "1000d"), ("rotation_grace", "6m"), ("leeway", "2m"),
        ("revocation_poll", "0s"), ("store_timeout", "0"), ("issuer", "a\x07b"),
        ("revocation", "sometimes"), ("revocation", ""), ("cross_origin", "ask"),
        ("trusted_origins", "app.example"), ("exclude", "static"), ("token_cache", "0"),
        ("max_sessions", "0"), ("cross_origin_exempt", "x"),
    ],
)  # fmt: skip
def test_a_value_that_config_refuses_names_its_setting(name: str, text: str) -> None:
    assert name in refused(env(**{name: text}))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ACESS_LIFETIME", "ACCESS_LIFETIME"),
        ("ACCESS_LIFE_TIME", "ACCESS_LIFETIME"),
        ("TRUSTED_ORIGIN", "TRUSTED_ORIGINS"),
        ("MAX_SESSION", "MAX_SESSIONS"),
    ],
)
def test_a_typing_mistake_gets_a_hint(name: str, hint: str) -> None:
    assert refused({f"{PREFIX}{name}": "1"}) == (
        f"{PREFIX}{name} is no setting; is it {PREFIX}{hint}?"
    )


@pytest.mark.parametrize("name", ["", "X", "SECRET_KEY", "STORE_URL2"])
def test_a_variable_that_resembles_nothing_is_refused(name: str) -> None:
    assert refused({f"{PREFIX}{name}": "hunter2"}).startswith(f"{PREFIX}{name} is no setting")


def test_where_nothing_resembles_a_variable_nothing_is_hinted_at() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(env(zzz="1"), DEFAULTS)

    assert str(caught.value) == "ASGI_REFRESH_ZZZ is no setting"


def test_variables_that_are_not_ours_hide_none_that_is() -> None:
    environ = {"AAA": "1", "ASGI": "1", **env(bearer="false"), "PATH": "/bin"}

    assert parse(environ, DEFAULTS) == {"bearer": False}


def test_a_number_has_twelve_digits_at_most() -> None:
    assert parse(env(token_cache="9" * 12), DEFAULTS) == {"token_cache": 10**12 - 1}
    with pytest.raises(ConfigurationError, match="a whole number, not"):
        parse(env(token_cache="9" * 13), DEFAULTS)


@pytest.mark.parametrize("flag", ["Secure", "Partitioned", "HttpOnly", "HttpOnly=true"])
def test_a_flag_of_a_cookie_needs_no_value(flag: str) -> None:
    values = parse(env(access_cookie=f"a; {flag}"), DEFAULTS)

    assert values == {"access_cookie": Cookie("a", partitioned=flag == "Partitioned")}


def test_the_value_of_a_variable_that_is_no_setting_is_not_told() -> None:
    assert "hunter2" not in refused({f"{PREFIX}SECRET": "hunter2"})


# --- both ways ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_that_is_shown_reads_as_itself(name: str) -> None:
    assert parse(env(**{name: show(DEFAULTS[name])}), DEFAULTS) == {name: DEFAULTS[name]}


@pytest.mark.parametrize("name", EVERY)
def test_a_value_that_is_shown_reads_as_itself(name: str) -> None:
    assert parse(env(**{name: show(EVERY[name][1])}), DEFAULTS) == {name: EVERY[name][1]}


@given(st.integers(0, 400 * 86400 * 1_000_000))
def test_a_duration_that_is_shown_reads_as_itself(microseconds: int) -> None:
    value = timedelta(microseconds=microseconds)

    assert parse(env(leeway=show(value)), DEFAULTS) == {"leeway": value}


@given(st.integers(0, 400 * 86400))
def test_a_duration_in_seconds_that_is_shown_reads_as_itself(seconds: int) -> None:
    value = timedelta(seconds=seconds)

    assert parse(env(leeway=show(value)), DEFAULTS) == {"leeway": value}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "0s"), (timedelta(days=14), "14d"), (timedelta(hours=36), "36h"),
        (timedelta(seconds=90), "90s"), (timedelta(minutes=90), "90m"),
        (timedelta(milliseconds=250), "0.25s"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_the_largest_unit_that_fits(value: timedelta, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize("insecure", [True, False])
def test_a_cookie_that_is_shown_reads_as_itself(insecure: bool) -> None:
    cookie = Cookie("a", path="/x", domain="example.com", same_site="none")
    cookie = replace(cookie, secure=False, same_site="lax") if insecure else cookie

    assert parse(env(access_cookie=show(cookie)), DEFAULTS) == {"access_cookie": cookie}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (Cookie("a", partitioned=True), "a; Path=/; SameSite=lax; Secure=true; Partitioned"),
        (
            Cookie("a", domain="b.example", path="/c", secure=False, http_only=False),
            "a; Path=/c; Domain=b.example; SameSite=lax; Secure=false; HttpOnly=false",
        ),
    ],
)
def test_a_value_is_shown_as_people_write_it(value: object, text: str) -> None:
    assert show(value) == text
