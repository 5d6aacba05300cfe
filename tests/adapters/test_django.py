"""`request.user` in Django, in a process of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.kit.support import run_pytest


def test_django_has_the_user_of_the_session(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("django_cases.py"), tmp_path / "test_cases.py")

    assert " passed in" in run_pytest(tmp_path)
