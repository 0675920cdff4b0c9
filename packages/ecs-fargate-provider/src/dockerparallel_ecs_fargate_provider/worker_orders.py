"""Which tasks to start for workers that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dockerparallel_ecs_fargate_provider.packing import TaskShape, pack, rounding_note
from dockerparallel_ecs_fargate_provider.prices import Rates
from dockerparallel_ecs_fargate_provider.records import TaskRecord

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware
    from dockerparallel_ecs_fargate_provider.deployment import Order


def worker_orders(
    cluster: DockerCluster,
    container: DockerContainer,
    hardware: DockerHardware,
    worker_number: int,
    *,
    spot: float,
    living: Sequence[TaskRecord],
    rates: Rates,
    per_task: float,
) -> list[Order]:
    """Return what to start: the cheapest tasks, of which some run on Spot capacity.

    Says so where tasks get more than their workers asked for.

    Parameters
    ----------
    container
        Configured for one worker.
    spot
        The share of all tasks, the living ones included, that shall run on Spot capacity.
    per_task
        What a task costs an hour besides its size.
    """
    shapes = pack(hardware, worker_number, container.max_worker_num, rates, per_task=per_task)
    new = sum(shape.count for shape in shapes)
    wanted = round(spot * (len(living) + new)) - sum(task.spot for task in living)
    left = max(0, min(new, wanted))
    orders: list[Order] = []
    for shape in shapes:
        note = rounding_note(hardware, shape)
        if note is not None:
            cluster.logger.info("%s", note)
        configured = (
            container
            if shape.workers == 1
            else container.configure_worker_env(cluster, shape.workers)
        )
        on_spot = min(left, shape.count)
        left -= on_spot
        for number, is_spot in ((on_spot, True), (shape.count - on_spot, False)):
            if number:
                orders.append((configured, TaskShape(shape.workers, shape.size, number), is_spot))
    return orders
