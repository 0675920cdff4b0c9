"""Promises P-20 to P-24: workers that die, and what the provider tells of handles."""

from __future__ import annotations

from typing import Any

from dockerparallel import Capability, DockerCluster, Status
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import Subject

WORKERS = 2
UNKNOWN_HANDLES = ["no-such-worker-1", "no-such-worker-2"]


class LossPromises:
    """What a provider promises when workers are lost."""

    @promise("P-20", Capability.WORKER_NUMBERS)
    def test_p20_a_dead_worker_is_noticed(self, subject: Subject) -> None:
        """A worker that died behind the provider's back is noticed.

        It is no longer counted, in bounded time.

        Troubleshooting: the status is remembered from the start instead of asked of the platform;
        a word of the platform such as "exited" or "unknown" is taken for running; or, for
        processes, a zombie is taken for alive: a parent must wait for its children.
        """
        cluster = subject.running()
        subject.scale(cluster, WORKERS)
        subject.hooks.kill_worker(cluster)
        subject.wait_until(
            lambda: sum(cluster.worker_numbers()[:2]) < WORKERS,
            lambda: (
                "one of 2 workers was killed and is no longer counted; worker_numbers() is "
                f"{cluster.worker_numbers()}"
            ),
        )
        subject.require(
            sum(cluster.worker_numbers()[:2]) == 1,
            f"one of 2 workers was killed, and {cluster.worker_numbers()} are counted",
        )

    @promise("P-21", Capability.WORKER_NUMBERS)
    def test_p21_update_brings_dead_workers_back(self, subject: Subject) -> None:
        """Dead workers come back by ``update``, and compute.

        Troubleshooting: ``set_worker_number`` compares the wanted number with the workers that
        were once started instead of with those that live.
        """
        cluster = subject.running()
        subject.scale(cluster, WORKERS)
        before = subject.identities(cluster, WORKERS)
        subject.hooks.kill_worker(cluster)
        subject.wait_until(
            lambda: sum(cluster.worker_numbers()[:2]) < WORKERS,
            "the killed worker is no longer counted",
        )
        cluster.update()
        subject.wait_for_workers(cluster, WORKERS)
        after = subject.identities(cluster, WORKERS)
        subject.require(
            len(after) == WORKERS and len(after & before) == 1,
            f"the workers were {sorted(before)}; one was killed, and after update() they are "
            f"{sorted(after)}",
        )

    @promise("P-22")
    def test_p22_killing_what_is_gone_succeeds(self, subject: Subject) -> None:
        """Killing a container that is unknown, or dead already, succeeds.

        ``kill_worker_containers`` answers ``True`` for each handle of which nothing is left,
        however often it is asked.

        Troubleshooting: the platform's error "not found" is passed on, or answered by ``False``:
        the container then stays known for ever.
        """
        cluster = subject.running()
        provider = _managed(subject, cluster)
        subject.scale(cluster, WORKERS)
        with cluster.state.lock:
            for what, handles in (
                ("that are unknown", UNKNOWN_HANDLES),
                ("of which one lives and one is unknown", [_last(provider), UNKNOWN_HANDLES[0]]),
                ("that were killed before", [_last(provider)]),
            ):
                for _ in range(2):
                    answer = provider.kill_worker_containers(cluster, list(handles))
                    subject.require(
                        list(answer) == [True] * len(handles),
                        f"killing handles {what} gave {answer} for {handles}",
                    )
        cluster.update()

    @promise("P-23")
    def test_p23_what_is_unknown_has_stopped(self, subject: Subject) -> None:
        """No handles have no status, and unknown ones have stopped.

        Troubleshooting: an empty filter means "all" to many platforms: answer ``[]`` without
        asking. A handle that the platform does not find is ``Status.STOPPED``.
        """
        cluster = subject.running()
        provider = _managed(subject, cluster)
        with cluster.state.lock:
            none = provider.worker_status(cluster, [])
            unknown = provider.worker_status(cluster, list(UNKNOWN_HANDLES))
        subject.require(list(none) == [], f"worker_status() of no handles gave {none}")
        subject.require(
            list(unknown) == [Status.STOPPED] * len(UNKNOWN_HANDLES),
            f"worker_status() of unknown handles gave {unknown}",
        )

    @promise("P-24")
    def test_p24_one_status_for_each_handle(self, subject: Subject) -> None:
        """Each handle gets one ``Status``, in the order of the handles.

        Troubleshooting: the platform answers in an order of its own, leaves out what it does not
        know, or its own words are passed on instead of a ``Status``.
        """
        cluster = subject.running()
        provider = _managed(subject, cluster)
        subject.scale(cluster, WORKERS)
        living = list(dict.fromkeys(provider.worker_handles()))
        unknown, other = UNKNOWN_HANDLES
        asked = [unknown, *living, other]
        with cluster.state.lock:
            forth = provider.worker_status(cluster, list(asked))
            back = provider.worker_status(cluster, asked[::-1])
        subject.require(
            all(isinstance(status, Status) for status in [*forth, *back]),
            f"worker_status() gave {forth}: each must be a member of Status",
        )
        subject.require(
            len(forth) == len(asked) and list(forth) == list(back)[::-1],
            f"worker_status() gave {forth} for {asked}, and {back} for the reverse",
        )
        expected = [Status.STOPPED, *[Status.RUNNING] * len(living), Status.STOPPED]
        subject.require(
            list(forth) == expected, f"worker_status() gave {forth} for {asked}: want {expected}"
        )


def _managed(subject: Subject, cluster: DockerCluster) -> Any:
    """Return the cluster's provider if it scales by handles."""
    provider = cluster.state.provider
    if not hasattr(provider, "kill_worker_containers"):
        subject.skip(f"{type(provider).__name__} does not scale by handles")
    return provider


def _last(provider: Any) -> str:
    handles: list[str] = provider.worker_handles()
    return handles[-1]
