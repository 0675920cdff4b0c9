"""Real supervisors and workers: deaths, orders to stop, and what tasks do to their process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from redis_queue_harness import Program, Server, Site, is_alive, until

from dockerparallel_redis_queue_container import WorkerDiedError, settings
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.keys import key_prefix

SHORT_LEASE = {settings.LEASE: "2", settings.HEARTBEAT: "0.2"}


def wait_for_file(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def mark_and_wait(folder: Path, number: int) -> tuple[int, int]:
    """Say which process runs this, and go on when the test lets it."""
    (folder / f"begun-{number}-{os.getpid()}").touch()
    wait_for_file(folder / "go")
    return number, os.getpid()


def begun(folder: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in folder.glob("begun-*")]


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def test_a_killed_workers_task_runs_elsewhere_and_each_result_comes_once(
    site: Site, marks: Path
) -> None:
    # No lease runs out: it is the supervisor who notices.
    site.environment[settings.LEASE] = "600"
    site.start_workers(2)
    client = site.client()
    futures = [client.submit(mark_and_wait, marks, number) for number in range(20)]
    calls: list[Any] = []
    for future in futures:
        future.add_done_callback(calls.append)
    victim = until(lambda: begun(marks), "a task to run")[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: site.counts().get("died") == 1, "the death to be noticed")
    (marks / "go").touch()
    results = [future.result(30) for future in futures]
    assert [number for number, _ in results] == list(range(20))
    assert victim not in {pid for _, pid in results}
    until(lambda: len(calls) == 20, "the callbacks")
    assert set(calls) == set(futures)
    assert site.counts()["done"] == 20
    # The supervisor has started another one.
    workers = site.wait_for_workers(2)
    assert victim not in {worker["pid"] for worker in workers}


def test_the_death_of_a_supervisor_ends_its_workers_and_moves_their_tasks(
    site: Site, marks: Path
) -> None:
    site.environment |= SHORT_LEASE
    doomed = site.start_workers(1)
    client = site.client()
    future = client.submit(mark_and_wait, marks, 7)
    [worker] = until(lambda: begun(marks), "the task to run")
    os.kill(doomed.process.pid, signal.SIGKILL)
    doomed.process.wait(10)
    until(lambda: not is_alive(worker), "the worker to end itself")
    (marks / "go").touch()
    site.start_workers(1, wait=False)
    assert future.result(30)[0] == 7


def test_a_machine_that_is_gone_is_noticed_by_its_lease(site: Site, marks: Path) -> None:
    site.environment |= SHORT_LEASE
    doomed = site.start_workers(1)
    client = site.client()
    future = client.submit(mark_and_wait, marks, 7)
    [lost] = until(lambda: begun(marks), "the task to run")
    doomed.kill_group()
    (marks / "go").touch()
    site.start_workers(1, wait=False)
    number, pid = future.result(30)
    assert (number, pid == lost) == (7, False)
    assert site.counts()["retried"] == 1


def test_a_worker_that_was_paused_past_its_lease_delivers_nothing_twice(
    site: Site, marks: Path
) -> None:
    site.environment |= SHORT_LEASE
    paused = site.start_workers(1)
    client = site.client()
    future = client.submit(mark_and_wait, marks, 7)
    [slow] = until(lambda: begun(marks), "the task to run")
    os.killpg(paused.process.pid, signal.SIGSTOP)
    try:
        site.start_workers(1, wait=False)
        until(lambda: len(begun(marks)) == 2, "the task to run elsewhere")
    finally:
        os.killpg(paused.process.pid, signal.SIGCONT)
    (marks / "go").touch()
    assert future.result(30)[0] == 7
    site.wait_for_workers(2)
    assert site.counts()["done"] == 1
    assert is_alive(slow)


def hold_the_gil(steps: int) -> int:
    return sum(range(steps))


def test_a_task_that_holds_the_gil_is_not_taken_for_dead(site: Site) -> None:
    site.environment |= SHORT_LEASE
    site.start_workers(1)
    client = site.client()
    steps = 250_000_000
    assert client.submit(hold_the_gil, steps).result(60) == steps * (steps - 1) // 2
    assert site.counts() == {"done": 1}


@pytest.mark.parametrize(
    ("ending", "exit_code", "signal_number"),
    [
        (lambda: os._exit(3), 3, None),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), None, signal.SIGKILL),
    ],
    ids=["exit", "signal"],
)
def test_a_task_that_ends_its_workers_fails_and_the_queue_goes_on(
    site: Site,
    ending: Callable[[], Any],
    exit_code: int | None,
    signal_number: int | None,
) -> None:
    site.start_workers(1)
    client = site.client()
    poison, harmless = client.submit(ending), client.submit(abs, -1)
    with pytest.raises(WorkerDiedError, match="3 attempts") as caught:
        poison.result(30)
    assert caught.value.attempts == 3
    assert caught.value.exit_code == exit_code
    assert caught.value.signal_number == signal_number
    assert harmless.result(30) == 1
    assert site.counts()["died"] == 3


def raise_it(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [SystemExit(5), KeyboardInterrupt(), GeneratorExit("x")])
def test_an_exception_that_ends_programs_is_delivered_and_the_worker_lives(
    site: Site, error: BaseException
) -> None:
    site.start_workers(1)
    client = site.client()
    [worker] = site.queue().workers()
    caught = client.submit(raise_it, error).exception(30)
    assert type(caught) is type(error)
    assert caught.args == error.args
    assert client.submit(os.getpid).result(30) == worker["pid"]


def speak() -> None:
    print("printed by the task")  # noqa: T201  # it is what is tested
    print("to standard error", file=sys.stderr)  # noqa: T201
    logging.getLogger("the.task").info("logged by the task")
    print("no line end", end="")  # noqa: T201


def test_what_a_task_prints_and_logs_is_in_the_log_of_its_worker(site: Site) -> None:
    program = site.start_workers(1)
    [worker] = site.queue().workers()
    site.client().submit(speak).result(30)
    for text in ("printed by the task\n", "to standard error\n", "no line end"):
        assert text in program.log
    [line] = [line for line in program.log.splitlines() if "logged by the task" in line]
    assert worker["id"] in line
    assert "the.task" in line


def cleanly(folder: Path) -> None:
    try:
        (folder / "begun-0-0").touch()
        wait_for_file(folder / "never")
    finally:
        (folder / "cleaned").touch()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_order_to_stop_gives_tasks_back_and_leaves_nothing(
    site: Site, marks: Path, number: signal.Signals
) -> None:
    program = site.start_workers(2)
    client = site.client()
    future = client.submit(cleanly, marks)
    until(lambda: begun(marks), "the task to run")
    os.killpg(program.process.pid, number)
    assert program.end() == 0
    assert (marks / "cleaned").exists()
    assert site.queue().workers() == []
    assert site.queue().numbers().sizes == {"waiting": 1, "running": 0}
    assert site.counts() == {"retried": 1}
    assert list((program.log_file.parent / "tmp").iterdir()) == []
    assert not future.done()


def clean_up_slowly(folder: Path) -> None:
    try:
        (folder / "begun-0-0").touch()
        wait_for_file(folder / "never")
    finally:
        (folder / "cleaning").touch()
        wait_for_file(folder / "go")
        (folder / "cleaned").touch()


def test_a_second_order_to_stop_does_not_break_off_what_a_task_does_at_its_end(
    site: Site, marks: Path
) -> None:
    program = site.start_workers(1)
    [worker] = site.queue().workers()
    site.client().submit(clean_up_slowly, marks)
    until(lambda: begun(marks), "the task to run")
    os.kill(worker["pid"], signal.SIGTERM)
    until((marks / "cleaning").exists, "its end")
    os.kill(worker["pid"], signal.SIGTERM)
    (marks / "go").touch()
    until((marks / "cleaned").exists, "all of its end")
    assert program.end() == 0


def test_a_second_order_to_stop_does_not_break_off_the_last_word(
    own_server: Server, tmp_path: Path
) -> None:
    site = Site(own_server, tmp_path)
    program = site.start_workers(1)
    try:
        [worker] = site.queue().workers()
        idle = key_prefix(site.name) + "idle"
        until(lambda: site.connection.zscore(idle, worker["id"]), "the worker to be idle")
        # Nobody else takes it from among the idle ones meanwhile, and it cannot do so either.
        os.kill(program.process.pid, signal.SIGSTOP)
        site.connection.client_pause(60_000, all=False)
        for _ in range(3):
            os.kill(worker["pid"], signal.SIGTERM)
            until(lambda: ignores_sigterm(worker["pid"]), "the worker to listen no more")
        assert is_alive(worker["pid"])
        site.connection.client_unpause()
        until(lambda: not is_alive(worker["pid"]), "the worker to end")
        assert site.connection.zscore(idle, worker["id"]) is None
    finally:
        os.kill(program.process.pid, signal.SIGCONT)
        site.close()


def stubborn(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / "begun-0-0").touch()
    wait_for_file(folder / "never")


def test_a_task_that_ignores_the_order_to_stop_is_killed(site: Site, marks: Path) -> None:
    site.environment[settings.STOP_GRACE] = "0.2"
    program = site.start_workers(1)
    site.client().submit(stubborn, marks)
    until(lambda: begun(marks), "the task to run")
    assert program.end() == 0


def names_in_environment() -> list[str]:
    return [name for name, text in os.environ.items() if "secret-of-the-queue" in text]


def test_a_task_is_not_shown_the_password(own_server: Server, tmp_path: Path) -> None:
    own_server.kill()
    own_server.password = "secret-of-the-queue"
    own_server.start()
    site = Site(own_server, tmp_path)
    try:
        program = site.start_workers(1)
        assert site.client().submit(names_in_environment).result(30) == []
        assert "secret-of-the-queue" not in program.log
        for pid in program.members():
            assert b"secret-of-the-queue" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    finally:
        site.close()


def test_workers_end_when_the_server_stays_away(own_server: Server, tmp_path: Path) -> None:
    site = Site(own_server, tmp_path)
    program = site.start_workers(1, {settings.SERVER_WAIT: "1"})
    own_server.kill()
    try:
        assert program.process.wait(30) == 1
        until(lambda: not program.members(), "the workers to end")
        assert f"127.0.0.1:{own_server.port}" in program.log
    finally:
        site.close()


def test_a_server_that_is_gone_is_not_waited_for_at_the_end(
    own_server: Server, tmp_path: Path
) -> None:
    site = Site(own_server, tmp_path)
    program = site.start_workers(1)
    own_server.kill()
    try:
        until(lambda: "did not take the heartbeat" in program.log, "the supervisor to notice")
        assert program.end() == 0
        assert "All workers have ended" in program.log
        assert "was not told" not in program.log
    finally:
        site.close()


def test_workers_survive_a_restart_of_the_server(own_server: Server, tmp_path: Path) -> None:
    site = Site(own_server, tmp_path)
    try:
        program = site.start_workers(1)
        before = site.queue().workers()[0]["id"]
        own_server.kill()
        own_server.start()
        site.wait_for_workers(1)
        assert site.client().submit(abs, -1).result(30) == 1
        assert site.queue().workers()[0]["id"] == before
        assert program.process.poll() is None
    finally:
        site.close()


def test_an_order_to_stop_is_heard_while_the_server_is_waited_for(site: Site) -> None:
    program = site.start_workers(1, {settings.SERVER_PORT: "1"}, wait=False)
    until(lambda: catches_sigterm(program), "its handler")
    assert program.end() == 0


def catches_sigterm(program: Program) -> bool:
    return is_sigterm_in("SigCgt", program.process.pid)


def ignores_sigterm(pid: int) -> bool:
    return is_sigterm_in("SigIgn", pid)


def is_sigterm_in(field: str, pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(field)]
    return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def failed(program: Program) -> str:
    assert program.process.wait(30) == 1
    until(lambda: not program.members(), "all to end")
    return program.log


def test_workers_without_a_server_end_with_a_clear_message(site: Site) -> None:
    program = site.start_workers(
        1, {settings.SERVER_PORT: "1", settings.SERVER_WAIT: "0.5"}, wait=False
    )
    assert "No connection to the server at 127.0.0.1:1 within 0.5 s" in failed(program)


def test_workers_with_a_wrong_password_end_at_once(site: Site) -> None:
    program = site.start_workers(1, {settings.PASSWORD: "something-else"}, wait=False)
    log = failed(program)
    assert "refused the password" in log
    assert "something-else" not in log


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (settings.PASSWORD, "", "never used without a password"),
        (settings.WORKER_NUMBER, "0", "must be a whole number from 1, not '0'"),
        (settings.SERVER_PORT, "http", "must be a port from 1 to 65535, not 'http'"),
        (settings.JOB_QUEUE_NAME, "", f"{settings.JOB_QUEUE_NAME} is not set"),
        (settings.LEASE, "1", "more than half of"),
        (settings.PIP_PACKAGES, "numpy", "must be a JSON list of strings"),
        (settings.PIP_PACKAGES, '["--pre"]', "options are not taken"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    site: Site, name: str, text: str, message: str
) -> None:
    program = site.start_workers(1, {name: text}, wait=False)
    assert message in failed(program)


def test_a_package_that_cannot_be_installed_stops_the_workers(site: Site, tmp_path: Path) -> None:
    program = site.start_workers(
        1,
        {
            settings.PIP_PACKAGES: '["no-such-package-anywhere"]',
            "DOCKERPARALLEL_PACKAGES_DIR": str(tmp_path / "packages"),
            "PIP_NO_INDEX": "1",
        },
        wait=False,
    )
    assert "no-such-package-anywhere" in failed(program)
    assert site.queue().workers() == []


def nested(backend: str | None) -> list[tuple[int, bool]]:
    def where(_: int) -> tuple[int, bool]:
        return os.getpid(), True

    parallel = joblib.Parallel(n_jobs=4, backend=backend)
    found: list[tuple[int, bool]] = parallel(joblib.delayed(where)(n) for n in range(4))
    return found


def test_a_task_that_names_the_backend_itself_computes_where_it_is(site: Site) -> None:
    site.start_workers(1)
    [worker] = site.queue().workers()
    client: QueueClient = site.client()
    found = client.submit(nested, "redis-queue").result(60)
    assert {pid for pid, _ in found} == {worker["pid"]}


def test_a_worker_whose_start_fails_again_and_again_is_given_up(site: Site, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    # Runs in every Python; only the forked workers of the supervisor are hit.
    (hooks / "sitecustomize.py").write_text(
        "import os\nos.register_at_fork(after_in_child=lambda: os._exit(9))\n"
    )
    program = site.start_workers(1, {"PYTHONPATH": str(hooks)}, wait=False)
    log = failed(program)
    assert "5 workers in a row ended before they were ready" in log
    assert "exit code 9" in log
