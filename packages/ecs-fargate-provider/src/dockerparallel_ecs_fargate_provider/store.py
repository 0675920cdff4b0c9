"""What is kept at AWS of a cluster besides its tasks: its lease, secrets and static data.

All of it are parameters of SSM under ``/dockerparallel/<cluster_name>``::

    clusters/<job_queue_name>        the lease, no secret
    slots/<number>/claim             which cluster has the slot, no secret
    slots/<number>/<role>/<NAME>     a secret of a container, encrypted
    slots/<number>/static/<number>   a piece of the static data, encrypted

Task definitions name secrets by ARN. The slots have the same ARNs whichever cluster has them, so
that clusters that follow each other can use the same definitions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from dockerparallel import ClusterExistsError, StaticDataError
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.lease import Lease
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.ownership import Ownership
from dockerparallel_ecs_fargate_provider.parameters import LONGEST_VALUE, Parameters
from dockerparallel_ecs_fargate_provider.records import Role

_MOST_SLOTS = 1000
_CLAIM = "/claim"


class ClusterStore:
    """The lease, the secrets and the static data of one cluster.

    Parameters
    ----------
    aws, options, ownership
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options, ownership: Ownership) -> None:
        self._ownership = ownership
        self._aws = aws
        self.parameters = Parameters(
            aws, f"/dockerparallel/{options.cluster_name}", options.kms_key_id
        )
        self.lease: Lease | None = None
        self._written: dict[str, str] = {}

    @property
    def cluster_id(self) -> str:
        """Which cluster of its name is ours."""
        return self._held().cluster_id

    @property
    def tags(self) -> dict[str, str]:
        """The tags of what is made now for our cluster."""
        lease = self._held()
        return self._ownership.tags(lease.cluster, lease.cluster_id)

    # The lease ------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Take a name and a slot for a new cluster, of which no task runs.

        Raises
        ------
        ClusterExistsError
            Another session is starting a cluster of this name.
        """
        lease = Lease(
            cluster=name,
            cluster_id=secrets.token_hex(8),
            slot=-1,
            owner=self._aws.identity.arn,
            created=datetime.now(UTC),
            expires=self._ownership.expiry(),
        )
        ours = self._ownership.tags(name, lease.cluster_id)
        try:
            self._take_name(lease, ours)
            self.lease = lease
            self.lease = dataclasses.replace(lease, slot=self._claim_slot(lease, ours))
            self.parameters.replace(_lease_name(name), self.lease.text())
        except BaseException as error:
            # Also what was made by a call whose answer was lost.
            self.lease = self.lease or lease
            try:
                self.remove()
            except AWSError as further:
                error.add_note(f"The lease could not be given back either: {further}")
                self.forget()
            raise

    def _take_name(self, lease: Lease, ours: Mapping[str, str]) -> None:
        name = lease.cluster
        if self.parameters.create(_lease_name(name), lease.text(), ours):
            return
        old = self.read_lease(name)
        if old is not None and old.starting:
            raise ClusterExistsError(
                f"Another session of {old.owner} is starting a cluster {name!r} at this "
                "moment, or has crashed while it did: choose another job_queue_name, or try "
                "again in two minutes."
            )
        # What a crashed session has left.
        if old is not None:
            self.lease = old
            self.remove()
        self.parameters.put(_lease_name(name), lease.text(), ours)

    def read_lease(self, name: str) -> Lease | None:
        """Return the lease of a name, or ``None`` where nobody has it.

        Raises
        ------
        StaticDataError
            It cannot be read.
        """
        text = self.parameters.read([_lease_name(name)]).get(_lease_name(name))
        return None if text is None else Lease.parse(text, name)

    def take(self, lease: Lease) -> None:
        """Make the cluster of a lease ours."""
        self.lease, self._written = lease, {}

    def renew(self) -> bool:
        """Have the lease begin anew where half of it is over; return whether that was done."""
        lease = self.lease
        if lease is None:
            return False
        expires = self._ownership.expiry()
        length = expires - datetime.now(UTC)
        if expires - lease.expires < length / 2:
            return False
        self.lease = dataclasses.replace(lease, expires=expires)
        self.parameters.replace(_lease_name(lease.cluster), self.lease.text())
        return True

    def note_launched(self) -> None:
        """Note in the lease that a first task was started; idempotent."""
        lease = self._held()
        if not lease.launched:
            self.lease = dataclasses.replace(lease, launched=True)
            self.parameters.replace(_lease_name(lease.cluster), self.lease.text())

    def forget(self) -> None:
        """Have no cluster any more."""
        self.lease, self._written = None, {}

    def remove(self) -> None:
        """Remove secrets, claim and lease, where they still are ours; idempotent.

        Another session may have ended our cluster and started one of the same name.
        """
        lease = self.lease
        if lease is None:
            return
        slots = [] if lease.slot < 0 else [_slot(lease)]
        # Without one in the lease, an attempt to claim a slot may have succeeded all the same.
        slots = slots or self._slots()
        owners = self._owners([_lease_name(lease.cluster), *map(_claim_name, slots)])
        for slot in slots:
            if owners.get(_claim_name(slot)) == lease.cluster_id:
                self._empty(slot)
        if owners.get(_lease_name(lease.cluster)) in {lease.cluster_id, ""}:
            self.parameters.delete([_lease_name(lease.cluster)])
        self.forget()

    def remove_named(self, name: str) -> None:
        """Remove what is left of a cluster whose lease is gone or cannot be read; idempotent."""
        slots = self._slots()
        for slot, text in self.parameters.read(list(map(_claim_name, slots))).items():
            if _told(text, "cluster") == name:
                self._empty(slot.removesuffix(_CLAIM))
        self.parameters.delete([_lease_name(name)])

    def remove_lost(self) -> None:
        """Remove the slots that crashed sessions have left, where nobody has a lease."""
        for slot in self._slots():
            self._empty(slot)

    def _slots(self) -> list[str]:
        found = self.parameters.names("slots")
        return [name.removesuffix(_CLAIM) for name in found if name.endswith(_CLAIM)]

    def _owners(self, names: Sequence[str]) -> dict[str, str]:
        """Return the ids of the clusters of leases and claims, empty where that cannot be read."""
        found = self.parameters.read(names)
        return {name: _told(text, "cluster_id") for name, text in found.items()}

    def _empty(self, slot: str) -> None:
        # The claim last: who finds a slot free finds it empty.
        inside = [name for name in self.parameters.names(slot) if name != _claim_name(slot)]
        self.parameters.delete(inside)
        self.parameters.delete([_claim_name(slot)])

    def _claim_slot(self, lease: Lease, ours: Mapping[str, str]) -> int:
        claim = json.dumps({"cluster": lease.cluster, "cluster_id": lease.cluster_id})
        for number in count():
            if number == _MOST_SLOTS:
                raise ClusterExistsError(
                    f"{_MOST_SLOTS} clusters have their secrets under {self.parameters.root}: "
                    "remove forgotten ones by 'python -m dockerparallel_ecs_fargate_provider gc'."
                )
            if self.parameters.create(_claim_name(f"slots/{number}"), claim, ours):
                return number
        raise AssertionError("unreachable")

    # Secrets and static data ----------------------------------------------------------------

    def put_secrets(self, role: Role, values: Mapping[str, str]) -> dict[str, str]:
        """Store the secrets of a container; return the ARN of each by its name.

        What is stored already is not written again.

        Parameters
        ----------
        values
            Each such that :func:`fits` holds.
        """
        slot = _slot(self._held())
        for name, text in values.items():
            self._put(f"{slot}/{role.value}/{name}", text)
        return {name: self.parameters.arn(f"{slot}/{role.value}/{name}") for name in values}

    def put_static_data(self, data: Mapping[str, Any]) -> None:
        """Store the static data of the cluster; what is stored already is not written again."""
        slot = _slot(self._held())
        # Two braces would be taken for the name of another parameter; in JSON they only stand in
        # strings.
        text = json.dumps(data).replace("{{", "{\\u007b")
        # ASCII, so that characters are bytes; room for the number of pieces in the first.
        length = LONGEST_VALUE - 16
        pieces = [text[start : start + length] for start in range(0, len(text), length)]
        for number in reversed(range(len(pieces))):
            head = f"{len(pieces)}\n" if number == 0 else ""
            self._put(f"{slot}/static/{number}", head + pieces[number])

    def static_data(self) -> dict[str, Any]:
        """Return the static data of the cluster.

        Raises
        ------
        StaticDataError
            It is gone, or cannot be read.
        """
        lease = self._held()
        slot = _slot(lease)
        names = [f"{slot}/static/0"]
        try:
            first = self.parameters.read(names)[names[0]]
            number, _, text = first.partition("\n")
            names = [f"{slot}/static/{piece}" for piece in range(1, int(number))]
            found = self.parameters.read(names)
            data = json.loads(text + "".join(found[name] for name in names))
        except (KeyError, ValueError) as error:
            raise StaticDataError(
                f"The static data of the cluster {lease.cluster!r} is gone, or cannot be read "
                f"({type(error).__name__}): end the cluster by "
                f"'python -m dockerparallel_ecs_fargate_provider stop {lease.cluster}', and start "
                "it anew."
            ) from error
        if not isinstance(data, dict):
            raise StaticDataError(f"The static data of the cluster {lease.cluster!r} is no dict.")
        return data

    def _put(self, name: str, text: str) -> None:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if self._written.get(name) != digest:
            self.parameters.put(name, text, self.tags, secret=True)
            self._written[name] = digest

    def _held(self) -> Lease:
        if self.lease is None:
            raise StaticDataError("There is no cluster whose secrets could be stored.")
        return self.lease


def fits(text: str) -> bool:
    """Tell whether a secret can be a parameter: not empty, not long, naming no other one."""
    return 0 < len(text.encode()) <= LONGEST_VALUE and "{{" not in text


def _lease_name(cluster: str) -> str:
    return f"clusters/{cluster}"


def _slot(lease: Lease) -> str:
    return f"slots/{lease.slot}"


def _claim_name(slot: str) -> str:
    return f"{slot}{_CLAIM}"


def _told(text: str, key: str) -> str:
    """Return what a lease or a claim tells, or an empty text where it cannot be read."""
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        return ""
