"""The lease of a cluster: who has its name, until when, and where its secrets are."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from dockerparallel import StaticDataError
from dockerparallel_ecs_fargate_provider import tags

FORMAT = 1

# For a session between taking the name and starting the first task.
_STARTING = timedelta(minutes=2)


@dataclasses.dataclass(frozen=True)
class Lease:
    """One cluster of one name; kept as a parameter that is no secret.

    Parameters
    ----------
    cluster
        ``job_queue_name``.
    cluster_id
        Which one of that name.
    slot
        Number of the place where its secrets are.
    owner
        ARN of who made it.
    created, expires
        When the cluster was made, and when it counts as forgotten.
    launched
        Whether a first task of it was started.
    """

    cluster: str
    cluster_id: str
    slot: int
    owner: str
    created: datetime
    expires: datetime
    launched: bool = False

    @property
    def expired(self) -> bool:
        """Whether the cluster counts as forgotten."""
        return datetime.now(UTC) > self.expires

    @property
    def starting(self) -> bool:
        """Whether the session that made it may be about to start the first task."""
        return not self.launched and datetime.now(UTC) - self.created < _STARTING

    def text(self) -> str:
        """Return it as it is kept."""
        data = {
            **dataclasses.asdict(self),
            "format": FORMAT,
            "created": tags.text_of(self.created),
            "expires": tags.text_of(self.expires),
        }
        return json.dumps(data, sort_keys=True)

    @classmethod
    def parse(cls, text: str, name: str) -> Lease:
        """Return the lease that :meth:`text` wrote.

        Raises
        ------
        StaticDataError
            It cannot be read, or has a format of a later version.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            if data["format"] > FORMAT:
                raise StaticDataError(
                    f"The cluster {name!r} was started by a later version of this provider, which "
                    f"writes format {data['format']}: install that version to use it."
                )
            created, expires = (tags.moment_of(data[key]) for key in ("created", "expires"))
            if created is None or expires is None:
                raise ValueError("a time is no time")  # noqa: TRY301 - told below, as all else
            return cls(
                cluster=data["cluster"],
                cluster_id=data["cluster_id"],
                slot=int(data["slot"]),
                owner=data["owner"],
                created=created,
                expires=expires,
                launched=bool(data["launched"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, StaticDataError):
                raise
            raise StaticDataError(
                f"The lease of the cluster {name!r} cannot be read ({error}): end the cluster by "
                f"'python -m dockerparallel_ecs_fargate_provider stop {name}'."
            ) from error
