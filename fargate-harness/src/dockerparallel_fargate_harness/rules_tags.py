"""The rules for tags that the services have in common, and for the texts of ECS.

Source: Amazon ECS API Reference, the types and actions that the functions name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dockerparallel_fargate_harness.errors import AwsError

MOST_TAGS = 50
KEY_LENGTH = 128
VALUE_LENGTH = 256
_TAG_TEXT = re.compile(r"[\w .:/=+\-@]*")
_STARTED_BY = re.compile(r"[A-Za-z0-9/_-]{0,128}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,64}")


def invalid(message: str) -> AwsError:
    """Return the error of most broken rules of ECS."""
    return AwsError("InvalidParameterException", message)


def check_tags(tags: Sequence[dict[str, Any]]) -> None:
    """Check tags of ECS (type Tag): their number, lengths and characters."""
    if len(tags) > MOST_TAGS:
        raise invalid(f"Tags can have a maximum size of {MOST_TAGS}.")
    keys = [str(tag.get("key") or "") for tag in tags]
    if len(set(keys)) != len(keys):
        raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key, tag in zip(keys, tags, strict=True):
        value = str(tag.get("value") or "")
        if not 1 <= len(key) <= KEY_LENGTH or len(value) > VALUE_LENGTH:
            raise invalid(
                f"Tag key must have 1 to {KEY_LENGTH} characters and its value at most "
                f"{VALUE_LENGTH}: {key[:40]!r}"
            )
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag keys cannot start with 'aws:': {key!r}")
        if not (_TAG_TEXT.fullmatch(key) and _TAG_TEXT.fullmatch(value)):
            raise invalid(
                "Some tags contain invalid characters. Valid characters: UTF-8 letters, spaces, "
                f"numbers and _ . / = + - : @ ({key!r})"
            )


def check_started_by(text: str) -> None:
    """Check ``startedBy`` (RunTask)."""
    if not _STARTED_BY.fullmatch(text):
        raise invalid(
            "startedBy: up to 128 letters (uppercase and lowercase), numbers, hyphens (-), "
            "forward slash (/), and underscores (_) are allowed."
        )


def check_token(text: str | None) -> None:
    """Check ``clientToken`` (RunTask)."""
    if text is not None and not _TOKEN.fullmatch(text):
        raise invalid("clientToken: up to 64 ASCII characters in the range of 33-126 are allowed.")
