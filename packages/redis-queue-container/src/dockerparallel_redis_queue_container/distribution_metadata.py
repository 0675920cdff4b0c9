"""The metadata of a source checkout, so that ``importlib.metadata`` finds it on a worker too.

Many packages read their own version or entry points when they are imported. Where such a package
is installed in editable mode, its modules are the user's own and are shipped, but its metadata
stays among what is installed on the client.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dockerparallel_redis_queue_container.module_origins import Origin

_FILES = ("METADATA", "entry_points.txt")


def metadata_files(origin: Origin) -> dict[str, bytes]:
    """Collect the metadata of the distributions whose source tree holds a module.

    Parameters
    ----------
    origin
        A module of the user.

    Returns
    -------
    dict of str to bytes
        Name such as ``"package-1.0.dist-info/METADATA"`` to content; empty for a module that
        belongs to no distribution.
    """
    place = origin.file or origin.folders[0]
    found: dict[str, bytes] = {}
    for distribution in distributions():
        if not _covers(distribution, place):
            continue
        for name in _FILES:
            # An egg-info folder, as older tools make, has the same content in PKG-INFO.
            text = distribution.read_text(name)
            if text is None and name == "METADATA":
                text = distribution.read_text("PKG-INFO")
            if text is not None:
                # The form of names in folders by the binary distribution format (PEP 427).
                plain = re.sub(r"[-_.]+", "_", distribution.name)
                folder = f"{plain}-{distribution.version}.dist-info"
                found[f"{folder}/{name}"] = text.encode()
    return found


def _covers(distribution: Distribution, place: Path) -> bool:
    if Path(str(distribution.locate_file(""))).absolute() == place.parent:
        return True
    try:
        record = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return False  # Not as PEP 610 has it: then nobody says that this is a source tree.
    if not record.get("dir_info", {}).get("editable"):
        return False
    return place.is_relative_to(unquote(urlsplit(record.get("url", "")).path))
