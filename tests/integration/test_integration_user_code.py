"""The user's own modules, packages to install, versions of Python, and secrets."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dockerparallel import BackendError, DockerCluster, DockerParallelError

SCRIPT = """
import importlib, os, sys
from pathlib import Path
from joblib import Parallel, delayed
from dockerparallel import DockerCluster
import helper, toolbox.inner

here = Path(__file__).parent
with DockerCluster("local-process", "redis-queue", worker_number=2, verbose=0) as cluster:
    def use_all(number):
        import lazily
        return helper.double(number) + toolbox.inner.add_one(number) + lazily.CONSTANT

    assert Parallel()(delayed(use_all)(n) for n in range(6)) == [3 * n + 101 for n in range(6)]
    assert Parallel()(delayed(helper.double)(n) for n in range(4)) == [0, 2, 4, 6]
    with cluster.worker_container.executor() as executor:
        point = executor.submit(helper.Point, 3).result(30)
        assert type(point) is helper.Point and point.x == 3
        error = executor.submit(helper.fail).exception(30)
        assert type(error) is helper.HelperError, error
        assert 'raise HelperError("own module")' in str(error.__cause__)
        assert executor.submit(toolbox.inner.read_data).result(30) == "data of the package"
    text = (here / "helper.py").read_text()
    (here / "helper.py").write_text(text.replace("2 * number", "20 * number"))
    importlib.reload(helper)
    assert Parallel()(delayed(helper.double)(n) for n in range(4)) == [0, 20, 40, 60]
print("all right")
"""

HELPER = """
class Point:
    def __init__(self, x):
        self.x = x

class HelperError(Exception):
    pass

def fail():
    raise HelperError("own module")

def double(number):
    return 2 * number
"""


def test_a_users_own_modules_need_no_step(tmp_path: Path) -> None:
    package = tmp_path / "toolbox"
    package.mkdir()
    files = {
        tmp_path / "script.py": SCRIPT,
        tmp_path / "helper.py": HELPER,
        tmp_path / "lazily.py": "CONSTANT = 100\n",
        package / "__init__.py": "",
        package / "data.txt": "data of the package",
        package / "inner.py": textwrap.dedent(
            """
            from pathlib import Path
            from .deep import ONE

            def add_one(number):
                return number + ONE

            def read_data():
                return (Path(__file__).parent / "data.txt").read_text()
            """
        ),
        package / "deep.py": "ONE = 1\n",
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        # Elsewhere than the script, so that no worker finds the modules in its own folder.
        cwd="/",
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stdout == "all right\n", done.stderr


def make_wheel(folder: Path, name: str, source: str) -> None:
    """Write the smallest wheel there is."""
    files = {
        f"{name}.py": source,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{path},sha256={digest.decode().rstrip('=')},{len(text.encode())}\n"
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", record)


@pytest.fixture
def offline_index(tmp_path: Path) -> dict[str, str]:
    """Serve pip a folder with one package, and nothing else."""
    make_wheel(tmp_path, "dp_test_package", "VALUE = 42\n")
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}


def use_package() -> tuple[int, str]:
    import dp_test_package  # type: ignore[import-not-found]  # workers install it

    return dp_test_package.VALUE, dp_test_package.__file__


def test_pip_packages_go_to_the_cluster_and_not_to_the_user(
    make_cluster: Callable[..., DockerCluster], offline_index: dict[str, str]
) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.state.worker_container.environment.update(offline_index)
    assert cluster.worker_container.get_pip_packages() == []
    cluster.worker_container.add_pip_packages("dp_test_package")
    cluster.start()
    with cluster.worker_container.executor() as executor:
        value, path = executor.submit(use_package).result(60)
    assert value == 42
    assert path.startswith(os.environ["XDG_RUNTIME_DIR"])
    with pytest.raises(ImportError):
        use_package()
    cluster.stop()
    assert not Path(path).exists()


def test_the_installers_own_error_is_shown(
    make_cluster: Callable[..., DockerCluster],
    offline_index: dict[str, str],
    eventually: Callable[..., Any],
) -> None:
    cluster = make_cluster(worker_number=1)
    cluster.state.worker_container.environment.update(offline_index)
    cluster.worker_container.set_pip_packages("dp_no_such_package")
    cluster.start_server()
    cluster.set_worker_number(1)
    eventually(lambda: cluster.worker_numbers().running == 0, "the worker to give up")
    log = str(cluster.cloud_provider.logs())
    assert "No matching distribution found for dp_no_such_package" in log


def test_system_packages_are_refused_on_this_machine(
    make_cluster: Callable[..., DockerCluster], eventually: Callable[..., Any]
) -> None:
    cluster = make_cluster(worker_number=1)
    cluster.worker_container.add_system_packages("hello")
    cluster.start_server()
    cluster.set_worker_number(1)
    eventually(lambda: cluster.worker_numbers().running == 0, "the worker to give up")
    assert "hello" in str(cluster.cloud_provider.logs())


@pytest.mark.parametrize("wrong", ["", "-r requirements.txt", "--index-url=x", "a; rm -rf /", 3])
def test_wrong_package_names_are_refused_at_once(
    wrong: Any, make_cluster: Callable[..., DockerCluster]
) -> None:
    cluster = make_cluster()
    for add in (
        cluster.worker_container.add_pip_packages,
        cluster.worker_container.add_system_packages,
    ):
        with pytest.raises(DockerParallelError):
            add(wrong)
    assert cluster.worker_container.get_pip_packages() == []


def connect(cluster: DockerCluster, password: str | None) -> Any:
    host, port = cluster.server_address_for_client()
    once = Retry(NoBackoff(), 0)
    return redis.Redis(host=host, port=port, password=password, socket_timeout=10, retry=once)


def test_workers_of_another_python_are_told_of_at_registration(
    make_cluster: Callable[..., DockerCluster], eventually: Callable[..., Any]
) -> None:
    cluster = make_cluster(worker_number=1)
    cluster.start()
    # A second interpreter with our packages cannot be assumed here, so a worker of it is made up
    # where workers say who they are.
    server = connect(cluster, cluster.config.server_password)
    with server:
        [key] = [key for key in server.scan_iter() if key.endswith(b":workers")]
        [told] = server.hgetall(key).values()
        version = ".".join(map(str, sys.version_info[:2])).encode()
        assert version in told
        server.hset(key, b"stranger", told.replace(version, b"3.99"))
        cluster.deregister_backend()
        with pytest.raises(BackendError, match=r"3\.99") as caught:
            cluster.register_backend()
        assert version.decode() in str(caught.value)


def test_the_server_answers_only_with_its_password(cluster: DockerCluster) -> None:
    for wrong in (None, "wrong"):
        with connect(cluster, wrong) as server, pytest.raises(redis.RedisError):
            server.ping()
    with connect(cluster, cluster.config.server_password) as server:
        assert server.ping()


@pytest.mark.parametrize("password", ["with space '\"\\ # quotes", "line\nbreak\t", "snow ☃ #1"])
def test_any_password_works(password: str, make_cluster: Callable[..., DockerCluster]) -> None:
    cluster = make_cluster(worker_number=1)
    cluster.config.server_password = password
    cluster.start()
    with cluster.worker_container.executor() as executor:
        assert executor.submit(abs, -1).result(30) == 1


def test_no_process_or_file_shows_the_password(
    cluster: DockerCluster, processes_with: Callable[[str], dict[int, str]]
) -> None:
    password = cluster.config.server_password.encode()
    pids = processes_with(cluster.config.job_queue_name)
    assert len(pids) >= 3
    for pid in pids:
        for name in ("environ", "cmdline"):
            assert password not in Path(f"/proc/{pid}/{name}").read_bytes()
    files = [path for path in Path(os.environ["XDG_RUNTIME_DIR"]).rglob("*") if path.is_file()]
    holders = [path for path in files if password in path.read_bytes()]
    assert holders
    for path in holders:
        assert path.stat().st_mode & 0o077 == 0, path
        assert not path.name.endswith(".log"), path


def test_only_loopback_listens(cluster: DockerCluster) -> None:
    _, port = cluster.server_address_for_client()
    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_wrong_password_is_told_as_such(cluster: DockerCluster) -> None:
    cluster.deregister_backend()
    right = cluster.config.server_password
    cluster.config.server_password = "not the one"
    with pytest.raises(BackendError, match="password") as caught:
        cluster.register_backend()
    assert "not the one" not in str(caught.value)
    cluster.config.server_password = right
    cluster.register_backend()
