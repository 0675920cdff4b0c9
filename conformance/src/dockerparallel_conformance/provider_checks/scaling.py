"""Promises P-13 to P-19: changing the number of workers, and sharing containers."""

from __future__ import annotations

from dockerparallel import Capability, Status
from dockerparallel_conformance.disguise import configured_numbers
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import PACKED_LIMIT, PACKED_WORKERS, Subject
from dockerparallel_conformance.tasks import DOUBLE

# How often a worker that was told to stop may still answer.
_LAST_WORDS = 5


class ScalingPromises:
    """What a provider promises when the number of workers changes."""

    @promise("P-13")
    def test_p13_growing_keeps_what_is_there(self, subject: Subject) -> None:
        """Growing adds what is missing and keeps what is there.

        Troubleshooting: the provider starts ``worker_number`` workers instead of the difference,
        or replaces the ones that run.
        """
        cluster = subject.running()
        before = subject.identities(cluster, subject.worker_number)
        more = subject.worker_number + 1
        cluster.set_worker_number(more)
        subject.wait_for_workers(cluster, more)
        after = subject.identities(cluster, more)
        subject.require(
            before <= after and len(after) == more,
            f"the workers were {sorted(before)}; after growing to {more} they are {sorted(after)}",
        )

    @promise("P-14")
    def test_p14_shrinking_to_exactly_the_number(self, subject: Subject) -> None:
        """Shrinking leaves exactly the asked number of workers.

        With one worker in a container, just as many go as were too many, and the others go on.

        Troubleshooting: all are killed and some started again; the number to keep is taken for
        the number to kill; or a worker that was told to stop is still counted.
        """
        cluster = subject.running()
        more = subject.worker_number + 1
        subject.scale(cluster, more)
        before = subject.identities(cluster, more)
        cluster.set_worker_number(more - 1)
        subject.wait_for_workers(cluster, more - 1)
        after = subject.identities(cluster, more - 1)
        for _ in range(_LAST_WORDS):
            if len(after) < more:
                break
            # A platform may tell a container to stop a moment after it has said so.
            after = subject.identities(cluster, more - 1)
        subject.require(
            after < before and len(after) == more - 1,
            f"the workers were {sorted(before)}; after shrinking from {more} to {more - 1} they "
            f"are {sorted(after)}",
        )

    @promise("P-15")
    def test_p15_to_zero_while_the_server_stays(self, subject: Subject) -> None:
        """Without workers the server goes on.

        ``set_worker_number(0)`` ends every worker and leaves the server, its address and what it
        holds.

        Troubleshooting: the platform ends a cluster that has no workers; or the last handle is
        kept, for instance by an off-by-one in choosing whom to kill.
        """
        cluster = subject.running()
        endpoint = cluster.server_address_for_client()
        cluster.set_worker_number(0)
        subject.wait_for_workers(cluster, 0)
        status = Status(cluster.state.provider.server_status(cluster))
        subject.require(
            status is Status.RUNNING, f"without workers, server_status() is {status.value!r}"
        )
        subject.require(
            cluster.server_address_for_client() == endpoint, "the server's address has changed"
        )

    @promise("P-16")
    def test_p16_up_again_from_zero(self, subject: Subject) -> None:
        """Workers come back after there were none, and compute.

        Troubleshooting: what workers need, such as a network or a stored secret, was removed with
        the last of them; remove it in ``cleanup``.
        """
        cluster = subject.running()
        subject.scale(cluster, 0)
        cluster.set_worker_number(subject.worker_number)
        subject.wait_for_workers(cluster, subject.worker_number)
        seen = subject.identities(cluster, subject.worker_number)
        subject.require(
            len(seen) == subject.worker_number,
            f"after scaling to 0 and to {subject.worker_number}, tasks ran on {sorted(seen)}",
        )

    @promise("P-18")
    def test_p18_more_workers_than_a_container_holds(self, subject: Subject) -> None:
        """More workers than one container holds all compute.

        With ``max_worker_num`` of 2, three workers need two containers at least.

        Troubleshooting: all workers are put into one container; or a container that is packed is
        not configured again by ``container.configure_worker_env(cluster, n)``, and runs one.
        """
        cluster = subject.packed()
        seen = subject.identities(cluster, PACKED_WORKERS)
        subject.require(
            len(seen) == PACKED_WORKERS,
            f"{PACKED_WORKERS} worker(s) were asked for, with {PACKED_LIMIT} at most in a "
            f"container, and tasks ran on {len(seen)}: {sorted(seen)}",
        )
        numbers: list[dict[str, float]] = [{"number": n, "pause": 0} for n in range(5)]
        subject.require(
            subject.run(cluster, DOUBLE, numbers) == [0, 2, 4, 6, 8], "the results are wrong"
        )

    @promise("P-17")
    def test_p17_the_limit_of_a_container_is_heeded(self, subject: Subject) -> None:
        """No container gets more workers than its limit.

        Neither is a container configured for more than ``max_worker_num`` workers, nor does a
        handle stand for more.

        Troubleshooting: the provider packs by the size of its machines alone.
        """
        asked = configured_numbers(subject, PACKED_LIMIT, PACKED_WORKERS)
        subject.require(
            max(asked) <= PACKED_LIMIT,
            f"a container was to run {max(asked)} workers, and its max_worker_num is "
            f"{PACKED_LIMIT}",
        )

    @promise("P-19", Capability.SHARED_CONTAINERS)
    def test_p19_workers_share_containers(self, subject: Subject) -> None:
        """Workers share containers as far as the limit allows.

        Troubleshooting: the provider starts one container for each worker. Then do not claim
        ``Capability.SHARED_CONTAINERS``.
        """
        asked = configured_numbers(subject, PACKED_LIMIT, PACKED_LIMIT)
        subject.require(
            max(asked) == PACKED_LIMIT,
            f"for {PACKED_LIMIT} workers, with {PACKED_LIMIT} at most in a container, none was "
            f"configured for more than {max(asked)}",
        )
