"""Promises C-11 to C-13: static data, and what is exported."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

from dockerparallel import ContainerMismatchError, ExportedNameError
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import Subject

_UNKNOWN = "no_such_name_is_exported"


class StoringPromises:
    """What a container promises of its stored data and of what it exports."""

    @promise("C-11")
    def test_c11_static_data_rebuilds_the_container(self, subject: Subject) -> None:
        """Static data survives JSON and rebuilds an equal container.

        Every field comes back, secrets included, whatever the container had before; an unknown
        key is ignored.

        Troubleshooting: a field of the subclass is no JSON type, or is left out of an overridden
        ``static_data``; or the class is no dataclass, so that its fields are not known.
        """
        server = subject.cluster().state.server_container
        for original in filter(None, (subject.probed_container(), server)):
            original.secrets["CONFORMANCE"] = subject.secret
            data = json.loads(json.dumps(original.static_data()))
            rebuilt = original.copy()
            for field in dataclasses.fields(rebuilt):
                setattr(rebuilt, field.name, _another(getattr(rebuilt, field.name)))
            rebuilt.set_static_data({**data, "a key of a later version": True})
            for field in dataclasses.fields(original):
                subject.require(
                    getattr(rebuilt, field.name) == getattr(original, field.name),
                    f"the field {field.name!r} of {type(original).__name__} is not restored",
                )

    @promise("C-12")
    def test_c12_other_static_data_is_refused(self, subject: Subject) -> None:
        """Static data of another class is refused, and changes nothing.

        Troubleshooting: ``set_static_data`` was overridden without a call of ``super()``.
        """
        container = subject.probed_container()
        before = container.static_data()
        stranger = {**before, "class": "another_package:AnotherContainer", "image": "another"}
        try:
            container.set_static_data(stranger)
        except ContainerMismatchError:
            subject.require(
                container.static_data() == before, "refused static data has changed the container"
            )
            return
        subject.fail("set_static_data() takes the data of another container class")

    @promise("C-13")
    def test_c13_exported_names_resolve(self, subject: Subject) -> None:
        """Every exported name resolves, and no other.

        Functions come without ``cluster`` in their signature. A name that is not exported raises
        ``ExportedNameError``, which lists those there are.

        Troubleshooting: ``exported_names`` was overridden and ``exported_object`` was not; or an
        exported property raises.
        """
        cluster = subject.cluster()
        views = (cluster.worker_container, cluster.server_container, cluster.cloud_provider)
        for view in filter(None, views):
            for name in dir(view):
                try:
                    value = getattr(view, name)
                except Exception as error:  # noqa: BLE001 - an author's property may raise anything
                    subject.fail(f"{view!r}: {name!r} raises {type(error).__name__}: {error}")
                subject.require(
                    not callable(value) or "cluster" not in inspect.signature(value).parameters,
                    f"{name}() still has the parameter cluster",
                )
            try:
                found = getattr(view, _UNKNOWN)
            except ExportedNameError:
                continue
            subject.fail(f"{view!r} gives {found!r} for the name {_UNKNOWN!r}")


def _another(value: Any) -> Any:
    """Return another value of the same type, where it is a type of JSON."""
    changes: dict[type, Any] = {
        bool: lambda: not value,
        int: lambda: value + 1,
        float: lambda: value + 1,
        str: lambda: f"{value}x",
        list: lambda: [*value, "x"],
        dict: lambda: {**value, "X": "x"},
        type(None): lambda: ["x"],
    }
    change = changes.get(type(value))
    return value if change is None else change()
