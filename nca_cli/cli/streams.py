"""Standard output and error as they may be: in another encoding, closed at the other end, full.

A character that the encoding lacks becomes a "?"; bytes of a file name that are no text come out as
they went in. Who closes a pipe (`nca ls | head`) has seen enough: the command goes on in silence.
A standard output that cannot be written is an error, of one line.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from nca_cli.errors import NcaError

SUBSTITUTE = "nca-substitute"


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    """As Python's `surrogateescape` where that knows what to do, else as `replace`."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("replace")(error)


codecs.register_error(SUBSTITUTE, _substitute)


class Outlet(io.FileIO):
    """The file behind a stream. It is closed by nobody, and after an error it leads nowhere."""

    def __init__(self, number: int, *, needed: bool):
        super().__init__(number, "w", closefd=False)
        self.needed = needed
        """Whether it is an error where it cannot be written."""

    def write(self, data: io.ReadableBuffer) -> int:  # type: ignore[name-defined]
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.needed and not isinstance(error, BrokenPipeError):
                what = f"standard output cannot be written ({error.strerror})"
                raise NcaError(what, "send it elsewhere: > FILE") from error
            return memoryview(data).nbytes


@contextmanager
def spoken() -> Iterator[None]:
    """Within it, both streams take whatever is written. Raises `NcaError` at the end, too."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lenient(stream, stream is before[0]) for stream in before)
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(NcaError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _lenient(stream: TextIO, needed: bool) -> TextIO:
    """The stream of a file or a pipe as such; any other as it is, but for its substitutes."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # a closed one (None), or one of a notebook
    try:
        number = stream.fileno()
    except OSError:  # in memory
        stream.reconfigure(errors=SUBSTITUTE)
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Outlet(number, needed=needed)), stream.encoding, SUBSTITUTE,
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip
