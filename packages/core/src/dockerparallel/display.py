"""What a cluster looks like in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockerparallel.state import ClusterState


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as lines whose columns stand below each other; for command lines.

    Parameters
    ----------
    rows
        At least one, all of the same length; the heads come first.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _facts(state: ClusterState) -> dict[str, str]:
    """Return the facts to show, by name: only what is known already, and nothing secret."""
    config, runtime = state.config, state.runtime
    if runtime.server_from_other_source:
        server = "external"
    elif runtime.has_server:
        server = "started"
    else:
        server = "not running"
    host = runtime.server_public_ip or runtime.server_private_ip
    port = runtime.server_public_port or runtime.server_private_port
    if host is not None:
        server += f" at {host}" + ("" if port is None else f":{port}")
    hardware = config.worker_hardware
    return {
        "name": config.job_queue_name,
        "provider": type(state.provider).__name__,
        "container": type(state.worker_container).__name__,
        "server": server,
        "workers": (
            f"{runtime.running_worker_number} running, "
            f"{runtime.initializing_worker_number} initializing, "
            f"{config.expected_worker_number} expected"
        ),
        "worker hardware": f"{hardware.cpu / 1024:g} cpu, {hardware.memory} MiB",
        "backend": "registered" if state.registered else "not registered",
    }


def text(state: ClusterState) -> str:
    """Return the facts on one line, as last known."""
    facts = _facts(state)
    name = facts.pop("name")
    return f"<DockerCluster {name!r}: " + "; ".join(f"{k} {v}" for k, v in facts.items()) + ">"


def html(state: ClusterState) -> str:
    """Return the facts as a table, as last known."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(key)}</th><td>{escape(value)}</td></tr>"
        for key, value in _facts(state).items()
    )
    return f"<div><b>DockerCluster</b><table>{rows}</table></div>"
