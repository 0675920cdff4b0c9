"""The end of a dead worker's log, as the error that tells of the death carries it."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from redis_queue_harness import Site

from dockerparallel_redis_queue_container import WorkerDiedError, settings
from dockerparallel_redis_queue_container.log_tail import LogTail

KEPT = 4096


def death_of(
    site: Site, *call: object, environment: dict[str, str] | None = None
) -> tuple[str, WorkerDiedError]:
    """Run a deadly task once; returns the log and the error."""
    program = site.start_workers(1, {settings.MAX_ATTEMPTS: "1", **(environment or {})})
    error = site.client().submit(*call).exception(30)  # type: ignore[arg-type]
    assert isinstance(error, WorkerDiedError)
    return program.log, error


def speak_and_end(unfinished: str) -> None:
    print("printed by the task: ä")  # noqa: T201  # it is what is tested
    print("to standard error", file=sys.stderr)  # noqa: T201
    logging.getLogger("the.task").info("logged by the task")
    sys.stdout.write(unfinished)
    os._exit(3)


def test_what_a_task_wrote_before_it_ended_its_worker_is_in_the_error(site: Site) -> None:
    # Python takes an empty value for none.
    buffered = {"PYTHONUNBUFFERED": ""}
    log, error = death_of(site, speak_and_end, "in no line", environment=buffered)
    first, second, third = error.log_tail.splitlines()[-3:]
    assert (first, second) == ("printed by the task: ä", "to standard error")
    assert "the.task: logged by the task" in third
    assert str(error).endswith(error.log_tail)
    assert error.exit_code == 3
    # Keeping it has taken nothing from the log.
    assert error.log_tail in log


def test_python_without_buffers_keeps_also_an_unfinished_line(site: Site) -> None:
    unbuffered = {"PYTHONUNBUFFERED": "1"}
    log, error = death_of(site, speak_and_end, "no line end", environment=unbuffered)
    assert error.log_tail.endswith("\nno line end")
    assert error.log_tail in log


def speak_much_and_end() -> None:
    for number in range(10_000):
        print(f"line {number}")  # noqa: T201  # it is what is tested
    os.kill(os.getpid(), signal.SIGKILL)


def test_of_a_long_log_the_last_whole_lines_are_in_the_error(site: Site) -> None:
    log, error = death_of(site, speak_much_and_end)
    lines = error.log_tail.splitlines()
    assert lines == [f"line {number}" for number in range(10_000 - len(lines), 10_000)]
    assert KEPT - 20 < len(error.log_tail) <= KEPT
    assert "line 0\n" in log


def crash() -> None:
    print("about to crash")  # noqa: T201  # it is what is tested
    ctypes.string_at(0)


def test_a_crash_of_native_code_is_in_the_error_and_in_the_log(site: Site) -> None:
    log, error = death_of(site, crash)
    assert error.signal_number == signal.SIGSEGV
    for text in ("about to crash", "Segmentation fault", "in crash"):
        assert text in error.log_tail
        assert text in log


def end_quietly() -> None:
    os._exit(4)


def speak() -> None:
    print("said by the other worker")  # noqa: T201  # it is what is tested


def test_what_other_workers_wrote_is_not_in_the_error(site: Site) -> None:
    client = site.client()
    other = site.start_workers(1)
    client.submit(speak).result(30)
    assert other.end() == 0
    _, error = death_of(site, end_quietly)
    assert "said by the other worker" not in error.log_tail


@pytest.mark.parametrize("seed", range(5))
def test_the_end_is_kept_whatever_the_lengths_are(tmp_path: Path, seed: int) -> None:
    lengths = random.Random(seed)  # noqa: S311  # texts to write
    tail, written = LogTail(tmp_path), ""
    try:
        for _ in range(200):
            size = lengths.choice([0, 1, 7, 100, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT])
            text = "".join(lengths.choices("abc\n", k=lengths.randint(0, size)))
            written += text
            tail.add(memoryview(text.encode()))
            expected = written[-KEPT:]
            if len(written) > KEPT:
                expected = expected.partition("\n")[2] or expected
            assert tail.text() == expected.strip("\n")
    finally:
        tail.close()


def test_text_that_is_no_utf_8_or_only_one_long_line_is_shown(tmp_path: Path) -> None:
    tail = LogTail(tmp_path)
    try:
        tail.add(memoryview(b"\xff" * 3))
        assert tail.text() == "\ufffd" * 3
        tail.add(memoryview(b"x" * 2 * KEPT))
        assert tail.text() == "x" * KEPT
    finally:
        tail.close()
    assert list(tmp_path.iterdir()) == []
