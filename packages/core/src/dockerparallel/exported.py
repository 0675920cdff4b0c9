"""What an extension shows to the user, and the views through which the user sees it.

Extension authors mark methods and properties with :func:`exported`. The user finds them at
``cluster.cloud_provider``, ``cluster.server_container`` and ``cluster.worker_container``, each
function with the cluster already bound.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dockerparallel.context import cluster_context
from dockerparallel.errors import ExportedNameError, InvalidTypeError

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster

_MARK = "__dockerparallel_exported__"
_Marked = TypeVar("_Marked", bound="Callable[..., Any] | property")


class _ExportedProperty(property):
    """A property that :func:`exported` has marked (a plain one takes no attributes)."""


def exported(target: _Marked) -> _Marked:
    """Mark a method or property of a provider or container as part of its user API.

    Used as a decorator by extension authors, above or below ``@property``. A function may declare
    a parameter ``cluster``: the user does not see it, and the cluster is passed for it. A
    function without it can call :func:`dockerparallel.current_cluster`. A method that overrides
    an exported one is exported too.

    Raises
    ------
    InvalidTypeError
        ``target`` is neither a function nor a property.
    """
    if isinstance(target, property):
        # It is the same property, of a subclass.
        return cast(
            "_Marked", _ExportedProperty(target.fget, target.fset, target.fdel, target.__doc__)
        )
    if not inspect.isfunction(target):
        raise InvalidTypeError(
            f"@exported marks functions and properties, not {target!r}; "
            "override exported_names() and exported_object() to export other objects."
        )
    setattr(target, _MARK, True)
    return target


def marked_names(cls: type) -> list[str]:
    """Return the sorted names that :func:`exported` marks on a class or its bases."""
    names = set()
    for base in cls.__mro__:
        for name, member in vars(base).items():
            marked = member.fget if isinstance(member, property) else member
            if isinstance(member, _ExportedProperty) or hasattr(marked, _MARK):
                names.add(name)
    return sorted(names)


class Exporting:
    """The part of providers and containers that exports an API to the user."""

    def exported_names(self) -> list[str]:
        """Return the names that the user sees in the view of this extension.

        Called by the views and by ``dir()``. The default names what :func:`exported` marks, in
        alphabetical order. Thread-safe; does not block.
        """
        return marked_names(type(self))

    def exported_object(self, name: str) -> Any:
        """Return the object behind an exported name: a function, or the value of a variable.

        Called by the views, each time the user asks for the name. The default returns the
        attribute of that name.

        Raises
        ------
        ExportedNameError
            ``name`` is not among :meth:`exported_names`.
        """
        if name not in self.exported_names():
            raise ExportedNameError(_unknown_name(type(self).__name__, name, self))
        return getattr(self, name)


class ExportedView:
    """The user's view of one extension object of a cluster.

    Made anew by each access to ``cluster.cloud_provider`` and its siblings. It keeps the cluster
    alive. Exported functions come with the cluster bound and without ``cluster`` in their
    signature; exported variables come with their current value. ``dir()`` lists the names.
    """

    __slots__ = ("_cluster", "_role", "_target")

    _cluster: DockerCluster
    _role: str
    _target: Exporting

    def __init__(self, cluster: DockerCluster, role: str, target: Exporting) -> None:
        object.__setattr__(self, "_cluster", cluster)
        object.__setattr__(self, "_role", role)
        object.__setattr__(self, "_target", target)

    def __getattr__(self, name: str) -> Any:
        """Return the exported object ``name``; ``ExportedNameError`` lists the names there are."""
        if name not in self._target.exported_names():
            raise ExportedNameError(_unknown_name(f"cluster.{self._role}", name, self._target))
        with cluster_context(self._cluster):
            value = self._target.exported_object(name)
        if inspect.isroutine(value) or isinstance(value, functools.partial):
            return bind_cluster(value, self._cluster)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an exported property that has a setter; all else is refused."""
        member = inspect.getattr_static(type(self._target), name, None)
        if name in self._target.exported_names() and isinstance(member, property) and member.fset:
            with cluster_context(self._cluster):
                setattr(self._target, name, value)
            return
        raise ExportedNameError(
            f"cluster.{self._role}.{name} cannot be set: only exported properties with a setter "
            f"can. Exported by {type(self._target).__name__}: {_listed(self._target)}."
        )

    def __dir__(self) -> list[str]:
        return self._target.exported_names()

    def __repr__(self) -> str:
        return f"<cluster.{self._role}: {self._target!r}, exports {_listed(self._target)}>"


def bind_cluster(function: Callable[..., Any], cluster: DockerCluster) -> Callable[..., Any]:
    """Return ``function`` with ``cluster`` passed, current, and gone from its signature."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some C functions have no signature: such a one cannot declare ``cluster`` either.
        signature = None
    takes_cluster = signature is not None and "cluster" in signature.parameters

    @functools.wraps(function, updated=())
    def bound(*args: Any, **kwargs: Any) -> Any:
        with cluster_context(cluster):
            if signature is None or not takes_cluster:
                return function(*args, **kwargs)
            given = visible.bind(*args, **kwargs).arguments
            given["cluster"] = cluster
            ordered = {name: given[name] for name in signature.parameters if name in given}
            call = inspect.BoundArguments(signature, ordered)
            return function(*call.args, **call.kwargs)

    if signature is None:
        return bound
    visible = signature.replace(
        parameters=[p for name, p in signature.parameters.items() if name != "cluster"]
    )
    bound.__signature__ = visible  # type: ignore[attr-defined]
    return bound


def _unknown_name(owner: str, name: str, target: Exporting) -> str:
    return f"{owner} exports no {name!r}. Exported by {type(target).__name__}: {_listed(target)}."


def _listed(target: Exporting) -> str:
    return ", ".join(target.exported_names()) or "nothing"
