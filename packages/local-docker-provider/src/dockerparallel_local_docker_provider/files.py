"""The files that a container gets before it starts: its secrets, and for a server the static data.

They go into the container's own file system, by the engine's API, as a tar archive. So they are in
no label, environment, command line, image or folder of the host, ``docker inspect`` does not show
them, and they go with the container.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, NamedTuple

from dockerparallel import StaticDataError
from dockerparallel.validation import check_file_name

_FOLDER = "/run/dockerparallel-cluster"

SECRETS_DIR = f"{_FOLDER}/secrets"
"""The folder of a container's secrets, one file each, for the user of its image alone."""

STATIC_DATA_FILE = f"{_FOLDER}/cluster.json"
"""The static data of the cluster, in its server (or store) alone.

For root alone: sessions read it through the engine, and no program in the container has to.
"""


class User(NamedTuple):
    """The user that an image runs as, in numbers."""

    uid: int
    gid: int


ROOT = User(0, 0)


def archive(secrets: Mapping[str, str], static_data: Mapping[str, Any] | None, user: User) -> bytes:
    """Return the files as a tar archive for the root of a container.

    Parameters
    ----------
    secrets
        Texts by name.
    static_data
        For a server or a store.
    user
        Whom the image runs as, and who alone may read the secrets.

    Raises
    ------
    InvalidValueError
        A secret has a name that no file can have.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.addfile(_member(_FOLDER, ROOT, 0o711, tarfile.DIRTYPE))
        packed.addfile(_member(SECRETS_DIR, user, 0o700, tarfile.DIRTYPE))
        for name, secret in secrets.items():
            check_file_name("secrets", name)
            _add(packed, f"{SECRETS_DIR}/{name}", secret, user)
        if static_data is not None:
            _add(packed, STATIC_DATA_FILE, json.dumps(static_data), ROOT)
    return buffer.getvalue()


def static_data_archive(static_data: Mapping[str, Any]) -> bytes:
    """Return the static data alone, to replace what a container has of it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        _add(packed, STATIC_DATA_FILE, json.dumps(static_data), ROOT)
    return buffer.getvalue()


def parse_static_data(content: bytes, container: str) -> dict[str, Any]:
    """Return the static data that a container holds.

    Raises
    ------
    StaticDataError
        It is no JSON object.
    """
    try:
        data = json.loads(content)
    except ValueError as error:
        raise _damaged(container, str(error)) from error
    if not isinstance(data, dict):
        raise _damaged(container, f"it is a {type(data).__name__}")
    return data


def parse_user(text: str, passwd: bytes | None) -> User:
    """Return the user that an image names: nothing, a name, ``uid`` or ``uid:gid``.

    Parameters
    ----------
    text
        ``Config.User`` of the image.
    passwd
        Its ``/etc/passwd``, where a name must be looked up; ``None`` where it has none.
    """
    user, _, group = text.partition(":")
    uid, gid = (int(user), int(user)) if user.isdecimal() else (0, 0)
    for line in (passwd or b"").decode(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) > 3 and user in {fields[0], fields[2]}:  # noqa: PLR2004 - passwd(5)
            uid, gid = int(fields[2]), int(fields[3])
            break
    return User(uid, int(group) if group.isdecimal() else gid)


def _damaged(container: str, reason: str) -> StaticDataError:
    return StaticDataError(
        f"The data of the cluster in the container {container!r}, {STATIC_DATA_FILE}, cannot be "
        f"read ({reason}): end the cluster by "
        "'python -m dockerparallel_local_docker_provider remove NAME', and start it anew."
    )


def _add(packed: tarfile.TarFile, path: str, text: str, user: User) -> None:
    content = text.encode()
    member = _member(path, user, 0o400, tarfile.REGTYPE)
    member.size = len(content)
    packed.addfile(member, io.BytesIO(content))


def _member(path: str, user: User, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.type, member.mode = kind, mode
    member.uid, member.gid = user
    return member
