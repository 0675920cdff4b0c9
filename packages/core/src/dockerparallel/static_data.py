"""The stored form of a cluster: JSON types only, with a format number.

Providers write it to a secret place when they start a cluster and read it back when another
process reconnects. It holds the password and the secrets of the containers.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dockerparallel.errors import InvalidTypeError, StaticDataError

FORMAT = 1
"""Number of the format that this version writes; it reads this one and those before it."""


def class_name(obj: object) -> str:
    """Return the full name of an object's class, as static data stores it."""
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def check_format(what: str, data: Mapping[str, Any]) -> None:
    """Refuse data of a format that this version cannot read."""
    if not isinstance(data, Mapping):
        raise StaticDataError(
            f"Static data of {what} must be a dict, not {type(data).__name__}: "
            "pass what static_data() returned."
        )
    number = data.get("format")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= FORMAT:
        raise StaticDataError(
            f"Static data of {what} has format {number!r}, and this version of dockerparallel "
            f"reads 1 to {FORMAT}: reconnect with the version that started the cluster, or newer."
        )


def to_json_types(what: str, value: Any) -> Any:
    """Return a copy of ``value`` made of JSON types, or refuse it with its place named.

    Raises
    ------
    InvalidTypeError
        ``value`` holds something that JSON cannot carry.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(
            f"{what} cannot be stored as static data ({error}): it must be made of JSON types, or "
            "the class must override static_data() and set_static_data()."
        ) from error


def fields_of(instance: Any) -> dict[str, Any]:
    """Return the dataclass fields of an instance as JSON types, by name."""
    return {
        field.name: to_json_types(
            f"{type(instance).__name__}.{field.name}", getattr(instance, field.name)
        )
        for field in dataclasses.fields(instance)
    }


def restore_fields(instance: Any, data: Mapping[str, Any]) -> None:
    """Set the dataclass fields that ``data`` names; unknown keys are ignored."""
    for field in dataclasses.fields(instance):
        if field.name in data:
            setattr(instance, field.name, copy.deepcopy(data[field.name]))
