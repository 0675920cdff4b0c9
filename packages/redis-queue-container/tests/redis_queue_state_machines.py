"""How state machines of hypothesis are played on a real server."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def play(
    machine: type[RuleBasedStateMachine], *, max_examples: int, stateful_step_count: int
) -> None:
    """Play the same random games each time, and fail with the first that breaks a promise."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            # A failure is told as it was found: to simplify it takes minutes on a real server.
            phases=[Phase.generate],
            max_examples=max_examples,
            stateful_step_count=stateful_step_count,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
