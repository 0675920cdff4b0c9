"""The kernel's kills for want of memory, told by made-up control groups, and who goes first."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis_queue_harness import PATIENCE, Site

from dockerparallel_redis_queue_container.children import ending
from dockerparallel_redis_queue_container.memory_limit import MemoryWatch, be_killed_first

MIB = 2**20
NONE_OF_VERSION_1 = "9223372036854771712"
LINUX = Path("/proc/self/oom_score_adj").exists()


class Group:
    """A control group of one of the two versions, as files."""

    def __init__(self, folder: Path, version: int) -> None:
        self.folder = folder
        self.version = version
        (folder / "memory").mkdir()

    def write(self, kills: int, limit: str) -> None:
        if self.version == 1:
            events = f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"
            (self.folder / "memory" / "memory.oom_control").write_text(events)
            (self.folder / "memory" / "memory.limit_in_bytes").write_text(f"{limit}\n")
        else:
            events = f"low 0\nhigh 0\nmax 9\noom 7\noom_kill {kills}\noom_group_kill 0\n"
            (self.folder / "memory.events").write_text(events)
            (self.folder / "memory.max").write_text(f"{limit}\n")


@pytest.fixture(params=[1, 2])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Group:
    group = Group(tmp_path, request.param)
    # What the container has seen before this supervisor came does not count.
    group.write(3, str(256 * MIB))
    return group


def test_a_kill_is_told_once_with_the_limit(group: Group) -> None:
    watch = MemoryWatch(group.folder)
    assert watch.exceeded_limit() is None
    group.write(4, str(256 * MIB))
    assert watch.exceeded_limit() == 256 * MIB
    assert watch.exceeded_limit() is None


def test_a_limit_that_was_changed_is_told_as_it_is(group: Group) -> None:
    watch = MemoryWatch(group.folder)
    group.write(4, str(512 * MIB))
    assert watch.exceeded_limit() == 512 * MIB


def test_without_a_limit_it_was_the_machine(group: Group) -> None:
    watch = MemoryWatch(group.folder)
    group.write(4, "max" if group.version == 2 else NONE_OF_VERSION_1)
    assert watch.exceeded_limit() is None


def test_without_control_groups_nothing_is_known(tmp_path: Path) -> None:
    assert MemoryWatch(tmp_path / "none").exceeded_limit() is None
    (tmp_path / "memory.events").write_text("low 0\n")
    (tmp_path / "memory.max").write_text("100\n")
    assert MemoryWatch(tmp_path).exceeded_limit() is None


def test_the_log_tells_it() -> None:
    assert ending(-9) == "SIGKILL"
    assert ending(3) == "exit code 3"
    assert ending(-9, 256 * MIB) == (
        "SIGKILL, because the container went over its memory limit of 256 MiB"
    )


@pytest.mark.parametrize(("before", "after"), [("0", "500"), ("-100", "500"), ("800", "800")])
def test_a_worker_offers_itself(before: str, after: str, tmp_path: Path) -> None:
    file = tmp_path / "oom_score_adj"
    file.write_text(f"{before}\n")
    be_killed_first(tmp_path)
    assert file.read_text().strip() == after


def test_a_system_without_that_is_no_error(tmp_path: Path) -> None:
    be_killed_first(tmp_path / "none")


def score(process: str) -> int:
    return int(Path("/proc", process, "oom_score_adj").read_text())


@pytest.mark.skipif(not LINUX, reason="only Linux has such scores")
def test_workers_go_before_their_supervisor(site: Site) -> None:
    program = site.start_workers(1)
    worker = site.client().submit(score, "self").result(PATIENCE)
    assert worker >= 500
    assert score(str(program.process.pid)) == score("self")
