"""Whether anything of a cluster is left."""

from __future__ import annotations

from typing import Any, NoReturn

from dockerparallel import DockerCluster, DockerContainer, Endpoint
from dockerparallel_conformance.provider_checks.server import answers
from dockerparallel_conformance.subject import Subject


class PlantedError(Exception):
    """A failure that the suite has planted in the author's container."""


def fail_as_planted(*_args: Any, **_kwargs: Any) -> NoReturn:
    """Stand for a method of a container, and fail."""
    raise PlantedError("a failure that the conformance suite has planted")


def require_gone(
    subject: Subject, cluster: DockerCluster, endpoint: Endpoint | None, after: str
) -> None:
    """Require that nothing of the cluster is left, and that its server no longer answers.

    Waits for it: a platform may go on listing for a while what costs nothing any more, and a
    worker need only be on its way.
    """
    subject.wait_until(
        lambda: not subject.hooks.list_resources(cluster),
        lambda: f"nothing is left after {after}; there are {subject.hooks.list_resources(cluster)}",
    )
    other = subject.cluster(cluster.config.job_queue_name)
    subject.wait_until(
        lambda: not other.exists(), f"exists() is False for another handle after {after}"
    )
    if endpoint is not None:
        subject.wait_until(
            lambda: not answers(endpoint),
            f"{endpoint.host}:{endpoint.port} no longer answers after {after}",
        )


def require_undone(
    subject: Subject, container: DockerContainer, worker_number: int, what: str
) -> bool:
    """Start a cluster with a container that fails, and require that nothing is left of it.

    Returns whether it has failed.
    """
    cluster = subject.cluster(worker_container=container, worker_number=worker_number)
    endpoints: list[Endpoint] = []
    server_address = cluster.state.provider.server_address

    def note_address(asking: DockerCluster) -> Any:
        address = server_address(asking)
        if address.public_ip is not None:
            port = address.public_port or asking.config.server_port
            endpoints.append(Endpoint(address.public_ip, port))
        return address

    cluster.state.provider.server_address = note_address  # type: ignore[method-assign, assignment]
    try:
        cluster.start()
    except PlantedError:
        require_gone(subject, cluster, endpoints[0] if endpoints else None, what)
        return True
    return False
