"""The contract of a container: which image to run, how, and which parallel backend it serves."""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dockerparallel.capability import Capability
from dockerparallel.copying import independent_copy
from dockerparallel.errors import (
    ContainerMismatchError,
    InvalidTypeError,
    ServerContainerError,
)
from dockerparallel.exported import Exporting
from dockerparallel.static_data import (
    FORMAT,
    check_format,
    class_name,
    fields_of,
    restore_fields,
)
from dockerparallel.validation import check_environment, check_file_name, check_int, check_str

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster

_CLAIMS = {
    "server_container": Capability.SERVER_CONTAINER,
    "deregister_parallel_backend": Capability.DEREGISTER,
}


@dataclasses.dataclass(repr=False)
class DockerContainer(Exporting, ABC):
    """Which image to run, with which environment, and which backend the user's session talks to.

    Extension authors derive a dataclass from it and override the abstract methods; fields that
    they add are stored and restored with the rest if they are made of JSON types. A container
    never knows on which provider it runs. The cluster works on copies, and a method that
    configures returns a changed copy of ``self``: the user's object is never changed.

    Parameters
    ----------
    image
        Name of the container image.
    name
        Name of the container, for people.
    backend
        Name of the parallel backend that the container serves.
    max_worker_num
        The most workers that may share one container. At least 1.
    environment
        Environment variables of the container, a dict of strings. The user may put some in;
        configuring adds to them and never replaces one of theirs.
    secrets
        Like ``environment``, but handed over by the secret channel of the provider and shown
        nowhere. Read it in the container with :func:`dockerparallel.environment.read_secret`.
    command
        The program that the image runs and its arguments, or ``None`` for the image's own. A
        provider without images runs it directly.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What the class claims to offer; see :class:`dockerparallel.Capability`."""

    image: str
    name: str = ""
    backend: str = ""
    max_worker_num: int = 1
    # Kept out of the repr that dataclass() writes for derived classes.
    environment: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    secrets: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    command: list[str] | None = None

    # What a container must do ---------------------------------------------------------------

    @abstractmethod
    def configure_server_env(self, cluster: DockerCluster) -> Self:
        """Return a copy of this server container, ready to run as the server of ``cluster``.

        Called by the cluster each time it starts a server, before the provider's ``run_server``,
        and by a provider that had to choose another ``cluster.config.server_port``. It puts what
        the server must know (password, port) into ``secrets`` and ``environment`` of the copy,
        replaces no variable that the user has set, and works on a copy that was configured
        before, whose own variables it sets anew. It must not block, nor change ``self``.
        """

    @abstractmethod
    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        """Return a copy of this worker container, ready to run ``worker_number`` workers.

        Called by the cluster with 1 before it asks the provider for workers, and by a provider
        that puts several workers into one container. ``cluster.server_address_for_workers()``
        tells where the server is. The other rules are those of :meth:`configure_server_env`.
        """

    @abstractmethod
    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Make the backend of this container the one that the user's session computes with.

        Called on the worker container by ``register_backend``, once the server runs (it may
        not answer yet). ``options`` are the user's. It may block, bounded by a timeout that the
        user can set, and may be called from any thread; registering twice is harmless. What it
        registers must not keep ``cluster`` alive: hold ``cluster.state`` or parts of it.

        Raises
        ------
        BackendError
            The server cannot be reached or refuses the client.
        """

    # What a container may do ----------------------------------------------------------------

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Take back what :meth:`register_parallel_backend` did.

        Called on the worker container by ``deregister_backend`` and ``stop``, also when the
        server is gone, and also when nothing is registered: both are harmless. The default makes
        joblib's own default backend the default again, where joblib is loaded.
        """
        joblib = sys.modules.get("joblib")
        if joblib is None:
            return
        parallel = sys.modules["joblib.parallel"]
        builtin = "loky" if "loky" in parallel.BACKENDS else "threading"
        joblib.register_parallel_backend(builtin, parallel.BACKENDS[builtin], make_default=True)

    def write_build_context(self, folder: Path) -> dict[str, str] | None:
        """Write what ``image`` is built of, for a provider whose engine lacks it.

        Called by a provider that can build images, before it starts the first container of an
        image that is not there, and by nobody where the image is there. It may block, for as long
        as it takes to collect the files.

        Parameters
        ----------
        folder
            An empty folder. It gets a ``Dockerfile`` and all that this copies.

        Returns
        -------
        dict of str or None
            The build arguments. ``None`` (the default), with nothing written, says that the image
            is not this container's to build: it must be pulled. With an argument ``BUILD_ID``,
            images of further stages that have the label ``dockerparallel.build`` of that value
            are removed after the build, also where it failed.

        Raises
        ------
        DockerParallelError
            The image is this container's to build, and something that it is made of is missing.
        """
        return None

    def server_container(self) -> DockerContainer:
        """Return the server container that belongs to this worker container.

        Called by the cluster where the user gave none.

        Raises
        ------
        ServerContainerError
            This container does not know one (the default): the user must pass
            ``server_container=``.
        """
        raise ServerContainerError(
            f"{type(self).__name__} does not make a server container: pass server_container= to "
            "DockerCluster, or private_server=ExternalServer(...) where a server runs already."
        )

    # What every container has ---------------------------------------------------------------

    def full_environment(self) -> dict[str, str]:
        """Return environment and secrets together, for a provider without a secret channel."""
        return {**self.environment, **self.secrets}

    def copy(self) -> Self:
        """Return a copy that shares nothing with this container that a change could reach."""
        return independent_copy(self)

    def check(self) -> None:
        """Refuse fields that no provider could run.

        Called by the cluster when it is given the container and before it deploys it.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            A field has the wrong type or an impossible value; the message names both.
        """
        owner = type(self).__name__
        check_str(f"{owner}.image", self.image)
        for field in ("name", "backend"):
            if getattr(self, field) != "":
                check_str(f"{owner}.{field}", getattr(self, field))
        check_int(f"{owner}.max_worker_num", self.max_worker_num, minimum=1)
        check_environment(f"{owner}.environment", self.environment)
        check_environment(f"{owner}.secrets", self.secrets, secret=True)
        for name in self.secrets:
            check_file_name(f"{owner}.secrets", name)
        if self.command is not None:
            if not isinstance(self.command, list):
                raise InvalidTypeError(
                    f"{owner}.command must be a list of strings or None, not {self.command!r}: "
                    "give the program and each argument as an item of a list."
                )
            for index, word in enumerate(self.command):
                check_str(f"{owner}.command[{index}]", word)

    def static_data(self) -> dict[str, Any]:
        """Return what rebuilds this container, as JSON types; it holds the secrets.

        Called by ``cluster.static_data()`` on behalf of a provider. The default holds the class
        and every dataclass field.
        """
        return {"format": FORMAT, "class": class_name(self), **fields_of(self)}

    def set_static_data(self, data: Mapping[str, Any]) -> None:
        """Take over what :meth:`static_data` returned, in this process or another.

        Raises
        ------
        StaticDataError
            The data has a format that this version does not read.
        ContainerMismatchError
            The data is of another class; the message names both.
        """
        check_format(type(self).__name__, data)
        stored = data.get("class")
        if stored != class_name(self):
            raise ContainerMismatchError(
                f"The stored container is a {stored}, and {class_name(self)} was given: pass a "
                f"{stored} to DockerCluster to reconnect."
            )
        restore_fields(self, data)

    @classmethod
    def claimed_capabilities(cls) -> frozenset[Capability]:
        """Return what this class claims: the declared set, or what it overrides."""
        return claims(cls, DockerContainer, _CLAIMS)

    def __repr__(self) -> str:
        """Show the container without secrets, nor values of environment variables."""
        shown = [f"image={self.image!r}", f"name={self.name!r}", f"backend={self.backend!r}"]
        shown.append(f"max_worker_num={self.max_worker_num!r}")
        shown.append(f"environment={sorted(self.environment)}")
        shown.append(f"secrets={sorted(self.secrets)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def claims(cls: type, base: type, by_method: Mapping[str, Capability]) -> frozenset[Capability]:
    """Return the capabilities that an extension class claims; see :class:`Capability`."""
    for ancestor in cls.__mro__:
        if ancestor is base:
            break
        if "capabilities" in vars(ancestor):
            declared: frozenset[Capability] = vars(ancestor)["capabilities"]
            return declared
    return frozenset(
        capability
        for method, capability in by_method.items()
        if getattr(cls, method) is not getattr(base, method)
    )
