"""Secrets of root, handed over to the user that tasks run as, in a process of its own."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerparallel.environment import SECRETS_DIR_VARIABLE
from dockerparallel_redis_queue_container import privileges, secret_files

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

SHOW = """
import json, os, sys
from pathlib import Path
from dockerparallel.environment import read_secret
from dockerparallel_redis_queue_container import privileges
hidden = json.loads(sys.argv[1])
privileges.drop(hidden_secrets=hidden)
found = {}
for name in ("MINE", "OPEN", "LINK", "PASSWORD"):
    try:
        found[name] = read_secret(name)
    except PermissionError:
        found[name] = "refused"
folder = Path(os.environ["DOCKERPARALLEL_SECRETS_DIR"])
try:
    (folder / "PASSWORD").unlink()
except PermissionError:
    found["removed"] = False
print(json.dumps(found))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make secrets as a provider does, below a folder that everybody may enter."""
    above = Path(tempfile.mkdtemp(prefix="dockerparallel-test-"))
    above.chmod(0o755)
    folder = above / "secrets"
    folder.mkdir(mode=0o700)
    for name, mode in (("MINE", 0o400), ("OPEN", 0o444), ("PASSWORD", 0o400)):
        (folder / name).write_text(name.lower())
        (folder / name).chmod(mode)
    (above / "elsewhere").write_text("not a secret")
    (above / "elsewhere").chmod(0o400)
    (folder / "LINK").symlink_to(above / "elsewhere")
    yield folder
    shutil.rmtree(above)


def seen(folder: Path, hidden: list[str] | None) -> dict[str, Any]:
    environ = {**os.environ, privileges.RUN_AS: "nobody", SECRETS_DIR_VARIABLE: str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", SHOW, json.dumps(hidden)],
        env=environ,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def modes(folder: Path) -> dict[str, tuple[int, str]]:
    files = [folder, *folder.iterdir()]
    return {file.name: (file.lstat().st_uid, f"{file.lstat().st_mode & 0o777:o}") for file in files}


@as_root
def test_the_user_reads_its_own_and_not_the_password(folder: Path) -> None:
    found = seen(folder, ["PASSWORD"])
    assert found == {
        "MINE": "mine",
        "OPEN": "open",
        "LINK": "refused",
        "PASSWORD": "refused",
        "removed": False,
    }
    after = modes(folder)
    assert after["secrets"] == (0, "750")
    assert after["MINE"][0] != 0
    assert after["MINE"][1] == "400"
    assert after["OPEN"] == (0, "444")
    assert after["PASSWORD"] == (0, "400")
    assert (folder.parent / "elsewhere").stat().st_uid == 0
    # A container that starts anew finds it so.
    assert seen(folder, ["PASSWORD"]) == found


@as_root
def test_nothing_is_handed_over_unless_it_is_asked_for(folder: Path) -> None:
    before = modes(folder)
    found = seen(folder, None)
    assert found["MINE"] == found["PASSWORD"] == "refused"
    assert modes(folder) == before


@as_root
def test_a_folder_that_everybody_may_enter_stays_as_it_is(folder: Path) -> None:
    folder.chmod(0o755)
    seen(folder, ["PASSWORD"])
    assert modes(folder)["secrets"] == (0, "755")


@as_root
def test_a_folder_that_cannot_be_changed_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def chown(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "chown", chown)
    with caplog.at_level(logging.INFO):
        secret_files.hand_over(1, 1, ["PASSWORD"], {SECRETS_DIR_VARIABLE: str(folder)})
    assert "stay as the provider made them" in caplog.text
    assert "Read-only file system" in caplog.text


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    secret_files.hand_over(1, 1, [], {SECRETS_DIR_VARIABLE: str(tmp_path / "none")})
