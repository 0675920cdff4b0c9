"""Names that providers and the programs inside containers agree on.

A provider hands each secret to the running container either as an environment variable of the
secret's name or as a file of that name in a secrets folder. The program in the container uses
:func:`read_secret`, which looks at both, so that it runs on any provider.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SECRETS_DIR_VARIABLE = "DOCKERPARALLEL_SECRETS_DIR"
"""Environment variable with the folder of secret files, set by the provider."""

DEFAULT_SECRETS_DIR = "/run/secrets"
"""The secrets folder where :data:`SECRETS_DIR_VARIABLE` is not set."""

BIND_ADDRESS_VARIABLE = "DOCKERPARALLEL_BIND_ADDRESS"
"""Environment variable with the address that a server listens on (default: all interfaces).

Set by a provider whose containers share the network of the host, where listening on all
interfaces would show the server to the neighbours.
"""


def read_secret(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Find a secret in the running container.

    Called by the program inside a container when it starts. Reads at most one file; thread-safe.

    Parameters
    ----------
    name
        Name of the secret, as in ``DockerContainer.secrets``.
    environ
        Environment to look at; the environment of this process by default.

    Returns
    -------
    str or None
        The secret: the environment variable of that name where there is one, else the content of
        the file of that name in the secrets folder, whole, else ``None``.

    Raises
    ------
    PermissionError
        The file exists and this user may not read it.
    """
    source = os.environ if environ is None else environ
    value = source.get(name)
    if value is not None:
        return value
    folder = Path(source.get(SECRETS_DIR_VARIABLE, DEFAULT_SECRETS_DIR))
    try:
        return (folder / name).read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
