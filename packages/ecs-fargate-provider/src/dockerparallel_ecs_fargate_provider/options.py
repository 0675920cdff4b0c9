"""What the user asks of the provider, checked before anything is asked of AWS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dockerparallel import InvalidTypeError, InvalidValueError
from dockerparallel.validation import (
    check_bool,
    check_optional_str,
    check_seconds,
    check_str,
)
from dockerparallel_ecs_fargate_provider.prices import PriceTable

Architecture = Literal["X86_64", "ARM64"]

CHECKIP_URL = "https://checkip.amazonaws.com"
"""Answers with the address from which it was asked, as plain text; run by AWS."""

CHECKIP_VARIABLE = "DOCKERPARALLEL_CHECKIP_URL"
"""Environment variable that names another such service."""

# Shorter than ECS allows: the name is a part of those of roles, which have 64 characters.
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_TAG_TEXT = re.compile(r"[\w \-+=.:/@]*")
_ARCHITECTURES = {"x86_64": "X86_64", "amd64": "X86_64", "arm64": "ARM64", "aarch64": "ARM64"}
_RESERVED = ("aws:", "dockerparallel:")
_FORGOTTEN = "after that many hours without a sign of its owner a cluster counts as forgotten."
_CAPPED = "after that many hours each task ends by itself; None sets no limit."
_MOST_TAGS = 30
_LONGEST_KEY, _LONGEST_VALUE = 128, 256


@dataclass(frozen=True)
class Options:
    """The arguments of the provider, checked; see ``ECSFargateProvider`` for their meaning."""

    cluster_name: str = "dockerparallel"
    region: str | None = None
    vpc_id: str | None = None
    subnet_ids: tuple[str, ...] = ()
    security_group_id: str | None = None
    task_role_arn: str | None = None
    execution_role_arn: str | None = None
    assign_public_ip: bool = True
    spot: float = 0.0
    architecture: Architecture = "X86_64"
    log_group: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    client_cidr: str | Callable[[], str] | None = None
    checkip_url: str = CHECKIP_URL
    kms_key_id: str | None = None
    lifetime_hours: float = 24.0
    max_hours: float | None = None
    poll_interval: float = 1.0
    start_timeout: float = 600.0
    stop_timeout: float = 120.0


def checked_options(given: Mapping[str, Any]) -> Options:
    """Return the options that a user gave.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        One does not fit, or two do not fit together; the message says what to give.
    """
    values = dict(given)
    values["cluster_name"] = _cluster_name(values["cluster_name"])
    for name in (
        "region",
        "vpc_id",
        "security_group_id",
        "task_role_arn",
        "execution_role_arn",
        "log_group",
        "kms_key_id",
    ):
        check_optional_str(name, values[name])
    for name in ("task_role_arn", "execution_role_arn"):
        if values[name] is not None and ":role/" not in values[name]:
            raise InvalidValueError(
                f"{name}={values[name]!r} is no ARN of a role: it has the form "
                "arn:aws:iam::123456789012:role/NAME."
            )
    values["subnet_ids"] = _names("subnet_ids", values["subnet_ids"])
    check_bool("assign_public_ip", values["assign_public_ip"])
    values["spot"] = _share(values["spot"])
    values["architecture"] = _architecture(values["architecture"])
    values["tags"] = _tags(values["tags"])
    check_str("checkip_url", values["checkip_url"])
    if not callable(values["client_cidr"]) and values["client_cidr"] is not None:
        values["client_cidr"] = checked_cidr(values["client_cidr"])
    values["lifetime_hours"] = _hours("lifetime_hours", values["lifetime_hours"], _FORGOTTEN)
    if values["max_hours"] is not None:
        values["max_hours"] = _hours("max_hours", values["max_hours"], _CAPPED)
    for name in ("poll_interval", "start_timeout", "stop_timeout"):
        values[name] = check_seconds(name, values[name])
    if not values["assign_public_ip"] and values["vpc_id"] is None and not values["subnet_ids"]:
        raise InvalidValueError(
            "assign_public_ip=False needs a network of yours whose subnets reach the image "
            "registry by a NAT gateway or VPC endpoints, and that this machine reaches: give "
            "subnet_ids (or vpc_id)."
        )
    return Options(**values)


def checked_session(value: object) -> Any:
    """Return what makes clients of AWS's services, or ``None`` for boto3's default.

    Raises
    ------
    InvalidTypeError
        It is no session.
    """
    if value is not None and not callable(getattr(value, "client", None)):
        raise InvalidTypeError(f"session must be a boto3.Session, not {value!r}.")
    return value


def checked_prices(value: object) -> PriceTable:
    """Return what things cost: by default the published prices.

    Raises
    ------
    InvalidTypeError
        It is no table of prices.
    """
    if value is None:
        return PriceTable.published()
    if not isinstance(value, PriceTable):
        raise InvalidTypeError(f"prices must be a PriceTable, not {value!r}.")
    return value


def checked_cidr(value: object) -> str:
    """Return an IPv4 network such as ``203.0.113.7/32``; an address alone is taken as its /32.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        It is none, or it is the whole internet.
    """
    text = check_str("client_cidr", value)
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise InvalidValueError(
            f"client_cidr={text!r} is no IPv4 network ({error}): give one such as '203.0.113.7/32'."
        ) from None
    if network.prefixlen == 0:
        raise InvalidValueError(
            f"client_cidr={text!r} would open the server to the whole internet: give the network "
            "that your session comes from, such as '203.0.113.7/32'."
        )
    return str(network)


def _cluster_name(value: object) -> str:
    name = check_str("cluster_name", value)
    if not _CLUSTER_NAME.fullmatch(name):
        raise InvalidValueError(
            f"cluster_name {name!r} cannot be used: it may hold letters, digits, '_' and '-', at "
            "most 32 characters, and starts with a letter or digit."
        )
    return name


def _names(what: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidTypeError(f"{what} must be a list of strings, not {value!r}.")
    return tuple(check_str(f"{what}[{number}]", item) for number, item in enumerate(value))


def _share(value: object) -> float:
    """Return the share of tasks that run on Spot capacity."""
    if not isinstance(value, bool | int | float):
        raise InvalidTypeError(f"spot must be True, False or a share from 0 to 1, not {value!r}.")
    if not 0 <= value <= 1:
        raise InvalidValueError(
            f"spot must be True, False or the share of workers on Spot capacity from 0 to 1, not "
            f"{value!r}."
        )
    return float(value)


def _architecture(value: object) -> str:
    name = check_str("architecture", value)
    if name.lower() not in _ARCHITECTURES:
        raise InvalidValueError(f"architecture must be 'X86_64' or 'ARM64', not {name!r}.")
    return _ARCHITECTURES[name.lower()]


def _hours(name: str, value: object, meaning: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTypeError(f"{name} must be a number of hours, not {value!r}.")
    try:
        return check_seconds(name, value)
    except InvalidValueError:
        raise InvalidValueError(
            f"{name} must be above 0 and finite, not {value}: {meaning}"
        ) from None


def _tags(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidTypeError(f"tags must be a dict of strings, not {value!r}.")
    if len(value) > _MOST_TAGS:
        raise InvalidValueError(
            f"There are {len(value)} tags: AWS takes 50 on a resource, of which at most "
            f"{_MOST_TAGS} may be yours."
        )
    for key, text in value.items():
        check_str("a key of tags", key)
        if not isinstance(text, str):
            raise InvalidTypeError(f"tags[{key!r}] must be a string, not {text!r}.")
        if key.lower().startswith(_RESERVED):
            raise InvalidValueError(
                f"tags has the key {key!r}: those that begin with {' or '.join(_RESERVED)} are "
                "reserved."
            )
        fits = len(key) <= _LONGEST_KEY and len(text) <= _LONGEST_VALUE
        if not fits or not _TAG_TEXT.fullmatch(key) or not _TAG_TEXT.fullmatch(text):
            raise InvalidValueError(
                f"tags[{key!r}]={text!r} cannot be used: AWS takes letters, digits, spaces and "
                f"_ . : / = + - @, up to {_LONGEST_KEY} of them in a key and {_LONGEST_VALUE} in "
                "a value."
            )
    return dict(value)
