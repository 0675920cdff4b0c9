"""How many workers share a container, and hardware that an engine cannot give."""

from __future__ import annotations

import pytest

from dockerparallel import DockerHardware, InvalidValueError
from dockerparallel_local_docker_provider.packing import (
    check_room,
    nano_cpus,
    shares,
    workers_per_container,
)
from dockerparallel_local_docker_provider.records import EngineSize

SIZE = EngineSize(cores=4, memory_mib=8000)


@pytest.mark.parametrize(
    ("cpu", "memory", "most", "expected"),
    [
        (1024, 1000, 1, 1),
        (1024, 1000, 3, 3),
        (1024, 1000, 10, 4),  # the cores
        (512, 2000, 10, 4),  # the memory
        (512, 1000, 10, 8),  # both
        (1, 6, 10_000, 1333),
        (4096, 8000, 10, 1),
        (3000, 10, 10, 1),
    ],
)
def test_workers_of_one_container(cpu: int, memory: int, most: int, expected: int) -> None:
    hardware = DockerHardware(cpu=cpu, memory=memory)
    assert workers_per_container(hardware, most, SIZE) == expected


@pytest.mark.parametrize(
    ("workers", "each", "expected"),
    [(1, 1, [1]), (3, 1, [1, 1, 1]), (7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 5, [2])],
)
def test_shares(workers: int, each: int, expected: list[int]) -> None:
    assert shares(workers, each) == expected


@pytest.mark.parametrize(
    ("cpu", "workers", "expected"),
    [(1024, 1, 10**9), (512, 1, 5 * 10**8), (256, 3, 75 * 10**7), (1, 1, 976_562), (1024, 2, 2e9)],
)
def test_share_of_the_cores(cpu: int, workers: int, expected: int) -> None:
    assert nano_cpus(DockerHardware(cpu=cpu), workers) == expected


@pytest.mark.parametrize(
    ("cpu", "memory", "message"),
    [
        (4097, 100, r"worker_cpu=4097 asks for 4\.\d+ cores, and the .* has 4: .* at most 4096\."),
        (8192, 100, r"worker_cpu=8192 asks for 8 cores"),
        (1024, 8001, r"worker_memory=8001 asks for 8001 MiB: the Docker engine has 8000 MiB"),
        (1024, 5, r"worker_memory=5 asks for 5 MiB: .* takes no limit below 6\."),
    ],
)
def test_what_the_engine_cannot_give_is_refused(cpu: int, memory: int, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        check_room("worker", DockerHardware(cpu=cpu, memory=memory), SIZE)


@pytest.mark.parametrize(("cpu", "memory"), [(4096, 8000), (1, 6)])
def test_the_bounds_themselves_are_taken(cpu: int, memory: int) -> None:
    check_room("server", DockerHardware(cpu=cpu, memory=memory), SIZE)
