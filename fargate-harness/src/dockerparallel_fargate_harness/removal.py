"""Remove containers and networks of the engine; gone is what they should be, whoever was faster."""

from __future__ import annotations

import docker
import requests
from docker.errors import APIError, NotFound
from docker.models.networks import Network

ENGINE_SECONDS = 120


def remove_container(client: docker.DockerClient, identifier: str) -> None:
    """Kill and remove a container with its anonymous volumes; return when it is gone.

    Harmless where it is gone already. Where somebody else removes it just now, that is waited for:
    until then it still uses its networks.

    Raises
    ------
    docker.errors.APIError
        The engine does not remove it.
    requests.exceptions.RequestException
        The engine does not answer within 120 s.
    """
    try:
        client.api.remove_container(identifier, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != requests.codes.conflict:
            raise
        _wait_until_removed(client, identifier)


def remove_network(network: Network) -> None:
    """Remove a network, to which no container may be attached; harmless where it is gone.

    Raises
    ------
    docker.errors.APIError
        A container is attached, or the engine does not remove it for another reason.
    """
    try:
        network.remove()
    except NotFound:
        # Somebody else was faster, and gone is what it should be.
        return


def _wait_until_removed(client: docker.DockerClient, identifier: str) -> None:
    try:
        client.api.wait(identifier, timeout=ENGINE_SECONDS, condition="removed")
    except NotFound:
        return
