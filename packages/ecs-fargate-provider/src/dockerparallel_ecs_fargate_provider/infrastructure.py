"""What the tasks of all sessions share: network, roles, log group and ECS cluster.

Everything costs nothing while no task runs, so that it stays from one session to the next. Each
part is the user's, by an option, or ours: found by tag or name, and made where it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.ecs_cluster import ECSCluster
from dockerparallel_ecs_fargate_provider.errors import AWSTimeoutError
from dockerparallel_ecs_fargate_provider.log_group import LogGroup
from dockerparallel_ecs_fargate_provider.network import Network
from dockerparallel_ecs_fargate_provider.network_removal import remove_network
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.removal import Removal
from dockerparallel_ecs_fargate_provider.roles import Roles
from dockerparallel_ecs_fargate_provider.security_group import SecurityGroup
from dockerparallel_ecs_fargate_provider.tags import INFRASTRUCTURE, MADE_BY


class Site(NamedTuple):
    """Where and with what tasks run.

    Parameters
    ----------
    vpc_id, subnet_ids, security_group_id
        Their network.
    execution_role_arn
        What starts them.
    log_group
        Name of the log group into which they write.
    ecs_cluster
        Name of the ECS cluster.
    """

    vpc_id: str
    subnet_ids: tuple[str, ...]
    security_group_id: str
    execution_role_arn: str
    log_group: str
    ecs_cluster: str


class Infrastructure:
    """Finds, checks, makes and removes what tasks share; thread-safe, and keeps no state.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self._network = Network(aws, options)
        self._group = SecurityGroup(aws, options)
        self._roles = Roles(aws, options)
        self._log_group = LogGroup(aws, options)
        self._ecs_cluster = ECSCluster(aws, options)

    @property
    def log_group_name(self) -> str:
        """Where tasks print to: the log group of the user, or ours, whether it exists or not."""
        return self._log_group.name

    def verify(self) -> None:
        """Check that what the user gave exists and fits together; changes nothing.

        The provider calls it before anything is made. Only what was given is looked at, so that it
        is no call at all where nothing was.

        Raises
        ------
        ResourceError
            Something that was given does not exist, or does not fit; it names the option.
        AWSError
            AWS refused a call.
        """
        vpc_id = self._network.verify().vpc_id if self._network.given else None
        if self._group.given:
            self._group.verify(vpc_id)
        self._roles.verify()
        self._log_group.verify()
        self._ecs_cluster.verify()

    def ensure(self, tags: Mapping[str, str], logger: ClusterLogger) -> Site:
        """Return where tasks run; what is missing and ours is made first, in order of dependency.

        The provider calls it when a server is started. About eight reads where all is there.
        Idempotent, also among sessions at the same time, and after a session that died half-way.
        What was given is not checked again, other than that the network is looked up. May block:
        at each step for ``start_timeout`` at most, while AWS does not know what was just made.

        Parameters
        ----------
        tags
            Of everything that is made: those of :class:`Ownership`.
        logger
            Is told what is made.

        Raises
        ------
        ResourceError
            As :meth:`verify`.
        AWSTimeoutError
            AWS did not come to know something that was just made.
        AWSError
            AWS refused a call. What was made until then has ``tags``: :meth:`undo` removes it.
        """
        subnets = self._network.ensure(tags, logger)
        return Site(
            vpc_id=subnets.vpc_id,
            subnet_ids=subnets.subnet_ids,
            security_group_id=self._group.ensure(subnets.vpc_id, tags, logger),
            execution_role_arn=self._roles.ensure(tags, logger),
            log_group=self._log_group.ensure(tags, logger),
            ecs_cluster=self._ecs_cluster.ensure(tags, logger),
        )

    def let_in(self, site: Site, cidr: str, port: int, tags: Mapping[str, str]) -> None:
        """Let a network open connections to one TCP port of the tasks.

        The provider calls it when a server is started or reconnected to. Idempotent. Rules of a
        group that was given are only looked at.

        Parameters
        ----------
        site
            Of :meth:`ensure`.
        cidr
            Such as ``"203.0.113.7/32"``.
        port
            Of the server.
        tags
            Of the rule.

        Raises
        ------
        ResourceError
            The given group lacks a rule, which the message tells; or ours is full of them.
        AWSError
            AWS refused a call.
        """
        self._group.let_in(site.security_group_id, site.subnet_ids, cidr, port, tags)

    def shut_out(self, site_or_group_id: Site | str) -> None:
        """Take back what :meth:`let_in` has opened for any session; idempotent.

        The provider calls it when the last cluster has ended: sessions that crashed have left
        their rules. Without effect on a group that was given.

        Raises
        ------
        AWSError
            AWS refused a call.
        """
        group_id = site_or_group_id
        if isinstance(group_id, Site):
            group_id = group_id.security_group_id
        self._group.shut_out(group_id)

    def undo(self, made_by: str, logger: ClusterLogger | None) -> None:
        """Remove everything that one session has made, and nothing else; idempotent.

        The provider calls it when a start has failed. What was made is found by its tag, also in
        names of which no answer of AWS told. What another session made first and this one only
        used stays; whether others use what this one made, the caller knows. May block for
        ``stop_timeout`` twice: while tasks of the session still stop, their network and their ECS
        cluster cannot go.

        Parameters
        ----------
        made_by
            ``made_by`` of the session's :class:`Ownership`.

        Raises
        ------
        AWSTimeoutError
            Something is still in use; the network goes first, and then nothing else was touched.
        AWSError
            AWS refused a call. All else was tried; notes tell what is left.
        """
        self._remove(MADE_BY, made_by, logger, self._options.stop_timeout)

    def remove(self, logger: ClusterLogger | None, timeout: float) -> None:
        """Remove everything of this ECS cluster that any session has made; idempotent.

        The provider calls it for a deep clean-up, after it has seen that no tasks run. What the
        user gave stays, and so does what has our name without our tag. Where a part is given,
        one of our own from before is not looked for: leave the option out to remove that.

        Parameters
        ----------
        logger
            Is told what is waited for.
        timeout
            Seconds to wait for the network to be unused, and again for the ECS cluster.

        Raises
        ------
        AWSTimeoutError, AWSError
            As :meth:`undo`.
        """
        self._remove(INFRASTRUCTURE, self._options.cluster_name, logger, timeout)

    def _remove(self, key: str, text: str, logger: ClusterLogger | None, timeout: float) -> None:
        # A network that does not become free is used by tasks, whose role, log and ECS cluster
        # must not be taken from them.
        removal = Removal(lambda error: isinstance(error, AWSTimeoutError))
        group, network = not self._group.given, not self._network.given
        removal.attempt(
            "network",
            lambda: remove_network(
                self._aws, key, text, group=group, network=network, logger=logger, timeout=timeout
            ),
        )
        removal.attempt("execution role", lambda: self._roles.remove(key, text))
        removal.attempt("log group", lambda: self._log_group.remove(key, text))
        removal.attempt("ECS cluster", lambda: self._ecs_cluster.remove(key, text, logger, timeout))
        removal.finish()
