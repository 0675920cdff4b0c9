"""Wrong input is refused at once, each kind with a message of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from core_fakes import MemoryContainer, MemoryProvider, Platform

from dockerparallel import (
    DockerCluster,
    DockerHardware,
    DockerParallelError,
    ExternalServer,
    cluster_preset,
)


def cluster(**options: Any) -> DockerCluster:
    options.setdefault("provider", MemoryProvider(Platform()))
    options.setdefault("worker_container", MemoryContainer(image="image"))
    return DockerCluster(**{"verbose": 0, **options})


def container(**fields: Any) -> DockerCluster:
    return cluster(worker_container=MemoryContainer(**{"image": "image", **fields}))


def config(name: str, value: object) -> None:
    setattr(cluster().config, name, value)


# What is done, the built-in that a caller would catch, and what the message must say.
WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: cluster(provider=None), ValueError, "no provider: pass provider="),
    (lambda: cluster(worker_container=None), ValueError, "no container: pass worker_container="),
    (lambda: cluster(provider=3), TypeError, "provider must be a CloudProvider.*not 3"),
    (lambda: cluster(provider=MemoryProvider), TypeError, "MemoryProvider"),
    (lambda: cluster(provider="nowhere"), LookupError, "No provider 'nowhere' is installed"),
    (lambda: cluster(worker_container="nothing"), LookupError, "No container 'nothing'"),
    (lambda: cluster(worker_container=object()), TypeError, "worker_container must be"),
    (lambda: cluster(server_container="x"), TypeError, "server_container must be.*'x'"),
    (lambda: cluster(private_server="1.2.3.4"), TypeError, "private_server.*'1.2.3.4'"),
    (lambda: cluster(worker_number=-1), ValueError, "worker number must be at least 0, not -1"),
    (lambda: cluster(worker_number=1.5), TypeError, "worker number must be a whole.*not 1.5"),
    (lambda: cluster(worker_number=True), TypeError, "worker number.*not True"),
    (lambda: cluster(worker_number="4"), TypeError, "worker number.*not '4' of type str"),
    (lambda: cluster(worker_cpu=0), ValueError, "cpu must be at least 1, not 0 .1024 units"),
    (lambda: cluster(worker_memory="2 GB"), TypeError, "memory must be.*'2 GB'.*MiB"),
    (lambda: cluster(server_hardware_id=7), TypeError, "id must be a string, not 7"),
    (lambda: cluster(job_queue_name=""), ValueError, "job_queue_name ''"),
    (lambda: cluster(job_queue_name="a b"), ValueError, "job_queue_name 'a b'"),
    (lambda: cluster(job_queue_name="-a"), ValueError, "job_queue_name '-a'"),
    (lambda: cluster(job_queue_name="a" * 64), ValueError, "at most 63"),
    (lambda: cluster(job_queue_name=7), TypeError, "job_queue_name must be a string, not 7"),
    (lambda: cluster(stop_on_exit="no"), TypeError, "stop_on_exit must be True or False"),
    (lambda: cluster(verbose=3), ValueError, "verbose must be from 0 to 2, not 3"),
    (lambda: setattr(cluster(), "verbose", "loud"), TypeError, "verbose must be.*'loud'"),
    (lambda: setattr(cluster(), "server_timeout", 0), ValueError, "server_timeout must be above 0"),
    (lambda: setattr(cluster(), "server_timeout", math.inf), ValueError, "finite, not inf"),
    (lambda: setattr(cluster(), "server_timeout", None), TypeError, "number of seconds, not None"),
    (lambda: setattr(cluster(), "workers", 3), AttributeError, "workers"),
    (lambda: cluster().set_worker_number(-2), ValueError, "not -2"),
    (lambda: cluster().set_worker_number(2.0), TypeError, "not 2.0"),  # type: ignore[arg-type]
    (lambda: cluster().start(if_exists="replace"), ValueError, "'reconnect'.*not 'replace'"),  # type: ignore[arg-type]
    (lambda: cluster().stop(ignore_errors=1), TypeError, "ignore_errors.*not 1"),  # type: ignore[arg-type]
    (lambda: cluster().cleanup(deep="yes"), TypeError, "deep must be.*'yes'"),  # type: ignore[arg-type]
    (lambda: cluster().external_worker(0), ValueError, "worker_number must be at least 1"),
    (lambda: config("server_port", 0), ValueError, "server_port must be from 1 to 65535, not 0"),
    (lambda: config("server_port", 65536), ValueError, "not 65536"),
    (lambda: config("server_port", "http"), TypeError, "server_port.*'http'"),
    (lambda: config("server_password", ""), ValueError, "server_password must not be empty"),
    (lambda: config("server_password", 1234), TypeError, "server_password must be.*not a int"),
    (lambda: config("worker_hardware", 4), TypeError, "worker_hardware must be a DockerHardware"),
    (lambda: config("server_worker_same_lan", 0), TypeError, "server_worker_same_lan.*not 0"),
    (lambda: config("sever_port", 1), AttributeError, "no setting 'sever_port'.*server_port"),
    (lambda: container(image=""), ValueError, "image must not be empty"),
    (lambda: container(image=None), TypeError, "image must be a string, not None"),
    (lambda: container(max_worker_num=0), ValueError, "max_worker_num must be at least 1"),
    (lambda: container(environment=["A=1"]), TypeError, "environment must be a dict"),
    (lambda: container(environment={"A": 1}), TypeError, r"environment\['A'\].*str\(...\)"),
    (lambda: container(environment={"A=B": "1"}), ValueError, "variable name 'A=B'"),
    (lambda: container(secrets={"TOKEN": 5_432_109}), TypeError, r"secrets\['TOKEN'\].*not int"),
    (lambda: container(secrets={"a/b": "1"}), ValueError, "'a/b', which no file can have"),
    (lambda: container(command="python x.py"), TypeError, "command must be a list.*'python x.py'"),
    (lambda: container(command=["python", 3]), TypeError, r"command\[1\] must be a string"),
    (lambda: DockerHardware(cpu=0.5), TypeError, "cpu must be.*not 0.5"),  # type: ignore[arg-type]
    (ExternalServer, ValueError, "needs an address"),
    (lambda: ExternalServer("1.2.3.4", 70000), ValueError, "public_port.*not 70000"),
    (lambda: ExternalServer("h", server_worker_same_lan=True), ValueError, "needs private_ip="),
    (lambda: ExternalServer("h", password=""), ValueError, "password must not be empty"),
    (lambda: cluster_preset("elsewhere"), LookupError, "Perhaps: pip install"),
    (lambda: cluster_preset(provider=MemoryProvider), TypeError, "by name"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("do", "built_in", "message"), WRONG)
def test_wrong_input_is_refused(
    do: Callable[[], object], built_in: type[Exception], message: str
) -> None:
    with pytest.raises(built_in, match=message):
        do()


def test_every_refusal_has_our_root_and_its_own_message() -> None:
    messages = []
    for do, built_in, _ in WRONG:
        with pytest.raises(built_in) as caught:
            do()
        # Names that no object has are Python's to refuse.
        if built_in is not AttributeError:
            assert isinstance(caught.value, DockerParallelError)
        messages.append(str(caught.value).replace(hex(id(caught.value)), ""))
    assert len(set(messages)) == len(WRONG) >= 30


def test_a_refused_secret_is_not_shown() -> None:
    with pytest.raises(TypeError) as caught:
        container(secrets={"TOKEN": 5_432_109})
    assert "5432109" not in str(caught.value)
    with pytest.raises(TypeError) as caught:
        config("server_password", 5_432_109)
    assert "5432109" not in str(caught.value)


def test_a_refused_setting_keeps_its_old_value() -> None:
    made = cluster()
    with pytest.raises(ValueError, match="not 0"):
        made.config.server_port = 0
    assert made.config.server_port == 8888
    made.config.server_password = " any 'text'\nwill do \N{SNOWMAN}"
    assert made.config.server_password.startswith(" any")


def test_wrong_containers_are_refused_before_the_server_starts() -> None:
    made = cluster()
    made.state.worker_container.environment["A"] = 1  # type: ignore[assignment]
    with pytest.raises(TypeError, match="environment"):
        made.start()
    provider: Any = made.state.provider
    assert "run_server" not in provider.calls
