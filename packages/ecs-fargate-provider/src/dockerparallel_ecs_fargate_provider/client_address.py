"""From where the user's session reaches the server: the one network that is let in."""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.parse
import urllib.request

from dockerparallel_ecs_fargate_provider.errors import AWSUnreachableError
from dockerparallel_ecs_fargate_provider.options import Options, checked_cidr

_TIMEOUT = 10.0
# More than any address has, so that no page of a proxy is read to its end.
_MOST_BYTES = 64
_INSTEAD = (
    "pass client_cidr='203.0.113.7/32' (the public address of this machine, or the network from "
    "which its connections come) to ECSFargateProvider"
)


def client_cidr(options: Options) -> str:
    """Return the network to which the port of the server is opened.

    The provider calls it when a server is started or reconnected to. May block for 10 seconds for
    each address of the service that tells the own one, and for as long as a function of the user's.

    Parameters
    ----------
    options
        ``client_cidr`` is taken, or called, where it is given; otherwise ``checkip_url`` is asked.

    Returns
    -------
    str
        Such as ``"203.0.113.7/32"``.

    Raises
    ------
    AWSUnreachableError
        The service did not answer, or with something that is no IPv4 address.
    InvalidTypeError, InvalidValueError
        The user's function returned no network, or the whole internet; an error that the function
        raises goes to the caller as it is.
    """
    given = options.client_cidr
    if callable(given):
        return checked_cidr(given())
    return given if given is not None else _asked(options.checkip_url)


def _asked(url: str) -> str:
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise AWSUnreachableError(
            f"checkip_url={url!r} cannot be asked for the address of this machine: give one that "
            f"begins with https://, or {_INSTEAD}."
        )
    try:
        # The scheme was looked at above.
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310
            text = answer.read(_MOST_BYTES).decode("ascii", "replace").strip()
    except (OSError, urllib.error.URLError) as error:
        raise AWSUnreachableError(
            f"The public address of this machine is not known, as {url} did not tell it "
            f"({error}): {_INSTEAD}."
        ) from error
    try:
        return f"{ipaddress.IPv4Address(text)}/32"
    except ValueError:
        # Its words are not shown: a proxy may have answered with anything.
        raise AWSUnreachableError(
            f"The public address of this machine is not known, as {url} answered with something "
            f"that is no IPv4 address: {_INSTEAD}."
        ) from None
