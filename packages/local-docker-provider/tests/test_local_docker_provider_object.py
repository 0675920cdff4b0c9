"""The provider as an object: its arguments, copies, and what it hides."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from local_docker_parts import TinyContainer

import dockerparallel_local_docker_provider as package
from dockerparallel import CloudProvider, DockerCluster, InvalidTypeError, InvalidValueError
from dockerparallel_local_docker_provider import LocalDockerProvider
from dockerparallel_local_docker_provider.messages import gone
from dockerparallel_managed_provider import redacted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"docker_host": ""}, "docker_host must not be empty"),
        ({"docker_host": 7}, "docker_host must be a string, not 7"),
        ({"context": ""}, "context must not be empty"),
        ({"docker_host": "a", "context": "b"}, "'a' and context='b' name an engine each"),
        ({"host_port": 0}, "host_port must be from 1 to 65535, not 0"),
        ({"host_port": "80"}, "host_port must be a whole number"),
        ({"parallelism": 0}, "parallelism must be at least 1"),
        ({"parallelism": 1.5}, "parallelism must be a whole number"),
        ({"stop_timeout": 0}, "stop_timeout must be above 0"),
        ({"engine_timeout": -1}, "engine_timeout must be above 0"),
        ({"image_timeout": float("inf")}, "image_timeout must be above 0 and finite"),
        ({"image_timeout": "long"}, "image_timeout must be a number of seconds"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidTypeError, InvalidValueError), match=message):
        LocalDockerProvider(**arguments)


def test_a_provider_needs_no_engine_until_it_is_used() -> None:
    provider = LocalDockerProvider(docker_host="unix:///nowhere")
    assert isinstance(provider, CloudProvider)
    assert "nowhere" not in repr(provider.copy())


def pickled(provider: LocalDockerProvider) -> LocalDockerProvider:
    copy: LocalDockerProvider = pickle.loads(pickle.dumps(provider))  # noqa: S301 - our own
    return copy


@pytest.mark.parametrize("make", [LocalDockerProvider.copy, pickled])
@pytest.mark.docker
def test_a_copy_has_a_connection_of_its_own(
    make: Callable[[LocalDockerProvider], LocalDockerProvider],
) -> None:
    provider = LocalDockerProvider(parallelism=3)
    engine = provider._connection.engine
    copy = make(provider)
    assert copy._connection._engine is None
    assert copy._connection.options == provider._connection.options
    assert copy._connection.engine is not engine
    # All parts of the copy share one connection, which is not that of the original.
    assert copy._deployment._connection is copy._connection
    assert copy._published._connection is copy._connection
    assert copy._store._deployment is copy._deployment
    copy._connection.close()
    assert engine.size() == provider._connection.size
    provider._connection.close()


def test_what_is_exported() -> None:
    assert LocalDockerProvider().exported_names() == [
        *("containers", "host_address", "list_clusters", "logs", "remove_cluster")
    ]
    assert all(hasattr(package, name) for name in package.__all__)


def make_cluster(**options: Any) -> DockerCluster:
    return DockerCluster(
        provider=LocalDockerProvider(docker_host="unix:///nowhere"),
        worker_container=TinyContainer("none", secrets={"TOKEN": "worker-token", "LONG": "abcdef"}),
        server_container=TinyContainer("none", secrets={"TOKEN": "server-token", "PART": "abc"}),
        **options,
    )


def test_secrets_are_blotted_out() -> None:
    cluster = make_cluster()
    cluster.config.server_password = "pass word"
    text = "pass word, worker-token, server-token, abcdef, abc, ok"
    assert redacted(cluster, text) == "[password], [TOKEN], [TOKEN], [LONG], [PART], ok"


def test_a_secret_called_password_does_not_show_the_password() -> None:
    cluster = make_cluster()
    cluster.state.worker_container.secrets = {"password": "another", "EMPTY": ""}
    password = cluster.config.server_password
    assert redacted(cluster, f"{password} another") == "[password] [password]"


def test_who_was_removed_is_gone() -> None:
    assert gone("worker-1").startswith("worker-1 has gone")


def test_without_an_ssh_command_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    provider = LocalDockerProvider(docker_host="ssh://host")
    with pytest.raises(package.ForwardError, match="no 'ssh' command on PATH"):
        provider._connection.engine.close()
