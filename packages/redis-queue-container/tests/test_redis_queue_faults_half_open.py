"""Connections whose other end answers no packet any more: the system's own timers notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis_queue_harness import PATIENCE

pytestmark = pytest.mark.faults

# In a network of its own, whose only device is then switched off: every packet is lost.
SCRIPT = """
import ctypes, fcntl, os, socket, struct, sys, threading
from pathlib import Path
user, net = os.getuid(), 0x40000000
flags = net if user == 0 else net | 0x10000000
if ctypes.CDLL(None, use_errno=True).unshare(flags):
    sys.exit(77)

def switch(on):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", on))

try:
    switch(1)
except PermissionError:
    sys.exit(77)

import redis
from redis_queue_harness import Server
from dockerparallel_redis_queue_container.blob_link import BlobLink
from dockerparallel_redis_queue_container.connection import connect
from dockerparallel_redis_queue_container.hot_line import HotLine

server = Server(Path(sys.argv[1])).start()
try:
    # Far longer than the system takes: what ends them is not our own time limit.
    source = connect(server.endpoint, server.password, timeout=600)
    waiting, sending = HotLine(source), HotLine(source)
    link = BlobLink(server.endpoint, server.password, 600)
    assert waiting.command("PING") and sending.command("PING") and link.get("none") is None
    ended = []

    def expect_end(command, *arguments):
        try:
            command(*arguments)
        except (redis.RedisError, OSError):
            ended.append(arguments[0])

    threads = [
        threading.Thread(target=expect_end, args=arguments)
        for arguments in (
            (waiting.command, "BLPOP", "x", 0),
            (sending.command, "SET", "x", "y"),
            (link.put, "large", bytes(10**7), 60),
        )
    ]
    threads[0].start()
    while not server.connect().info("clients")["blocked_clients"]:
        pass
    switch(0)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ended) == ["BLPOP", "SET", "large"], ended
    switch(1)
    for line in (waiting, sending):
        assert line.command("PING")
    link.put("x", b"y", 60)
finally:
    server.program.kill_group()
"""


def test_a_connection_without_another_end_fails_and_is_made_anew(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this system gives a process no network of its own")
    assert done.returncode == 0, done.stderr
