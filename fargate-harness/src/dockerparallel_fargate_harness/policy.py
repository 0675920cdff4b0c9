"""Evaluate IAM policy documents: the part of IAM's logic that roles and users of ECS need.

What cannot be evaluated never allows: in an Allow it counts as not fulfilled, in a Deny as
fulfilled, and `Verdict.why` says what it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Context = Mapping[str, str | Sequence[str]]
"""The values of condition keys, such as ``{"ecs:cluster": "arn:..."}``."""


@dataclass(frozen=True)
class Verdict:
    """What policies say to one action on one resource.

    Parameters
    ----------
    allowed : bool
        Whether some statement allows it and none denies it.
    explicit_deny : bool, default False
        Whether a statement denies it.
    why : str, default ""
        What could not be evaluated, empty where that played no part.
    """

    allowed: bool
    explicit_deny: bool = False
    why: str = ""


def evaluate(
    documents: Iterable[Mapping[str, Any] | str],
    action: str,
    resource: str,
    context: Context | None = None,
) -> Verdict:
    """Evaluate an action such as ``"ecs:RunTask"`` on an ARN against policy documents."""
    allowed, doubts = False, []
    for document in documents:
        for statement in statements(document):
            if not _covers(statement, action, resource):
                continue
            fulfilled, doubt = _conditions(statement.get("Condition") or {}, context or {})
            doubts += [doubt] if doubt else []
            if statement.get("Effect") == "Deny" and (fulfilled or doubt):
                return Verdict(allowed=False, explicit_deny=True, why=doubt)
            allowed |= statement.get("Effect") == "Allow" and fulfilled and not doubt
    return Verdict(allowed, why="" if allowed else "; ".join(doubts))


def statements(document: Mapping[str, Any] | str) -> list[Mapping[str, Any]]:
    """Return the statements of a document; one alone may stand without a list."""
    parsed = json.loads(document) if isinstance(document, str) else document
    found = parsed.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)


def values(value: Any) -> list[str]:
    """Return a value of a document as a list; one alone may stand without a list."""
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]


def like(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Tell whether a text matches a pattern of IAM, in which ``*`` and ``?`` are wild."""
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.fullmatch("".join(parts), text, flags) is not None


def _covers(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    def action_in(key: str) -> bool:
        return any(like(item, action, ignore_case=True) for item in values(statement[key]))

    def resource_in(key: str) -> bool:
        return any(like(item, resource) for item in values(statement[key]))

    by_action = action_in("Action") if "Action" in statement else not action_in("NotAction")
    if "Resource" in statement:
        return by_action and resource_in("Resource")
    # The trust policy of a role names no resource.
    return by_action and ("NotResource" not in statement or not resource_in("NotResource"))


def _conditions(conditions: Mapping[str, Any], context: Context) -> tuple[bool, str]:
    fulfilled = True
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            result = _condition(operator, key, values(wanted), context)
            if isinstance(result, str):
                return False, result
            fulfilled &= result
    return fulfilled, ""


def _condition(operator: str, key: str, wanted: list[str], context: Context) -> bool | str:
    """Tell whether a condition is fulfilled, or say why that is unknown."""
    if any("${" in item for item in wanted):
        return f"the harness does not evaluate policy variables ({key}: {wanted})"
    quantifier, _, name = operator.rpartition(":")
    base, if_exists = name.removesuffix("IfExists"), name.endswith("IfExists")
    lowered = {known.lower(): value for known, value in context.items()}
    found = lowered.get(key.lower())
    if base == "Null":
        return (found is None) == (wanted == ["true"])
    compare = _OPERATORS.get(base)
    if compare is None or quantifier not in {"", "ForAllValues", "ForAnyValue"}:
        return f"the harness does not evaluate the condition operator {operator}"
    negated = base in _NEGATED
    if found is None:
        return if_exists or negated or quantifier == "ForAllValues"
    hits = [any(compare(item, value) for item in wanted) != negated for value in values(found)]
    return all(hits) if quantifier == "ForAllValues" else any(hits)


_NEGATED = frozenset({"StringNotEquals", "StringNotLike", "ArnNotEquals", "ArnNotLike"})
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringNotEquals": lambda wanted, value: wanted == value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": like,
    "StringNotLike": like,
    "ArnEquals": like,
    "ArnNotEquals": like,
    "ArnLike": like,
    "ArnNotLike": like,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}
