"""Keeping secrets out of messages, and telling when stored static data is out of date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


def redacted(cluster: DockerCluster, text: str) -> str:
    """Return a text with the cluster's secrets blotted out.

    For what a provider did not write itself, such as the end of a container's log.
    """
    state = cluster.state
    # Pairs, since two may have one name: both containers have secrets, each its own.
    secrets = [("password", state.config.server_password)]
    for container in (state.server_container, state.worker_container):
        if container is not None:
            secrets.extend(container.secrets.items())
    # The longest first: one may be a part of another.
    for name, secret in sorted(secrets, key=lambda item: -len(item[1])):
        text = text.replace(secret, f"[{name}]") if secret else text
    return text


def lasting(static_data: Mapping[str, Any]) -> dict[str, Any]:
    """Return static data without the number of workers, which whoever reconnects counts anew.

    Where this is what a provider has stored already, it need not store it again.
    """
    config = {**static_data["config"], "expected_worker_number": None}
    return {**static_data, "config": config}
