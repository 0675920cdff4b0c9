"""The end of an interpreter that has tasks open: quick, quiet, and without them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis_queue_harness import Site

PREAMBLE = """
import atexit, itertools, sys, threading, time
from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.settings import QueueSettings
{first}
client = QueueClient(
    Endpoint("127.0.0.1", int(sys.argv[1])), sys.argv[2], sys.argv[3], QueueSettings(), 5.0
)
executor = ClusterExecutor(client)
long = executor.submit(time.sleep, 3600)
"""
BURST = "futures = [executor.submit(abs, n) for n in range(5000)]"
LAZY = "results = executor.map(abs, itertools.count(), buffersize=9)\nprint(next(results))"
DAEMON = """
started = threading.Event()
def wait():
    started.set()
    long.result()
threading.Thread(target=wait, daemon=True).start()
started.wait()
"""
THREAD = """
def wait():
    threading.main_thread().join()
    print(executor.submit(abs, -5).result(30), list(executor.map(abs, [-6])))
threading.Thread(target=wait).start()
"""
AT_EXIT = """
@atexit.register
def last():
    for use in (lambda: executor.submit(abs, 1), lambda: executor.map(abs, [1]), long.result):
        try:
            use()
        except RuntimeError as error:
            print(type(error).__name__, str(error)[:45])
"""
AT_EXIT_SAYS = """RuntimeError cannot schedule new futures after interpreter
RuntimeError cannot schedule new futures after interpreter
BrokenClusterError The interpreter ends, and waits for no task o
"""
CALLBACK = "long.add_done_callback(lambda _: print('called'))"


def run_script(site: Site, text: str, first: str = "") -> subprocess.Popen[str]:
    server = site.server
    return subprocess.Popen(
        [
            *(sys.executable, "-W", "error", "-c", PREAMBLE.format(first=first) + text),
            *(str(server.port), server.password, site.name),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("text", "first", "said"),
    [
        pytest.param("", "", "", id="nothing"),
        pytest.param(BURST, "", "", id="burst"),
        pytest.param(LAZY, "", "0\n", id="lazy"),
        pytest.param(DAEMON, "", "", id="daemon"),
        pytest.param(THREAD, "", "5 [6]\n", id="thread"),
        pytest.param("", AT_EXIT, AT_EXIT_SAYS, id="atexit"),
        pytest.param(CALLBACK, "", "", id="callback"),
        pytest.param("executor.shutdown(wait=False)", "", "", id="shutdown"),
        pytest.param(LAZY + "\ndel results, executor, client, long", "", "0\n", id="dropped"),
    ],
)
def test_an_interpreter_ends_with_tasks_open(site: Site, text: str, first: str, said: str) -> None:
    # One sleeps for an hour, and the other takes the rest.
    site.start_workers(2)
    process = run_script(site, text, first)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, said)
    assert not [name for name in site.stored() if name.startswith(("results:", "client:"))]


def test_an_exception_ends_an_interpreter_with_tasks_open(site: Site) -> None:
    process = run_script(site, BURST + "\nraise LookupError('the end')")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith("Traceback")
    assert output.endswith("LookupError: the end\n")
    assert output.count("Traceback") == 1
    assert "Exception" not in output


def test_an_interrupt_ends_an_interpreter_that_waits_for_a_task(site: Site) -> None:
    process = run_script(site, "print('waits', flush=True)\nlong.result()")
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in output
    assert output.count("Traceback") == 1


def test_who_leaves_a_with_block_has_all_results(site: Site, tmp_path: Path) -> None:
    site.start_workers(2)
    text = f"""
from pathlib import Path
long.cancel()
with ClusterExecutor(client) as another:
    for number in range(200):
        another.submit(Path({str(tmp_path)!r}, f"mark-{{number}}").touch)
"""
    process = run_script(site, text)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert len(list(tmp_path.glob("mark-*"))) == 200
