"""The runtime folder: whose it is, how it is locked, how it goes."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from pathlib import Path

import pytest

from dockerparallel import ProviderError, WaitTimeoutError
from dockerparallel_local_process_provider.runtime_folder import (
    default_runtime_folder,
    locked,
    make_private,
)
from dockerparallel_local_process_provider.store import ClusterFolder, StoredCluster


def test_the_runtime_folder_is_that_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert default_runtime_folder() == Path("/run/user/7/dockerparallel")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert default_runtime_folder() == tmp_path / f"dockerparallel-{os.geteuid()}"


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o750)
    with pytest.raises(ProviderError, match=r"others have access to it \(mode 750\)"):
        make_private(folder, folder)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    with pytest.raises(ProviderError, match="it is a link or a file"):
        make_private(link, link / "local-process")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(ProviderError, match="it belongs to user 12345"):
        make_private(folder, folder)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "missing" / "dockerparallel"
    with pytest.raises(ProviderError, match="set XDG_RUNTIME_DIR"):
        make_private(folder, folder)


def test_a_lock_keeps_others_out_and_says_for_how_long(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with locked(root, root / "a", 1.0):
        with locked(root, root / "b", 1.0):
            pass
        message = r"changing the cluster in .*a for 0.05 s"
        with pytest.raises(WaitTimeoutError, match=message), locked(root, root / "a", 0.05):
            pass
    with locked(root, root / "a", 1.0):
        pass
    assert not root.exists()


def test_a_folder_that_comes_and_goes_is_locked_by_one_at_a_time(tmp_path: Path) -> None:
    root, inside, most = tmp_path / "root", [0], [0]

    def work() -> None:
        for _ in range(100):
            with locked(root, root / "a" / "b", 30.0):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not root.exists()


def test_the_lock_of_a_folder_that_was_removed_is_worthless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    held: list[int] = []

    def too_late(descriptor: int, operation: int) -> None:
        if not held:
            # Its last holder removes the folder, and another session makes and locks it anew.
            root.rmdir()
            root.mkdir(mode=0o700)
            held.append(os.open(root, os.O_RDONLY))
            flock(held[0], fcntl.LOCK_EX)
        flock(descriptor, operation)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", too_late)
    with pytest.raises(WaitTimeoutError), locked(root, root, 0.05):
        pass
    os.close(held[0])


def test_the_state_survives_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ClusterFolder(tmp_path / "root", "name", 1.0)
    with folder.locked():
        stored = StoredCluster(static_data={"a": 1}, host="127.0.0.1")
        folder.write(stored)
        stored.static_data = {"a": object()}
        with pytest.raises(TypeError):
            folder.write(stored)
        read = folder.read()
        assert read is not None
        assert read.static_data == {"a": 1}
        assert read.cluster_id == stored.cluster_id


def test_the_lock_is_entered_again_by_its_holder(tmp_path: Path) -> None:
    folder = ClusterFolder(tmp_path / "root", "name", 0.05)
    with folder.locked(), folder.locked(), folder.root_locked():
        pass
    assert not folder.runtime_folder.exists()
