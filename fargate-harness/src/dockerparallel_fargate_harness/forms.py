"""Decode the form of the query and EC2 protocols into the arguments that boto3 took."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import (
    ListShape,
    MapShape,
    OperationNotFoundError,
    ServiceModel,
    Shape,
    StructureShape,
)


@functools.cache
def model_of(service: str) -> ServiceModel:
    """Return botocore's description of a service."""
    return botocore.session.get_session().get_service_model(service)


def parameters_of_form(service: str, form: dict[str, str]) -> dict[str, Any]:
    """Return the arguments, nested as in boto3; those of an unknown action stay flat."""
    try:
        shape = model_of(service).operation_model(form["Action"]).input_shape
    except OperationNotFoundError:
        return {key: value for key, value in form.items() if key not in {"Action", "Version"}}
    if shape is None:
        return {}
    reader = _Ec2Form(form) if service == "ec2" else _QueryForm(form)
    return reader.structure(shape, "")


class _QueryForm:
    def __init__(self, form: dict[str, str]) -> None:
        self._form = form

    def name(self, shape: Shape, default: str) -> str:
        """Return the name of a member on the wire."""
        return str(shape.serialization.get("name", default))

    def list_prefix(self, shape: ListShape, prefix: str) -> str:
        """Return what the numbers of a list's items follow."""
        if not shape.serialization.get("flattened"):
            return f"{prefix}.{shape.member.serialization.get('name', 'member')}"
        name = shape.member.serialization.get("name")
        return ".".join([*prefix.split(".")[:-1], name]) if name else prefix

    def structure(self, shape: StructureShape, prefix: str) -> dict[str, Any]:
        found = {}
        for name, member in shape.members.items():
            wire = self.name(member, name)
            value = self.value(member, f"{prefix}.{wire}" if prefix else wire)
            if value is not None:
                found[name] = value
        return found

    def value(self, shape: Shape, prefix: str) -> Any:
        """Return one value, or None where the form does not hold it."""
        if isinstance(shape, StructureShape):
            return self.structure(shape, prefix) if self.holds(prefix) else None
        if isinstance(shape, ListShape):
            items = self.numbered(self.list_prefix(shape, prefix))
            return [self.value(shape.member, item) for item in items] or None
        if isinstance(shape, MapShape):
            start = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
            key, value = self.name(shape.key, "key"), self.name(shape.value, "value")
            pairs = {
                self._form[f"{item}.{key}"]: self.value(shape.value, f"{item}.{value}")
                for item in self.numbered(start)
            }
            return pairs or None
        return scalar(shape, self._form[prefix]) if prefix in self._form else None

    def holds(self, prefix: str) -> bool:
        """Tell whether anything of the form is below a name."""
        return any(key.startswith(f"{prefix}.") for key in self._form)

    def numbered(self, prefix: str) -> Iterator[str]:
        """Yield the prefixes of a list's items in order."""
        number = 1
        while (item := f"{prefix}.{number}") in self._form or self.holds(item):
            yield item
            number += 1


class _Ec2Form(_QueryForm):
    def name(self, shape: Shape, default: str) -> str:
        if "queryName" in shape.serialization:
            return str(shape.serialization["queryName"])
        name = shape.serialization.get("name")
        return name[0].upper() + name[1:] if name else default

    def list_prefix(self, shape: ListShape, prefix: str) -> str:
        return prefix


def scalar(shape: Shape, text: str) -> Any:
    """Return one value of the form in its type."""
    if shape.type_name in {"integer", "long"}:
        return int(text)
    if shape.type_name == "boolean":
        return text == "true"
    if shape.type_name in {"float", "double"}:
        return float(text)
    return text
