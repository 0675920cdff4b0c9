"""Giving up root, in processes of their own."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from dockerparallel_redis_queue_container import privileges
from dockerparallel_redis_queue_container.errors import SettingsError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")

SHOW = """
import os
from dockerparallel_redis_queue_container import privileges
privileges.drop()
print(*os.getresuid(), *os.getresgid(), os.getgroups(), os.environ["HOME"], os.environ["USER"])
try:
    os.setuid(0)
except PermissionError:
    print("no way back")
print(os.getcwd())
"""


def dropped(run_as: str, folder: Path) -> list[str]:
    environ = {**os.environ, privileges.RUN_AS: run_as}
    finished = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return finished.stdout.splitlines()


@as_root
def test_named_user(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    lines = dropped("nobody", tmp_path)
    uid, gid = nobody.pw_uid, nobody.pw_gid
    ids = f"{uid} {uid} {uid} {gid} {gid} {gid} [{gid}]"
    assert lines[0] == f"{ids} {nobody.pw_dir} nobody"
    assert lines[1] == "no way back"


@as_root
def test_numbers_that_no_user_has(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    lines = dropped("54321:54322", tmp_path)
    assert lines == ["54321 54321 54321 54322 54322 54322 [] / 54321", "no way back", "/"]


@as_root
@pytest.mark.parametrize(
    ("run_as", "message"),
    [
        ("no-such-user", "names no user"),
        ("root", "is root"),
        ("0:0", "is root"),
        ("nobody:staff!", "must be a number"),
    ],
)
def test_user_that_cannot_be_used(run_as: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        privileges.drop({privileges.RUN_AS: run_as})
    assert os.geteuid() == 0


def test_nothing_asked_for_changes_nothing() -> None:
    before = os.getresuid(), os.environ.get("HOME")
    privileges.drop({})
    assert (os.getresuid(), os.environ.get("HOME")) == before
