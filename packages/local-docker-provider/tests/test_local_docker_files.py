"""The archive of files that a container gets: who may read them, and the static data's way."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from dockerparallel import InvalidValueError, StaticDataError
from dockerparallel_local_docker_provider.files import (
    ROOT,
    SECRETS_DIR,
    STATIC_DATA_FILE,
    User,
    archive,
    parse_static_data,
    parse_user,
    static_data_archive,
)

APP = User(1000, 1001)
PASSWD = b"""root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/:/bin/false
broken line
app:x:1000:2000::/home/app:/bin/sh
named\xff:x:1003:1003::/:/bin/sh
"""


def members(packed: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """Return the members of an archive, and what is in them, by their paths."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        for member in opened:
            content = opened.extractfile(member)
            found[f"/{member.name}"] = (member, b"" if content is None else content.read())
    return found


def owner(member: tarfile.TarInfo) -> User:
    return User(member.uid, member.gid)


def test_secrets_are_for_the_user_and_the_rest_for_root() -> None:
    found = members(archive({"ONE": "1", "UMLAUT": "ä\n"}, {"format": 1}, APP))
    folder, _ = found[SECRETS_DIR.rpartition("/")[0]]
    assert (folder.isdir(), folder.mode, owner(folder)) == (True, 0o711, ROOT)
    inner, _ = found[SECRETS_DIR]
    assert (inner.isdir(), inner.mode, owner(inner)) == (True, 0o700, APP)
    for name, content in {"ONE": b"1", "UMLAUT": "ä\n".encode()}.items():
        file, written = found[f"{SECRETS_DIR}/{name}"]
        assert (file.mode, owner(file), written) == (0o400, APP, content)
    file, _ = found[STATIC_DATA_FILE]
    assert (file.mode, owner(file)) == (0o400, ROOT)
    # A folder must come before what is in it.
    assert list(found)[:2] == [SECRETS_DIR.rpartition("/")[0], SECRETS_DIR]


def test_a_worker_gets_no_static_data() -> None:
    assert STATIC_DATA_FILE not in members(archive({"ONE": "1"}, None, APP))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "."])
def test_names_that_no_file_can_have_are_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"secrets has the name .*no file can have"):
        archive({name: "hidden"}, None, APP)


@pytest.mark.parametrize("data", [{}, {"a": [1, None, "ü"], "b": {"c": 1.5}}])
def test_static_data_survives(data: dict[str, Any]) -> None:
    for packed in (archive({}, data, APP), static_data_archive(data)):
        _, content = members(packed)[STATIC_DATA_FILE]
        assert parse_static_data(content, "x") == data


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_damaged_static_data_names_the_container_and_the_way_out(content: bytes) -> None:
    with pytest.raises(StaticDataError, match=r"'the-server'.*cannot be read \(.*remove NAME"):
        parse_static_data(content, "the-server")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0)),
        ("root", (0, 0)),
        ("0", (0, 0)),
        ("app", (1000, 2000)),
        ("1000", (1000, 2000)),
        ("1000:0", (1000, 0)),
        ("app:33", (1000, 33)),
        ("app:staff", (1000, 2000)),
        ("4711", (4711, 4711)),
        ("4711:4712", (4711, 4712)),
        ("nobody-we-know", (0, 0)),
    ],
)
def test_the_user_of_an_image(text: str, expected: tuple[int, int]) -> None:
    assert parse_user(text, PASSWD) == expected


def test_the_user_of_an_image_without_users() -> None:
    assert parse_user("1000:1000", None) == (1000, 1000)
    assert parse_user("app", b"") == ROOT
