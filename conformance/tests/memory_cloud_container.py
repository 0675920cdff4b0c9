"""Containers of the memory cloud: groups of processes that its process forks.

The process that forks has no other thread, so that a fork is safe.
"""

from __future__ import annotations

import functools
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from memory_tasks import WORKERS, run_server, run_worker

from dockerparallel.environment import SECRETS_DIR_VARIABLE

Ready = Callable[[], object]
Main = Callable[[Ready, socket.socket | None], None]

_KILL_SECONDS = 5.0
_PAUSE_SECONDS = 0.0005
_LOG_LINES = 5
# What an image has in its environment, as it were.
_BASE_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG")


def _workers(environment: Mapping[str, str]) -> int:
    text = environment.get(WORKERS, "")
    # A container that was not told its number starts all the same, and ends with an error.
    return int(text) if text.isdecimal() else 1


IMAGES: dict[str, tuple[Main, Callable[[Mapping[str, str]], int]]] = {
    "memory-server": (run_server, lambda _environment: 1),
    "memory-worker": (run_worker, _workers),
}
"""By the name of an image, what each of its processes runs and how many there are."""


@dataclass
class Container:
    """A container of one process or more; it has stopped when one of them has ended.

    Its processes are all children of this one, which so learns of every end, and one group, which
    is killed at once. It initializes until each process has said that it is ready.
    """

    id: str
    cluster_name: str
    role: str
    image: str
    environment: dict[str, str]
    labels: dict[str, str]
    port: int | None
    folder: Path
    processes: list[int] = field(default_factory=list)
    ended: str = ""
    _ready_pipe: int = -1
    _ready: int = 0

    def start(
        self,
        secrets: Mapping[str, str],
        command: list[str] | None,
        listener: socket.socket | None,
        life: int,
    ) -> None:
        """Fork the processes; ``life`` is a pipe that ends with the platform."""
        secrets_folder = self.folder / "secrets"
        secrets_folder.mkdir(mode=0o700, parents=True)
        for name, secret in secrets.items():
            (secrets_folder / name).write_bytes(secret.encode())
        self._ready_pipe, pipe = os.pipe()
        kept = {life, pipe}
        if listener is not None and command is None:
            # A command listens by itself.
            kept.add(listener.fileno())
        ready = functools.partial(os.write, pipe, b"r")
        try:
            for body in self._bodies(command, listener, life, ready):
                pid = os.fork()
                if pid == 0:
                    self._be_process(body, kept)
                # It may have done that itself, and run its command already.
                with suppress(PermissionError):
                    os.setpgid(pid, self.processes[0] if self.processes else pid)
                self.processes.append(pid)
        finally:
            os.close(pipe)

    def _bodies(
        self,
        command: list[str] | None,
        listener: socket.socket | None,
        life: int,
        ready: Ready,
    ) -> list[Callable[[], object]]:
        """Return what each process runs."""
        if command is not None:
            # A command knows nothing of the platform: another process ends it in time.
            return [
                functools.partial(_end_with, life, ready),
                functools.partial(_execute, command, ready),
            ]
        main, number = IMAGES[self.image]
        body = functools.partial(_run_image, main, life, ready, listener)
        return [body] * number(self.environment)

    def status(self) -> str:
        """Return the value of the container's ``Status``."""
        if self.ended:
            return "stopped"
        if select.select([self._ready_pipe], [], [], 0)[0]:
            self._ready += len(os.read(self._ready_pipe, len(self.processes)))
        return "running" if self._ready >= len(self.processes) else "initializing"

    def look(self) -> None:
        """Notice if a process has ended, and end the others."""
        for pid in [] if self.ended else self.processes:
            # Not reaped yet, so that nobody else gets the number of its group.
            end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end is not None:
                how = "exit code" if end.si_code == os.CLD_EXITED else "signal"
                self.end(f"ended by itself with {how} {end.si_status}{self._log()}")
                return

    def end(self, why: str) -> bool:
        """Kill all processes, remove the secrets, and tell whether they are gone; idempotent."""
        if self.ended:
            return True
        if self.processes:
            os.killpg(self.processes[0], signal.SIGKILL)
        deadline = time.monotonic() + _KILL_SECONDS
        while self.processes:
            living = [pid for pid in self.processes if os.waitpid(pid, os.WNOHANG) == (0, 0)]
            self.processes = living
            if living and time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS if living else 0)
        os.close(self._ready_pipe)
        self.ended = why
        shutil.rmtree(self.folder / "secrets")
        return True

    def _log(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return ". The end of its log: " + " | ".join(lines) if lines else ""

    # In the new process ---------------------------------------------------------------------

    def _be_process(self, body: Callable[[], object], kept: set[int]) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, self.processes[0] if self.processes else 0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._redirect()
            # Or connections of the platform, and ports of dead servers, would stay open.
            open_ones = {int(entry.name) for entry in Path("/dev/fd").iterdir()}
            for descriptor in open_ones - {0, 1, 2} - kept:
                with suppress(OSError):  # The one by which the folder was read.
                    os.close(descriptor)
            self._enter()
            body()
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends here, whatever it is
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Not the way out of the platform's process, whose copy this is.
            os._exit(code)

    def _redirect(self) -> None:
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
            os.dup2(source, target)

    def _enter(self) -> None:
        os.chdir(self.folder)
        base = {name: os.environ[name] for name in _BASE_VARIABLES if name in os.environ}
        os.environ.clear()
        os.environ.update(base | self.environment)
        os.environ[SECRETS_DIR_VARIABLE] = str(self.folder / "secrets")


def _run_image(main: Main, life: int, ready: Ready, listener: socket.socket | None) -> None:
    threading.Thread(target=_end_with, args=(life, lambda: None), daemon=True).start()
    main(ready, listener)


def _execute(command: list[str], ready: Ready) -> None:
    ready()
    os.execvpe(command[0], command, os.environ)  # noqa: S606 - no shell is meant


def _end_with(life: int, ready: Ready) -> None:
    """End the container when the platform ends; nothing is ever written to the pipe."""
    ready()
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)
