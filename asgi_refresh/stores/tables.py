"""
The tables of `SQLAlchemyStore`, and a session as a row of them.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import VARBINARY

from asgi_refresh.sessions import FIELDS, Session, to_row

HOUR: Final = 3600.0
_SECONDS: Final[sa.types.TypeEngine[Any]] = sa.Double()
_TYPES: Final[dict[str, type[sa.types.TypeEngine[Any]]]] = {
    "current": sa.BigInteger,
    "previous": sa.BigInteger,
    "late": sa.BigInteger,
    "access_from": sa.BigInteger,
    "version": sa.BigInteger,
    "forked": sa.SmallInteger,
    "persistent": sa.SmallInteger,
    "claims": sa.Text,
}
_NULLABLE: Final = {"previous", "rotated_at", "barrier_at", "device"}


class Exact(sa.types.TypeDecorator[str]):
    """Text of at most 255 characters compared as it is: MySQL takes "Alice" for "alice "."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return VARBINARY for MySQL and MariaDB, VARCHAR for the rest."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(VARBINARY(1020))
        return dialect.type_descriptor(sa.String(255))

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Encode for VARBINARY."""
        if value is None or dialect.name not in ("mysql", "mariadb"):
            return value
        return value.encode()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Decode what VARBINARY gave."""
        return value.decode() if isinstance(value, bytes) else value


def ends_hour(session: Session) -> int:
    """Return the hour, since the epoch, in which *session* ends unless it is used before."""
    return int(session.ends_at // HOUR)


def values_of(session: Session) -> dict[str, Any]:
    """Return *session* as the values of a row, by column."""
    values: dict[str, Any] = dict(zip(FIELDS, to_row(session), strict=True))
    for name in ("forked", "persistent"):
        values[name] = int(values[name])
    return values | {"ends_hour": ends_hour(session)}


def make_tables(metadata: sa.MetaData, prefix: str) -> tuple[sa.Table, sa.Table, sa.Table]:
    """Return the tables of sessions, of the log, and of its shards' counters."""
    exact = {"id", "subject", "device"}
    columns = [
        sa.Column(
            name,
            Exact() if name in exact else _TYPES.get(name, sa.Double)(),
            primary_key=name == "id",
            nullable=name in _NULLABLE,
        )
        for name in FIELDS
    ]
    sessions = sa.Table(
        f"{prefix}sessions",
        metadata,
        *columns,
        # The hour of its end, for `purge`: an index on the end itself would cost every rotation.
        sa.Column("ends_hour", sa.BigInteger, nullable=False),
        sa.Index(f"{prefix}sessions_subject", "subject"),
        sa.Index(f"{prefix}sessions_ends_hour", "ends_hour"),
        **_fill(70),
        mysql_engine="InnoDB",
    )
    log = sa.Table(
        f"{prefix}revocations",
        metadata,
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("session_id", Exact(), nullable=False),
        sa.Column("at", _SECONDS, nullable=False),
        sa.Column("until", _SECONDS, nullable=False),
        sa.Column("access_from", sa.BigInteger),
        sa.Column("jti", Exact()),
        sa.Index(f"{prefix}revocations_until", "until"),
        mysql_engine="InnoDB",
    )
    shards = sa.Table(
        f"{prefix}shards",
        metadata,
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        **_fill(50),
        mysql_engine="InnoDB",
    )
    return sessions, log, shards


def _fill(percent: int) -> dict[str, Any]:
    """Leave PostgreSQL room to update rows in place, where SQLAlchemy can say so: 2.1 and newer."""
    can_say_so = tuple(map(int, sa.__version__.split(".")[:2])) >= (2, 1)
    return {"postgresql_with": {"fillfactor": percent}} if can_say_so else {}
