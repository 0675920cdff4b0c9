"""Print the name of each installed provider beside that of each installed container."""

from __future__ import annotations

import itertools

from dockerparallel import installed_extensions

extensions = installed_extensions()
providers = [extension.name for extension in extensions if extension.kind == "provider"]
containers = [extension.name for extension in extensions if extension.kind == "container"]
for pair in itertools.product(providers, containers):
    print(*pair)
