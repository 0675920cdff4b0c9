"""Images that the engine lacks: built, pulled, or told to be missing; and removed again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from local_docker_parts import (
    IMAGE_LABEL,
    TinyContainer,
    container_names,
    docker,
    image_ids,
    network_names,
    wait_for,
)

from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import (
    EngineTimeoutError,
    ImageUnavailableError,
    LocalDockerProvider,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]


@pytest.fixture
def recipe(base_image: str, prefix: str) -> str:
    """Give a Dockerfile that needs no network."""
    return f"FROM {base_image}\nLABEL {IMAGE_LABEL}={prefix}\nARG WORD\nENV WORD=$WORD\n"


@pytest.fixture
def deaf_registry() -> Iterator[str]:
    """Give the address of a registry that nobody runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def commands() -> str:
    """Return what all containers run, those of builds included."""
    return docker("ps", "--all", "--no-trunc", "--format={{.Command}}")


def has_image(name: str) -> bool:
    return docker("images", "--quiet", name) != ""


def test_an_image_is_built_on_demand_and_deep_cleanup_removes_it(
    make_cluster: Make, recipe: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = f"{prefix}:1"
    cluster = make_cluster(TinyContainer(image, recipe=recipe), verbose=1)
    cluster.start()
    assert caplog.text.count(f"The engine has no image {image}: building it.") == 1
    form = '{{index .Config.Labels "dockerparallel.built-on-demand"}} {{.Config.Env}}'
    label, _, variables = docker("inspect", f"--format={form}", image).partition(" ")
    assert label
    assert "WORD=argued" in variables
    cluster.stop()
    cluster.cleanup()
    assert has_image(image)
    cluster.cleanup(deep=True)
    assert not has_image(image)
    cluster.cleanup(deep=True)
    assert image_ids(prefix) == []


def test_an_image_that_a_container_uses_stays(
    make_cluster: Make, recipe: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = f"{prefix}:1"
    cluster = make_cluster(TinyContainer(image, recipe=recipe))
    cluster.start()
    cluster.stop()
    user = docker("create", image)
    cluster.cleanup(deep=True)
    assert f"The image {image} stays: a container uses it." in caplog.text
    assert has_image(image)
    docker("rm", user)
    cluster.cleanup(deep=True)
    assert not has_image(image)


def test_an_image_that_was_there_before_stays(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    image = f"{prefix}:1"
    docker("tag", base_image, image)
    cluster = make_cluster(TinyContainer(image))
    cluster.start()
    cluster.stop()
    cluster.cleanup(deep=True)
    assert has_image(image)
    docker("rmi", image)


def test_an_image_of_the_users_made_from_one_that_was_built_stays(
    make_cluster: Make, recipe: str, prefix: str
) -> None:
    """It inherits the labels of the image that it was made from."""
    built, own = f"{prefix}:built", f"{prefix}:own"
    cluster = make_cluster(TinyContainer(built, recipe=recipe))
    cluster.start()
    cluster.stop()
    docker("tag", built, own)
    other = make_cluster(TinyContainer(own))
    other.start()
    other.stop()
    other.cleanup(deep=True)
    assert has_image(own)
    docker("rmi", own)
    cluster.cleanup(deep=True)
    assert not has_image(built)


def test_a_build_that_fails_tells_the_end_of_its_output(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    image = f"{prefix}:1"
    recipe = f"FROM {base_image}\nRUN echo no licence server && exit 7\n"
    cluster = make_cluster(TinyContainer(image, recipe=recipe))
    with pytest.raises(ImageUnavailableError, match="no licence server") as caught:
        cluster.start()
    message = str(caught.value)
    assert f"The image '{image}' is neither on the Docker engine nor to be had" in message
    assert "returned a non-zero code: 7" in message
    assert isinstance(caught.value, LookupError)
    assert not has_image(image)
    assert container_names(prefix) == network_names(prefix) == []


def test_a_dockerfile_that_is_none(make_cluster: Make, prefix: str) -> None:
    cluster = make_cluster(TinyContainer(f"{prefix}:1", recipe="COOK dinner\n"))
    with pytest.raises(ImageUnavailableError, match="unknown instruction: COOK"):
        cluster.start()


def test_a_build_that_takes_too_long(make_cluster: Make, base_image: str, prefix: str) -> None:
    # It prints without end, so that it is the whole that takes too long.
    endless = f"while true; do echo still cooking {prefix}; sleep 0.1; done"
    cluster = make_cluster(
        TinyContainer(f"{prefix}:1", recipe=f"FROM {base_image}\nRUN {endless}\n"),
        LocalDockerProvider(image_timeout=1.0),
    )
    with pytest.raises(EngineTimeoutError, match=r"within 1 s: .*image_timeout="):
        cluster.start()
    wait_for("the end of the build", lambda: prefix not in commands())


def test_a_build_that_says_nothing_for_too_long(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    cluster = make_cluster(
        TinyContainer(f"{prefix}:1", recipe=f"FROM {base_image}\nRUN sleep 120 || {prefix}\n"),
        LocalDockerProvider(image_timeout=1.0),
    )
    with pytest.raises(EngineTimeoutError, match="image_timeout="):
        cluster.start()
    wait_for("the end of the build", lambda: prefix not in commands())


@pytest.mark.parametrize("end", ["", ":1", "@sha256:" + 64 * "0"])
def test_an_image_that_no_registry_has(
    make_cluster: Make, deaf_registry: str, prefix: str, end: str
) -> None:
    image = f"{deaf_registry}/some/thing{end}"
    with pytest.raises(ImageUnavailableError, match="connection refused") as caught:
        make_cluster(TinyContainer(image)).start()
    assert f"The image '{image}' is neither" in str(caught.value)
    assert "docker login" in str(caught.value)
    assert container_names(prefix) == network_names(prefix) == []
