"""A file that is seen whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Write beside `path` and rename, so that nobody reads a half of it. Raises `OSError`.

    For what can be made again: unlike a store's files (`store.files`) it is not flushed to disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
