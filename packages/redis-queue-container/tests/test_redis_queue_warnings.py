"""Warning filters of the client travel with tasks, also those of packages that workers lack."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from dockerparallel_redis_queue_container.serialization import TaskPickler

PACKAGE = """
class Outer(UserWarning):
    class Inner(DeprecationWarning):
        pass

class Both(RuntimeWarning, ImportWarning):
    pass

class Plain:
    pass
"""

LOAD = """
import pickle, sys
print([f"{found.__module__}.{found.__qualname__}" for found in pickle.load(sys.stdin.buffer)])
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a module that is installed on the client alone, and the folder where it is."""
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "only_on_the_client.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(site))
    import only_on_the_client  # type: ignore[import-not-found]  # made just now

    yield only_on_the_client
    del sys.modules["only_on_the_client"]


def send(objects: list[Any]) -> bytes:
    sent: list[str] = []
    blob = TaskPickler(lambda digest, _: sent.append(digest)).dumps(objects)
    assert not sent, "an installed module is never sent"
    return blob


def loaded_by_a_worker(blob: bytes, path: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD],
        input=blob,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).decode().strip()


def test_a_category_that_the_worker_lacks_becomes_the_built_in_above_it(installed: Any) -> None:
    blob = send([installed.Outer, installed.Outer.Inner, installed.Both, FutureWarning])
    categories = ["UserWarning", "DeprecationWarning", "RuntimeWarning", "FutureWarning"]
    assert loaded_by_a_worker(blob) == str([f"builtins.{name}" for name in categories])


def test_a_category_that_the_worker_has_stays_what_it_is(installed: Any) -> None:
    blob = send([installed.Outer, installed.Outer.Inner])
    site = str(Path(installed.__file__).parent)
    expected = ["only_on_the_client.Outer", "only_on_the_client.Outer.Inner"]
    assert loaded_by_a_worker(blob, site) == str(expected)


def test_another_version_on_the_worker_is_an_error(installed: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "only_on_the_client.py").write_text("")
    assert "has no attribute 'Outer'" in loaded_by_a_worker(send([installed.Outer]), str(other))


def test_other_classes_are_missed(installed: Any) -> None:
    assert "No module named 'only_on_the_client'" in loaded_by_a_worker(send([installed.Plain]))


def test_the_filters_of_a_client_arrive(installed: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", installed.Outer)
        categories = [entry[2] for entry in warnings.filters]
    assert "builtins.UserWarning" in loaded_by_a_worker(send(categories))
