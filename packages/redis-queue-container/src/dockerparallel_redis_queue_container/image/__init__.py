"""What the image is built of, beside the wheels: the Dockerfile and the check of its health."""

from __future__ import annotations
