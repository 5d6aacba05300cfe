"""Stores that keep sessions somewhere else than in this process."""

from __future__ import annotations

from .sqlite import SQLiteStore

__all__ = ["SQLiteStore"]
