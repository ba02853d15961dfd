"""Results that a user asked for by name (figures, pages, tables), written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from nca_cli.errors import NcaError


def write_result(path: Path, content: str | bytes) -> None:
    """Write beside `path` and rename; into `path` itself where that is no plain file (a pipe).

    Text is UTF-8. Folders are made as needed. Raises `NcaError` where it cannot be written.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            replace(path.resolve(), data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise NcaError(
            f"{path}: cannot be written ({reason})", "choose another place: -o"
        ) from error


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
