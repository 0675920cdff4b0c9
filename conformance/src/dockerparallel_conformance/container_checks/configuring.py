"""Promises C-1 to C-10: how a container is configured."""

from __future__ import annotations

import dataclasses

from dockerparallel import Capability, DockerCluster, DockerContainer, ServerAddress
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import PROBE_VALUE, PROBE_VARIABLE, Subject

HOST = "192.0.2.17"
OTHER_HOST = "198.51.100.23"
"""Addresses that RFC 5737 reserves for documentation: nothing else contains their text."""

PORT = 45671


class ConfiguringPromises:
    """What a container promises of its configuration."""

    @promise("C-1")
    def test_c01_a_fresh_container_is_in_order(self, subject: Subject) -> None:
        """A fresh container is in order and shows no secret.

        It passes its own ``check()``, and its ``repr`` shows neither the value of a secret nor
        that of an environment variable. The same holds for its server container.

        Troubleshooting: a dataclass that derives from ``DockerContainer`` writes a ``repr`` of
        its own: say ``@dataclass(repr=False)``.
        """
        worker = subject.probed_container()
        for container in (worker, subject.cluster(worker_container=worker).state.server_container):
            if container is not None:
                container.secrets["CONFORMANCE"] = subject.secret
                container.check()
                shown = repr(container)
                subject.require(
                    subject.secret not in shown and PROBE_VALUE not in shown,
                    f"the repr of a {type(container).__name__} shows a variable's or secret's "
                    "value",
                )

    @promise("C-2")
    def test_c02_a_copy_shares_nothing(self, subject: Subject) -> None:
        """A copy of the container shares nothing with the original.

        Troubleshooting: ``copy()`` was overridden by ``dataclasses.replace`` or ``copy.copy``,
        which share the dicts and lists.
        """
        for original in _both(subject):
            duplicate = original.copy()
            subject.require(
                duplicate is not original and type(duplicate) is type(original),
                f"copy() of a {type(original).__name__} gave {duplicate!r}",
            )
            for field in dataclasses.fields(original):
                value = getattr(original, field.name)
                subject.require(
                    not isinstance(value, list | dict | set)
                    or getattr(duplicate, field.name) is not value,
                    f"the copy shares the {type(value).__name__} {field.name!r}",
                )

    @promise("C-3", Capability.SERVER_CONTAINER)
    def test_c03_the_server_container_comes_with_it(self, subject: Subject) -> None:
        """The server container comes from the worker container.

        ``server_container()`` gives a container, a new one each time, that can be configured as a
        server.

        Troubleshooting: it returns ``self`` or a worker container; or one object for all.
        """
        first = subject.worker_container.server_container()
        second = subject.worker_container.server_container()
        for server in (first, second):
            subject.require(
                isinstance(server, DockerContainer), f"server_container() gave {server!r}"
            )
        subject.require(first is not second, "server_container() gave the same object twice")
        subject.require(first is not subject.worker_container, "server_container() gave itself")
        first.check()
        configured = first.configure_server_env(_cluster(subject))
        subject.require(
            type(configured) is type(first),
            f"configuring a {type(first).__name__} as a server gave {configured!r}",
        )

    @promise("C-4")
    def test_c04_the_server_learns_its_port(self, subject: Subject) -> None:
        """The server learns its port.

        ``config.server_port`` stands in its environment, its secrets or its command.

        Troubleshooting: a port of the container's own is used whatever the user has set.
        """
        server = _configured_server(subject)
        subject.require(
            _mentions(server, str(PORT)),
            f"the port {PORT} stands in no variable, secret or word of the command of {server!r}",
        )

    @promise("C-5")
    def test_c05_the_server_learns_its_password(self, subject: Subject) -> None:
        """The server learns its password, as a secret only.

        Troubleshooting: the password stands in ``environment`` or ``command``, where everybody
        sees it; or it is that of another handle, remembered from before.
        """
        cluster = _cluster(subject)
        _require_secret(subject, _configured_server(subject, cluster), cluster)

    @promise("C-6")
    def test_c06_a_worker_learns_where_the_server_is(self, subject: Subject) -> None:
        """A worker learns host, port and password of the server.

        The address is the one that ``cluster.server_address_for_workers()`` gives: private or
        public, as ``config.server_worker_same_lan`` says. The password is a secret.

        Troubleshooting: one of the two addresses is always used; or the port of the configuration
        instead of that of the address.
        """
        for same_lan, host in ((True, HOST), (False, OTHER_HOST)):
            cluster = _cluster(subject)
            cluster.config.server_worker_same_lan = same_lan
            worker = subject.worker_container.copy().configure_worker_env(cluster, 1)
            endpoint = cluster.server_address_for_workers()
            subject.require(
                endpoint.host == host and _mentions(worker, host),
                f"with server_worker_same_lan={same_lan}, the host {host} stands in no variable, "
                "secret or word of the command of the worker",
            )
            subject.require(
                _mentions(worker, str(endpoint.port)),
                f"the port {endpoint.port} stands in no variable, secret or word of the command "
                "of the worker",
            )
            _require_secret(subject, worker, cluster)

    @promise("C-7")
    def test_c07_a_container_learns_its_number_of_workers(self, subject: Subject) -> None:
        """A worker container learns how many workers it runs.

        Troubleshooting: ``worker_number`` of ``configure_worker_env`` is not used, so that a
        container that is to run several workers runs one.
        """
        cluster = _cluster(subject)
        container = _roomy(subject)
        one = _settings(container.configure_worker_env(cluster, 1))
        three = _settings(container.configure_worker_env(cluster, 3))
        subject.require(
            one != three,
            "configured for 1 and for 3 workers, the container has one environment and command",
        )

    @promise("C-8")
    def test_c08_configuring_changes_nothing_of_the_object(self, subject: Subject) -> None:
        """Configuring returns a copy and changes nothing of the object.

        Troubleshooting: ``self.environment[...] = ...`` where ``self.copy()`` should have come
        first.
        """
        cluster = _cluster(subject)
        worker = subject.probed_container()
        server = cluster.state.server_container
        before = worker.static_data()
        configured = worker.configure_worker_env(cluster, 1)
        subject.require(
            configured is not worker and type(configured) is type(worker),
            f"configure_worker_env() gave {configured!r}, not a copy",
        )
        subject.require(
            worker.static_data() == before, "configure_worker_env() has changed its own object"
        )
        if server is not None:
            before = server.static_data()
            copy = server.configure_server_env(cluster)
            subject.require(
                copy is not server and server.static_data() == before,
                "configure_server_env() has changed its own object",
            )

    @promise("C-9")
    def test_c09_the_users_environment_stays(self, subject: Subject) -> None:
        """The environment and secrets that the user set stay.

        Ours are added, and theirs are there as before, in worker and server.

        Troubleshooting: ``environment`` is replaced instead of updated.
        """
        cluster = _cluster(subject)
        worker = subject.probed_container().configure_worker_env(cluster, 1)
        configured = [worker]
        server = cluster.state.server_container
        if server is not None:
            server.environment[PROBE_VARIABLE] = PROBE_VALUE
            configured.append(server.configure_server_env(cluster))
        for container in configured:
            subject.require(
                container.environment.get(PROBE_VARIABLE) == PROBE_VALUE,
                f"{PROBE_VARIABLE}, set by the user, is lost in the configured {container!r}",
            )
        subject.require(subject.secret in worker.secrets.values(), "a secret of the user's is lost")

    @promise("C-10")
    def test_c10_configuring_again_replaces(self, subject: Subject) -> None:
        """Configuring again replaces what was configured.

        A provider configures a container that was configured before: for several workers, or when
        it had to choose another port.

        Troubleshooting: variables are appended to, or set only where they are missing.
        """
        cluster = _cluster(subject)
        container = _roomy(subject)
        once = container.configure_worker_env(cluster, 2)
        again = container.configure_worker_env(cluster, 1).configure_worker_env(cluster, 2)
        subject.require(
            once.static_data() == again.static_data(),
            "configured for 1 worker and then for 2, the container differs from one that was "
            f"configured for 2: {_settings(again)} and not {_settings(once)}",
        )
        server = cluster.state.server_container
        if server is not None:
            first = server.configure_server_env(cluster)
            cluster.config.server_port = PORT + 1
            subject.require(
                first.configure_server_env(cluster).static_data()
                == server.configure_server_env(cluster).static_data(),
                "configured again for another port, the server container keeps something of the "
                "first",
            )


def _both(subject: Subject) -> list[DockerContainer]:
    """Return the worker container, and the server container where there is one."""
    server = subject.cluster().state.server_container
    return [subject.probed_container(), *([] if server is None else [server])]


def _cluster(subject: Subject) -> DockerCluster:
    """Return a handle that believes in a server at a made-up address; nothing is started."""
    cluster = subject.cluster()
    cluster.config.server_port = PORT
    cluster.runtime.record_server(ServerAddress(OTHER_HOST, PORT + 2, HOST, PORT + 3))
    return cluster


def _configured_server(subject: Subject, cluster: DockerCluster | None = None) -> DockerContainer:
    cluster = _cluster(subject) if cluster is None else cluster
    server = cluster.state.server_container
    if server is None:
        subject.skip("there is no server container: give the fixture server_container")
    return server.configure_server_env(cluster)


def _roomy(subject: Subject) -> DockerContainer:
    container = subject.worker_container.copy()
    container.max_worker_num = 3
    return container


def _settings(container: DockerContainer) -> tuple[dict[str, str], list[str] | None]:
    return dict(container.environment), container.command


def _mentions(container: DockerContainer, text: str) -> bool:
    values = [*container.environment.values(), *container.secrets.values()]
    return any(text in value for value in [*values, *(container.command or [])])


def _require_secret(subject: Subject, container: DockerContainer, cluster: DockerCluster) -> None:
    password = cluster.config.server_password
    subject.require(
        any(password in secret for secret in container.secrets.values()),
        f"the password of the server is in no secret of {container!r}",
    )
    open_to_all = [*container.environment.values(), *(container.command or [])]
    subject.require(
        not any(password in text for text in [*open_to_all, container.image, container.name]),
        "the password of the server stands in the environment, command, image or name of "
        f"{container!r}",
    )
