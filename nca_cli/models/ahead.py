"""The files of the next model are read while this one computes."""

from __future__ import annotations

import threading
from contextlib import suppress

from nca_cli.errors import NcaError
from nca_cli.models.space import Model

CHUNK = 2**22
"""Bytes at a time."""


def read_ahead(model: Model) -> threading.Thread:
    """Read a model's files in the background: from memory, loading it later takes no disk."""

    def read() -> None:
        with suppress(NcaError, OSError):  # who loads it says what is wrong
            for file in model.origin.files(model):
                with file.open("rb", buffering=0) as opened:
                    while opened.read(CHUNK):
                        pass

    thread = threading.Thread(target=read, name=f"reading {model.name}", daemon=True)
    thread.start()
    return thread
