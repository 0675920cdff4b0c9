"""New extensions, as renamed copies of reference extensions.

A reference extension registers its package in the entry-point group ``dockerparallel.templates``,
under the kind of extension that it is. Its source is the installed package itself; what stands
beside the source in a project (``pyproject.toml``, README, licence, the conformance test) travels
in the folder ``_template`` of its wheel. In an editable install the project folder is there.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dockerparallel.errors import ExtensionError, InvalidValueError
from dockerparallel.extensions import Kind, find_template, installed_extensions

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
_IN_WHEEL = "_template"
_PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE")
# Tables of the reference's pyproject.toml that make it a template: the copy is none.
_TEMPLATE_TABLES = ('[project.entry-points."dockerparallel.templates"]', "force-include]")


class Template(NamedTuple):
    """A reference extension.

    Parameters
    ----------
    name
        Its name, such as ``"local-process"``.
    distribution
        Its distribution and version.
    package
        The folder of its installed source.
    project
        The folder with what stands beside the source.
    """

    name: str
    distribution: str
    package: Path
    project: Path


def create_extension(kind: Kind, name: str, folder: Path | None = None) -> Path:
    """Write a complete package for a new extension, which works as it is.

    Called by ``python -m dockerparallel new``. Writes either the whole folder or nothing.

    Parameters
    ----------
    kind
        ``"provider"`` or ``"container"``.
    name
        Name of the extension: lower-case letters, digits and single hyphens, at most 40, the
        first a letter.
    folder
        The folder to make; by default ``dockerparallel-<name>-<kind>`` in the current one.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InvalidValueError
        The name does not fit or is taken, the folder exists, or its parent does not.
    ExtensionError
        No reference extension of that kind is installed, or it is not complete.
    """
    _check_name(kind, name)
    target = Path(f"dockerparallel-{name}-{kind}") if folder is None else folder
    if target.exists():
        raise InvalidValueError(f"{target} exists: remove it, or choose another by --folder.")
    if not target.absolute().parent.is_dir():
        raise InvalidValueError(f"There is no folder {target.absolute().parent}: make it first.")
    template = find_reference(kind)
    unfinished = target.absolute().with_name(f".{target.name}.{os.getpid()}")
    try:
        for path, content in _files(kind, template, name):
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(content, encoding="utf-8")
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def find_reference(kind: Kind) -> Template:
    """Return the installed reference extension of a kind.

    Raises
    ------
    ExtensionError
        None is installed, or its files are not there.
    """
    entry, distribution = find_template(kind)
    spec = importlib.util.find_spec(entry.value)
    if spec is None or spec.origin is None:
        raise ExtensionError(f"The template {entry.value!r} of {distribution} has no source.")
    package = Path(spec.origin).parent
    in_wheel, in_tree = package / _IN_WHEEL, package.parents[1]
    project = in_wheel if in_wheel.is_dir() else in_tree
    if not (project / "pyproject.toml").is_file():
        raise ExtensionError(
            f"{distribution} holds no template: neither {in_wheel} nor {in_tree} has a "
            "pyproject.toml. Install it anew."
        )
    name = entry.value.removeprefix("dockerparallel_").removesuffix(f"_{kind}")
    return Template(name.replace("_", "-"), distribution, package, project)


def rename(text: str, old: str, new: str) -> str:
    """Replace a name like ``local-process`` in all forms in which it is written."""
    for form in (
        str,
        lambda name: name.replace("-", "_"),
        lambda name: name.replace("-", "_").upper(),
        lambda name: "".join(part.capitalize() for part in name.split("-")),
    ):
        text = text.replace(form(old), form(new))
    return text


def _check_name(kind: Kind, name: str) -> None:
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise InvalidValueError(
            f"{name!r} is no name for a {kind}: lower-case letters, digits and single hyphens, "
            f"at most {_LONGEST}, the first a letter; for example 'my-{kind}'."
        )
    for taken in installed_extensions():
        if (taken.kind, taken.name) == (kind, name):
            raise InvalidValueError(
                f"The {kind} {name!r} is installed already, by {taken.distribution} "
                f"{taken.version}: choose another name."
            )


def _files(kind: Kind, template: Template, name: str) -> Iterator[tuple[Path, str]]:
    """Give the files of the copy: their paths and contents."""
    old = template.name
    for file in _PROJECT_FILES:
        text = (template.project / file).read_text(encoding="utf-8")
        if file == "pyproject.toml":
            text = rename(_without_what_is_the_templates(text), old, name)
        elif file == "README.md":
            text = _readme(rename(text, old, name), kind, template, name)
        yield Path(file), text
    yield Path("CHANGELOG.md"), _changelog(kind, template, name)
    for test in sorted((template.project / "tests").glob("test_*_conformance.py")):
        yield (
            Path("tests", rename(test.name, old, name)),
            rename(test.read_text(encoding="utf-8"), old, name),
        )
    import_name = f"dockerparallel_{name.replace('-', '_')}_{kind}"
    for source in sorted(template.package.rglob("*")):
        path = source.relative_to(template.package)
        is_source = source.suffix in {".py", ".typed"} or source.name == "Dockerfile"
        if source.is_file() and is_source and path.parts[0] != _IN_WHEEL:
            text = source.read_text(encoding="utf-8")
            if path.name == "_version.py":
                text = re.sub(r'(__version__ = )".*"', r'\1"0.1.0"', text)
            copied = Path("src", import_name, rename(str(path), old, name))
            yield copied, rename(text, old, name)


def _without_what_is_the_templates(text: str) -> str:
    kept: list[str] = []
    dropping = False
    for line in text.splitlines(keepends=True):
        if line.startswith("["):
            dropping = line.strip().endswith(_TEMPLATE_TABLES)
        if not dropping and not line.startswith("authors = "):
            kept.append(line)
    return "".join(kept).rstrip() + "\n"


def _readme(text: str, kind: Kind, template: Template, name: str) -> str:
    return (
        f"# dockerparallel-{name}-{kind}\n\nA copy of {template.distribution}, to be changed "
        "into something of your own;\nwhat follows is its README. Its tests run the conformance "
        "suite:\n\n```\npython -m pip install -e . --group test  # pip 25.1 or newer\n"
        f"python -m pytest\n```\n{text.partition(chr(10))[2]}"
    )


def _changelog(kind: Kind, template: Template, name: str) -> str:
    return (
        f"# Changelog of dockerparallel-{name}-{kind}\n\n## 0.1.0 (unreleased)\n\n"
        f"- Copied from {template.distribution}.\n"
    )
