"""Stopping by itself: dropped handles, the interpreter's exit, signals, forks.

The clusters run in child processes, whose platform is a file of lines.
"""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_fakes import MemoryContainer, MemoryProvider, Platform

from dockerparallel import DockerCluster

PREAMBLE = """
import os, signal, sys, threading, time, warnings
sys.path.insert(0, {tests!r})
from core_fakes import MemoryContainer, MemoryProvider, Platform
from dockerparallel import DockerCluster

class Provider(MemoryProvider):
    def _note(self, call):
        if call != "server_status":
            with open({notes!r}, "a") as file:
                file.write(call + "\\n")
        super()._note(call)

def make(**options):
    provider = Provider(Platform(), **options.pop("provider", {{}}))
    container = MemoryContainer(image="image")
    return DockerCluster(provider, container, verbose=0, **options)
"""

STOPPED = ["set_worker_number(0)", "stop_server", "cleanup(deep=False)"]


class Client:
    """A client process that runs a script, and what its provider was asked."""

    def __init__(self, folder: Path) -> None:
        self.notes = folder / "notes"
        self.script = folder / "client.py"

    def start(self, body: str) -> subprocess.Popen[str]:
        tests = str(Path(__file__).parent)
        preamble = PREAMBLE.format(tests=tests, notes=str(self.notes))
        self.script.write_text(preamble + textwrap.dedent(body), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, str(self.script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, body: str) -> tuple[int, str]:
        with self.start(body) as process:
            _, errors = process.communicate(timeout=60)
        return process.returncode, errors

    @property
    def calls(self) -> list[str]:
        return self.notes.read_text(encoding="utf-8").split("\n")[:-1]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise ValueError('a bug of the user')", 1),
        ("del cluster", 0),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 143),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
    ],
)
def test_the_cluster_stops_however_the_client_ends(ending: str, code: int, client: Client) -> None:
    returned, errors = client.run(f"cluster = make()\ncluster.start()\n{ending}")
    assert client.calls[-3:] == STOPPED
    assert returned == code, errors


def test_sigterm_from_outside_stops_the_cluster(client: Client) -> None:
    process = client.start(
        "cluster = make()\ncluster.start()\nprint(1, flush=True)\ntime.sleep(60)"
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert client.calls[-3:] == STOPPED


def test_a_sigterm_handler_of_the_program_stays(client: Client) -> None:
    code, errors = client.run(
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        cluster = make()
        cluster.start()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """
    )
    assert code == 7, errors
    assert client.calls[-3:] == STOPPED


def test_sigterm_without_a_running_cluster_ends_the_process_as_ever(client: Client) -> None:
    code, _ = client.run(
        """
        cluster = make()
        cluster.start()
        cluster.stop()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """
    )
    assert code == -signal.SIGTERM


def test_no_handler_is_installed_off_the_main_thread(client: Client) -> None:
    code, errors = client.run(
        """
        cluster = make()
        thread = threading.Thread(target=cluster.start)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        """
    )
    assert code == 0, errors
    assert client.calls[-3:] == STOPPED


@pytest.mark.parametrize(
    "ending", ["sys.exit(0)", "os._exit(0)", "raise ValueError", "del cluster; sys.exit(0)"]
)
def test_a_forked_child_that_ends_leaves_the_cluster_alone(ending: str, client: Client) -> None:
    code, errors = client.run(
        f"""
        cluster = make()
        with cluster:
            if os.fork() == 0:
                {ending}
            os.wait()
            assert "stop_server" not in open({str(client.notes)!r}).read()
        """
    )
    assert code == 0, errors
    assert client.calls[-3:] == STOPPED
    assert client.calls.count("stop_server") == 1


def test_sigterm_ends_a_forked_child_as_ever(client: Client) -> None:
    code, errors = client.run(
        f"""
        cluster = make()
        cluster.start()
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(tell, b"1")
            time.sleep(60)
            os._exit(1)
        # CPython drops a signal that arrives before the child is whole.
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert "stop_server" not in open({str(client.notes)!r}).read()
        """
    )
    assert code == 0, errors


def test_stop_on_exit_false_leaves_the_cluster_running(client: Client) -> None:
    code, errors = client.run("cluster = make()\ncluster.start()\ncluster.stop_on_exit = False")
    assert code == 0, errors
    assert "stop_server" not in client.calls


def test_an_error_at_exit_is_a_warning(client: Client) -> None:
    code, errors = client.run(
        "cluster = make(provider={'fail': ('stop_server',)})\ncluster.start()"
    )
    assert code == 0
    assert "RuntimeWarning" in errors
    assert "stop_server failed" in errors
    assert client.calls[-1] == "stop_server"


def test_dropping_the_last_reference_stops_the_cluster(
    make_cluster: Callable[..., DockerCluster], platform: Platform
) -> None:
    cluster = make_cluster()
    cluster.start()
    bound: Any = cluster.cloud_provider.where
    reference = weakref.ref(cluster)
    del cluster
    gc.collect()
    assert reference() is not None, "an exported function keeps its cluster"
    assert platform.servers
    del bound
    # Without a collection: nothing of ours is in a cycle with the handle.
    assert reference() is None
    assert platform.servers == {}


def test_an_extension_that_keeps_the_handle_is_named(
    make_cluster: Callable[..., DockerCluster],
    platform: Platform,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Keeping(MemoryProvider):
        def initialize(self, cluster: DockerCluster) -> None:
            self.kept = cluster

    cluster = make_cluster(provider=Keeping(platform))
    cluster.start()
    assert "Keeping.kept keeps the cluster" in caplog.text
    cluster.stop()


def test_a_failed_start_keeps_no_handle(
    make_cluster: Callable[..., DockerCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryContainer, "fail", ("register",))
    cluster = make_cluster()
    with pytest.raises(RuntimeError):
        cluster.start()
    reference = weakref.ref(cluster)
    del cluster
    gc.collect()
    assert reference() is None
