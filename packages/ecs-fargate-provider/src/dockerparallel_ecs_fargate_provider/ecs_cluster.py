"""The ECS cluster, which names the tasks that belong together and costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider import tags as tagging
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError, ResourceError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.settling import is_missing, settled

T = TypeVar("T")

FARGATE, FARGATE_SPOT = "FARGATE", "FARGATE_SPOT"
"""The capacity providers of ECS that run tasks on Fargate."""

_IN_USE = frozenset({"ClusterContainsTasksException", "UpdateInProgressException"})
_NO_SERVICE_ROLE = "service linked role"


class ECSCluster:
    """Finds or makes the ECS cluster; thread-safe.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self._name = options.cluster_name

    def verify(self) -> None:
        """Look whether a cluster that is there fits; one read where Spot capacity is asked for.

        Raises
        ------
        ResourceError
            It is not ours, and has no Spot capacity.
        AWSError
            AWS refused the call.
        """
        if self._options.spot:
            cluster = self._find()
            if cluster is not None:
                self._lacks_spot(cluster)

    def ensure(self, tags: Mapping[str, str], logger: ClusterLogger) -> str:
        """Return the name of the cluster, made first where it has to be; idempotent.

        One read where it is there. One that has not our tag is used as it is. May block for
        ``start_timeout``: in an account that never used ECS, AWS first makes the role of the
        service; a new cluster is not active at once; and changes follow one another.

        Raises
        ------
        ResourceError
            Spot capacity is asked for, and a cluster that is not ours has none.
        AWSError
            AWS refused a call; a cluster made until then has ``tags``.
        """
        cluster = self._find()
        if cluster is None:
            logger.info("Making the ECS cluster %s.", self._name)
            self._settled(lambda: self._make(tags), f"ECS to be able to make {self._name}", logger)
            cluster = self._settled(
                self._active, f"the new ECS cluster {self._name} to be active", logger
            )
        if self._lacks_spot(cluster):
            self._settled(
                lambda: self._add_spot(cluster), f"changes of {self._name} to end", logger
            )
        return self._name

    def remove(self, key: str, text: str, logger: ClusterLogger | None, timeout: float) -> None:
        """Remove the cluster if it has this tag; idempotent.

        Waits while tasks of it stop.

        Raises
        ------
        AWSTimeoutError
            It still had tasks after ``timeout`` seconds.
        AWSError
            AWS refused a call.
        """
        cluster = self._find()
        if cluster is None or tagging.parsed(cluster.get("tags")).get(key) != text:
            return

        def delete() -> None:
            try:
                self._aws.call("ecs", "DeleteCluster", cluster=self._name)
            except AWSError as error:
                # Gone already, which is what was asked for.
                if not is_missing(error):
                    raise

        settled(
            delete,
            refused_for_now=lambda error: error.code in _IN_USE,
            waits_for=f"the tasks of the ECS cluster {self._name} to stop",
            timeout=timeout,
            logger=logger,
        )

    def _find(self) -> dict[str, Any] | None:
        """Return the cluster, unless there is none or it was removed: then ECS still shows it."""
        answer = self._aws.call("ecs", "DescribeClusters", clusters=[self._name], include=["TAGS"])
        for cluster in answer["clusters"]:
            if cluster["status"] not in {"INACTIVE", "DEPROVISIONING"}:
                return dict(cluster)
        return None

    def _make(self, tags: Mapping[str, str]) -> None:
        self._aws.call(
            "ecs",
            "CreateCluster",
            clusterName=self._name,
            capacityProviders=[FARGATE, FARGATE_SPOT],
            tags=tagging.lowercase(tags),
        )

    def _active(self) -> dict[str, Any]:
        cluster = self._find()
        if cluster is None or cluster["status"] == "PROVISIONING":
            raise AWSError(
                f"The ECS cluster {self._name} is not active yet", code="ClusterNotFoundException"
            )
        return cluster

    def _lacks_spot(self, cluster: Mapping[str, Any]) -> bool:
        """Tell whether the cluster has to get Spot capacity, and may get it from us."""
        if not self._options.spot or FARGATE_SPOT in cluster.get("capacityProviders", ()):
            return False
        owner = tagging.parsed(cluster.get("tags")).get(tagging.INFRASTRUCTURE)
        if owner != self._name:
            raise ResourceError(
                f"spot={self._options.spot:g}, but the ECS cluster cluster_name={self._name!r} has "
                f"not the capacity provider {FARGATE_SPOT}, and DockerParallel has not made it: "
                "add it ('aws ecs put-cluster-capacity-providers'), give another cluster_name, or "
                "leave spot out."
            )
        return True

    def _add_spot(self, cluster: Mapping[str, Any]) -> None:
        providers = {*cluster.get("capacityProviders", ()), FARGATE, FARGATE_SPOT}
        self._aws.call(
            "ecs",
            "PutClusterCapacityProviders",
            cluster=self._name,
            capacityProviders=sorted(providers),
            defaultCapacityProviderStrategy=cluster.get("defaultCapacityProviderStrategy", []),
        )

    def _settled(self, call: Callable[[], T], waits_for: str, logger: ClusterLogger) -> T:
        return settled(
            call,
            refused_for_now=_may_pass,
            waits_for=waits_for,
            timeout=self._options.start_timeout,
            logger=logger,
        )


def _may_pass(error: AWSError) -> bool:
    """Tell whether ECS refuses only until it has made its own role, or ended a change."""
    return (
        is_missing(error)
        or error.code == "UpdateInProgressException"
        or _NO_SERVICE_ROLE in error.text.lower()
    )
