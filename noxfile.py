"""Verification of the workspace: what to run, on which Python, with what installed.

What to install stands in the root ``pyproject.toml`` and in those of the packages; it is read
here, not repeated. ``CONTRIBUTING.md`` says what each session is for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

nox.needs_version = ">=2025.10.14"
nox.options.sessions = ["tests", "lint", "types"]
# With CI=true nox would turn a Python that this machine lacks into a failure.
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
# A folder for one JUnit file per pytest run, so that a caller can add them up.
RESULTS_VARIABLE = "DOCKERPARALLEL_RESULTS"
# Run a command with an image that is built without any registry: on the engine, and on the harness
# that is ECS Fargate on this machine.
THROUGH = {
    "local-docker": ("python", "-m", "tools.with_own_image"),
    "ecs-fargate": ("python", "-m", "tools.with_fargate_harness"),
}
HARNESS = ("python", "-m", "dockerparallel_fargate_harness", "run", "--internet", "--")


def load_members() -> dict[str, dict[str, Any]]:
    """Return each package's folder (relative to the root) and its parsed ``pyproject.toml``."""
    workspace = nox.project.load_toml(ROOT / "pyproject.toml")
    members = workspace["tool"]["hatch"]["envs"]["default"]["workspace"]["members"]
    folders = [member if isinstance(member, str) else member["path"] for member in members]
    return {folder: nox.project.load_toml(ROOT / folder / "pyproject.toml") for folder in folders}


MEMBERS = load_members()
FOLDERS = {canonicalize_name(data["project"]["name"]): name for name, data in MEMBERS.items()}
PYTHONS = nox.project.python_versions(MEMBERS["packages/core"])


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of one dependency group of the root."""
    return nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), name)


def test_group(folder: str) -> tuple[str, ...]:
    """Return what one package's own tests need beyond pytest."""
    return nox.project.dependency_groups(MEMBERS[folder], "test")


def install_workspace(session: nox.Session, *requirements: str) -> None:
    """Install every package editable, its test group, and `requirements`."""
    tests = [requirement for folder in MEMBERS for requirement in test_group(folder)]
    install_editable(session, MEMBERS, *tests, *requirements)


def install_editable(session: nox.Session, folders: Iterable[str], *requirements: str) -> None:
    """Install packages editable, and `requirements`, in one pip run.

    One run, or pip would look on the index for the packages that stand here. It would do so for a
    requirement on one of them too, so such a one only adds its extras.
    """
    extras: dict[str, set[str]] = {folder: set() for folder in folders}
    foreign: list[str] = []
    for text in requirements:
        requirement = Requirement(text)
        folder = FOLDERS.get(canonicalize_name(requirement.name))
        if folder is None:
            foreign.append(text)
        else:
            extras[folder] |= requirement.extras
    own = [
        f"--editable={folder}{'[' + ','.join(sorted(names)) + ']' if names else ''}"
        for folder, names in extras.items()
    ]
    session.install(*own, *foreign)


def wheels_for(*requirements: str) -> list[str]:
    """Turn requirements into pip arguments that take our own packages from the built wheels.

    A package of ours is replaced by the path of its wheel, and the packages of ours that it
    depends on are added, so that pip never asks the index for one of them.
    """
    arguments: list[str] = []
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        folder = FOLDERS.get(canonicalize_name(requirement.name))
        if folder is None:
            continue
        (wheel,) = DIST.glob(f"{requirement.name.replace('-', '_')}-*.whl")
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        if f"{wheel}{extras}" not in arguments:
            arguments.append(f"{wheel}{extras}")
            waiting += [Requirement(text) for text in MEMBERS[folder]["project"]["dependencies"]]
    foreign = [
        text for text in requirements if canonicalize_name(Requirement(text).name) not in FOLDERS
    ]
    return [*arguments, *foreign]


def taken_option(arguments: Iterable[str], name: str) -> tuple[str | None, list[str]]:
    """Return the value of an option, in either of its two forms, and the arguments without it."""
    value, rest = None, []
    words = iter(arguments)
    for word in words:
        if word == name:
            value = next(words, None)
        elif word.startswith(f"{name}="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    return value, rest


def run_pytest(
    session: nox.Session,
    *arguments: str,
    part: str = "",
    through: Iterable[str] = (),
    own_arguments: bool = True,
) -> None:
    """Run pytest with the arguments after ``--``, else with `arguments`.

    A session that runs it several times names the `part`, so that each has its results. The words
    of `through` are a command that runs what follows them. Without `own_arguments` those after
    ``--`` are in `arguments` already.
    """
    results = os.environ.get(RESULTS_VARIABLE)
    name = f"{session.name} {part}".strip()
    file = "".join(letter if letter.isalnum() else "-" for letter in name)
    report = [f"--junitxml={Path(results) / file}.xml"] if results else []
    given = session.posargs if own_arguments else ()
    session.run(*through, "pytest", *report, *(given or arguments))


def sources_digest() -> str:
    """Return a digest of all files of the packages, which changes when a wheel or sdist would."""
    digest = hashlib.sha256()
    for folder in MEMBERS:
        for file in sorted((ROOT / folder).rglob("*")):
            path = file.relative_to(ROOT)
            # Caches of tools come and go, and are no sources.
            if file.is_file() and not any(
                part.startswith((".", "__")) for part in path.parent.parts
            ):
                digest.update(f"{path}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@nox.session
def tests(session: nox.Session) -> None:
    """Test the whole workspace on the running Python (-- takes pytest's arguments)."""
    install_workspace(session, *group("test"), *group("demo"))
    # Side by side on all cores: most tests wait for processes that start or end.
    run_pytest(session, "--numprocesses=auto", "--dist=worksteal")


@nox.session(python=PYTHONS, requires=["build"])
@nox.parametrize("package", [nox.param(folder, id=Path(folder).name) for folder in MEMBERS])
def matrix(session: nox.Session, package: str) -> None:
    """Test one package's wheel on one Python, with only what it declares installed."""
    name = MEMBERS[package]["project"]["name"]
    session.install(*wheels_for(name))
    # Before anything for the tests comes in, which could hide an undeclared dependency.
    session.run("python", "-I", "tools/import_alone.py", name.replace("-", "_"))
    session.install(*wheels_for(name, *test_group(package)), *group("test"))
    # Faults are the same on every Python, and the session `tests` has them.
    run_pytest(session, "-m", "not faults", f"{package}/tests")


@nox.session
def conformance(session: nox.Session) -> None:
    """Check the promises of every installed pair, or of those that --provider NAME is of."""
    install_workspace(session, *group("test"))
    wanted, arguments = taken_option(session.posargs, "--provider")
    pairs = session.run("python", "tools/installed_pairs.py", silent=True)
    for provider, container in map(str.split, str(pairs).splitlines()):
        if wanted not in {None, provider}:
            continue
        placed = fargate_options() if provider == "ecs-fargate" else []
        run_pytest(
            session,
            "--pyargs",
            "dockerparallel_conformance",
            f"--provider={provider}",
            f"--container={container}",
            *placed,
            *arguments,
            part=f"{provider} {container}",
            through=THROUGH.get(provider, ()),
            own_arguments=False,
        )


def fargate_options() -> list[str]:
    """Return how the suite runs on the harness, or on AWS where ``DOCKERPARALLEL_AWS=1``.

    ``tools/with_fargate_harness.py`` fills in the image and the address of this machine.
    """
    image, host = "--image={image}", "--host-address={host}"
    if os.environ.get("DOCKERPARALLEL_AWS") != "1":
        return [image, host]
    # Each task pulls its image there, so that a start takes a minute or two.
    slow = [image, "--check-timeout=1200", "--timeout=3600"]
    # Tasks must reach the suite's own external server, which few machines allow.
    return [*slow, host] if os.environ.get("DOCKERPARALLEL_AWS_HOST") else [*slow, "-k", "not p46"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting by ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types by mypy --strict, tests and scripts included."""
    install_workspace(session, *group("test"), *group("demo"), *group("types"))
    sources = [f"{folder}/src" for folder in MEMBERS]
    session.run("mypy", *sources, "noxfile.py", "conftest.py", "tools", "examples", "benchmarks")
    # One run for each folder of tests: each may have a conftest.py, a name that clashes.
    for folder in [*(f"{folder}/tests" for folder in MEMBERS), "tests/integration"]:
        session.run("mypy", folder)


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist of every package with hatch into dist/, unless they are there."""
    stamp, digest = DIST / "built-from.sha256", sources_digest()
    if stamp.exists() and stamp.read_text() == digest:
        session.log(f"{DIST} is up to date; remove it to build anew")
        return
    session.install(*group("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    # Hatch keeps its build environments there, not in the developer's home.
    session.env["HATCH_DATA_DIR"] = str(Path(session.create_tmp()).resolve())
    for folder in MEMBERS:
        with session.chdir(folder):
            session.run("hatch", "build", "-t", "wheel", "-t", "sdist", str(DIST))
    stamp.write_text(digest)


@nox.session(requires=["build"])
def wheels(session: nox.Session) -> None:
    """Check the built wheels and sdists, and run a task with nothing else installed."""
    session.run("python", "tools/compare_sdists.py", str(DIST))
    session.install(
        *wheels_for(
            "dockerparallel",
            "dockerparallel-local-process-provider",
            "dockerparallel-redis-queue-container[embedded]",
        )
    )
    with session.chdir(session.create_tmp()):
        session.run("python", "-m", "dockerparallel", "extensions")
        session.run("python", str(ROOT / "tools" / "run_one_task.py"))


@nox.session(requires=["build"])
def templates(session: nox.Session) -> None:
    """Make a new provider and a new container from the wheels, and run their tests."""
    reference = {"provider": "local-process-provider", "container": "redis-queue-container"}
    made = {kind: f"dockerparallel-{kind}-copy-{kind}" for kind in reference}
    needed = [
        requirement
        for folder in reference.values()
        for requirement in test_group(f"packages/{folder}")
    ]
    session.install(*wheels_for(*needed), *group("test"), "hatchling")
    # Outside the repository, whose settings for tests are not the copies'.
    with tempfile.TemporaryDirectory() as name, session.chdir(name):
        for kind, project in made.items():
            session.run("python", "-m", "dockerparallel", "new", kind, f"{kind}-copy")
            session.install("--no-deps", "--no-build-isolation", f"./{project}")
        session.run("python", "-m", "dockerparallel", "extensions")
        for kind, project in made.items():
            with session.chdir(project):
                run_pytest(session, part=kind)


@nox.session(venv_backend="none")
def docker_engine(session: nox.Session) -> None:
    """Start a Docker engine where none answers (Debian or Ubuntu, as root)."""
    session.run(sys.executable, "tools/docker_engine.py", external=True)


@nox.session
def demo(session: nox.Session) -> None:
    """Search hyper-parameters on a cluster, by default of processes (-- takes its arguments)."""
    arguments = list(session.posargs)
    harness = "--harness" in arguments
    # Without the conformance suite and what it needs.
    packages = [folder for folder in MEMBERS if folder.startswith("packages/")]
    embedded = "dockerparallel-redis-queue-container[embedded]"
    needed = [*packages, *(["fargate-harness"] if harness else [])]
    install_editable(session, needed, embedded, *group("demo"))
    in_docker = harness or "local-docker" in " ".join(arguments)
    if in_docker and not any("--image" in text for text in arguments):
        made = session.run("python", "-m", "tools.demo_image", silent=True)
        arguments += [f"--image={str(made).split()[-1]}"]
    through = HARNESS if harness else ()
    words = [word for word in arguments if word != "--harness"]
    # Unbuffered, so that its lines and the cluster's messages on standard error keep their order.
    session.run(*through, "python", "-u", "examples/digits_search.py", *words)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmark whose name comes first after --, with its arguments; else queue_speed.

    That one is the queue beside its peers. ``queue_scale`` has more tasks and more workers, and
    ``docker_startup`` needs a Docker engine.
    """
    install_workspace(session, *group("test"), *group("bench"))
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
    name, *arguments = session.posargs or ("queue_speed",)
    if name not in names:
        session.error(f"there is no benchmark {name!r}; there are: {', '.join(names)}")
    session.run("python", "-u", "-m", f"benchmarks.{name}", *arguments)
