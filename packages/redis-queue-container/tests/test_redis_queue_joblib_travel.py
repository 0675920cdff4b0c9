"""What joblib users send to workers: arrays, functions of a session, models."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed, parallel_config
from redis_queue_harness import Site, cluster_on

from dockerparallel import DockerCluster
from dockerparallel_redis_queue_container import code_shipping, source_bundle


@pytest.fixture
def cluster(site: Site) -> Iterator[DockerCluster]:
    """Register a cluster with three workers."""
    site.start_workers(3)
    with cluster_on(site, worker_number=3) as cluster:
        yield cluster


def test_memory_maps_arrive_as_arrays(cluster: DockerCluster, tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    np.arange(100_000.0).tofile(tmp_path / "numbers")
    mapped = np.memmap(tmp_path / "numbers", dtype=float, mode="r")

    def look(array: Any) -> tuple[str, float]:
        return type(array).__name__, float(array.sum())

    arrays = [mapped, mapped[10:20], mapped[::7], mapped.reshape(100, 1000).T]
    assert Parallel(max_nbytes=1)(delayed(look)(array) for array in arrays) == [
        ("ndarray", float(array.sum())) for array in arrays
    ]
    nested = Parallel()(delayed(lambda part: look(part["x"]))({"x": mapped}) for _ in range(2))
    assert nested == [("ndarray", float(mapped.sum()))] * 2


def test_what_is_made_on_the_spot_travels(cluster: DockerCluster) -> None:
    offset = 3

    class Number:
        def __init__(self, value: int) -> None:
            self.value = value

        def more(self, by: int) -> int:
            return self.value + by

    def closure(value: int) -> int:
        return value + offset

    assert Parallel()(delayed(closure)(n) for n in range(4)) == [3, 4, 5, 6]
    assert Parallel()(delayed(lambda n: n * offset)(n) for n in range(4)) == [0, 3, 6, 9]
    assert Parallel()(delayed(functools.partial(pow, 2))(n) for n in range(4)) == [1, 2, 4, 8]
    assert Parallel()(delayed(Number(n).more)(1) for n in range(4)) == [1, 2, 3, 4]


def test_an_edit_counts_from_the_next_call_on(
    cluster: DockerCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "edited.py").write_text("def get(_):\n    return 1\n")
    edited = importlib.import_module("edited")
    del sys.modules["edited"]
    monkeypatch.setitem(sys.modules, "edited", edited)
    # Else no file is trusted that was written just now, and none for longer than a moment.
    monkeypatch.setattr(source_bundle, "_settled_ns", lambda _: 0)
    monkeypatch.setattr(code_shipping, "time", SimpleNamespace(monotonic=lambda: 1000.0))

    def numbers() -> Iterator[int]:
        yield from range(3)
        (tmp_path / "edited.py").write_text("def get(_):\n    return 20\n")
        yield from range(3)

    with Parallel(n_jobs=3, batch_size=1, pre_dispatch=1) as parallel:
        assert parallel(delayed(edited.get)(n) for n in numbers()) == [1] * 6
        assert parallel(delayed(edited.get)(n) for n in range(3)) == [20] * 3


def test_functions_of_a_session_without_a_file_travel(cluster: DockerCluster, site: Site) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from joblib import Parallel, delayed
        from redis_queue_harness import Server, Site, cluster_on
        from pathlib import Path
        site = Site(Server(Path(), {site.server.port}, {site.server.password!r}), Path())
        site.name = {site.name!r}
        exec(compile('''
        class Number:
            def __init__(self, value):
                self.value = value
        factor = 2
        def double(number):
            return Number(factor * number.value)
        ''', "<ipython-input-1>", "exec"), globals())
        with cluster_on(site, worker_number=3):
            for factor in (2, 3):
                found = Parallel()(delayed(double)(Number(n)) for n in range(3))
                print([number.value for number in found])
        site.close()
    """
    lines = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["[0, 2, 4]", "[0, 3, 6]"], done.stderr


def count_and_square(folder: Path, number: int) -> int:
    with (folder / "calls").open("a") as calls:
        calls.write(f"{number}\n")
    return number * number


def test_cached_functions_compute_once(cluster: DockerCluster, tmp_path: Path) -> None:
    cached = joblib.Memory(tmp_path / "cache", verbose=0).cache(count_and_square)
    for _ in range(2):
        assert Parallel()(delayed(cached)(tmp_path, n) for n in range(5)) == [0, 1, 4, 9, 16]
    assert sorted((tmp_path / "calls").read_text().split()) == list("01234")


def test_progress_is_printed(cluster: DockerCluster, capsys: pytest.CaptureFixture[str]) -> None:
    Parallel(n_jobs=2, verbose=20)(delayed(abs)(n) for n in range(5))
    shown = capsys.readouterr().err
    assert "Using backend RedisQueueBackend with 2 concurrent workers" in shown
    assert "Done   5 out of   5" in shown


def test_scikit_learn_computes_on_the_cluster(cluster: DockerCluster, site: Site) -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV, cross_val_score

    features, labels = make_classification(120, random_state=0)
    forest = RandomForestClassifier(10, random_state=0, n_jobs=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = GridSearchCV(forest, {"max_depth": [2, 4]}, n_jobs=-1).fit(features, labels)
        scores = cross_val_score(forest, features, labels, n_jobs=-1)
        found = forest.fit(features, labels).predict(features)
    assert site.counts()["done"] > 0
    with parallel_config(backend="sequential"):
        alone = GridSearchCV(forest, {"max_depth": [2, 4]}).fit(features, labels)
        assert search.best_score_ == alone.best_score_
        assert list(scores) == list(cross_val_score(forest, features, labels))
        assert list(found) == list(forest.fit(features, labels).predict(features))
