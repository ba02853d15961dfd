"""What people see: notes, errors and progress on stderr, results on stdout."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from nca_cli.cli.groups import option_group
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.cli.options import Json, Quiet
from nca_cli.errors import NcaError, NothingStored, Unconfirmed

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from nca_cli.store import Store

UNWRAPPED = 1000
"""Columns of a table that nobody looks at in a terminal."""
NARROW = 72
"""Columns of a terminal below which what can be left out is."""
MANY = 10**6
"""Units for which a bar has room whose length is not known yet."""
LOOK = 1.0
"""Seconds between two looks at what other processes have done."""
EXACT = 0.001
"""logSNR that levels may lie from those asked for without a word."""


@option_group
class Output:
    """How a command speaks: results on stdout, notes and progress on stderr unless quiet."""

    json: Json = False
    quiet: Quiet = False

    def note(self, *texts: str) -> None:
        """Lines of information."""
        for text in () if self.quiet else texts:
            stderr().print(Text(text, style="dim"))

    def distance(self, levels: str, distance: float, wanted: str) -> None:
        """Say how far `levels` lie from what was wanted, at most, in logSNR."""
        if distance >= EXACT:
            self.note(f"{levels} lie up to {distance:.2g} from {wanted} in log SNR")

    def begins(self, store: Store) -> None:
        """Say that a store begins in a folder of other things, which may be a slip."""
        if store.among_others:
            self.note(f"{store.root} is not empty; the store is made among what lies there")

    def results(self, paths: Sequence[Path], **data: Any) -> None:
        """Print results: a path a line, or one JSON object that holds them as `files`."""
        if self.json:
            print_json({"files": [*paths], **data}, ascii=False)
        else:
            typer.echo("".join(f"{relative(path)}\n" for path in paths), nl=False)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """A progress bar that is told of finished units; silent when piped or quiet."""
        console = stderr()
        if self.quiet or not console.is_terminal or not total:
            yield lambda count: stop_if_interrupted()
            return
        with _progress(console, total, unit) as progress:
            task = progress.add_task(escape(title), total=total)

            def advance(count: int) -> None:
                progress.advance(task, count)
                stop_if_interrupted()

            yield advance

    @contextmanager
    def shared_bar(
        self, title: str, unit: str, seen: Callable[[], tuple[int, int]]
    ) -> Iterator[Callable[[], None]]:
        """A bar of what several processes do: `seen` says how much is done, and of how much."""
        console = stderr()
        if self.quiet or not console.is_terminal:
            yield stop_if_interrupted
            return
        with _progress(console, MANY, unit) as progress:
            task, looked = progress.add_task(escape(title), total=None), 0.0

            def show() -> None:
                nonlocal looked
                if time.monotonic() - looked > LOOK:
                    done, total = seen()
                    progress.update(task, completed=done, total=total)
                    looked = time.monotonic()
                stop_if_interrupted()

            yield show


def stderr() -> Console:
    """A console on stderr as it is now (tests and pipes replace it)."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def stdout() -> Console:
    """A console on stdout. In a pipe nothing is wrapped, so that a row of a table is a line."""
    console = Console(soft_wrap=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNWRAPPED
    return console


def table(**settings: Any) -> Table:
    """A table without lines, two spaces between its columns."""
    from rich.table import Table

    padding = (0, 2, 0, 0)
    return Table(box=None, pad_edge=False, padding=padding, header_style="dim", **settings)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A `table` of texts, the last column to the right.

    Where each row fits on its line, nothing is left for Rich to fold, which takes it a third of a
    millisecond a row: seconds for a large store.
    """
    held, console = list(rows), stdout()
    widths = [max(map(cell_len, column)) for column in zip(header, *held, strict=True)]
    fits = sum(widths) + 2 * (len(widths) - 1) <= console.width
    if not fits or not all(cell.isprintable() for row in held for cell in row):
        shown = table()
        for name in header:
            shown.add_column(
                name, overflow="fold", justify="right" if name == header[-1] else "left"
            )
        for row in held:
            shown.add_row(*map(Text, row))
        console.print(shown)
        return
    console.print(Text(_aligned(header, widths), style="dim"))
    typer.echo("".join(f"{_aligned(row, widths)}\n" for row in held), nl=False)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """By the cells that characters take on a terminal."""
    blanks = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
    cells = [cell + blank for cell, blank in zip(row[:-1], blanks[:-1], strict=True)]
    return "  ".join([*cells, blanks[-1] + row[-1]])


def print_json(data: object, *, ascii: bool = True) -> None:
    """One line of JSON on stdout; paths are text."""
    typer.echo(json.dumps(data, ensure_ascii=ascii, default=os.fspath))


def complain(error: NcaError) -> None:
    """One line for an error: what is wrong, and what to do next."""
    line = Text() if isinstance(error, Unconfirmed) else Text("error: ", style="bold red")
    line.append(_one_line(error.what), style="default not bold")
    if hint := _next_step(error):
        line.append(f" ({_one_line(hint)})", style="default not bold dim")
    stderr().print(line)


def fail_for(problems: Iterable[NcaError]) -> None:
    """Name what could not be done, each once, and fail; nothing where all is done."""
    named = {problem.what: problem for problem in problems}
    for problem in named.values():
        complain(problem)
    if named:
        raise typer.Exit(1)


def _next_step(error: NcaError) -> str | None:
    """Its hint, with what only `commands` knows; what that imports takes a while."""
    if not isinstance(error, NothingStored) or not error.hint:
        return error.hint
    from nca_cli.commands import at

    return at(error.hint, error.store)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in " ".join(text.split()))


def relative(path: Path) -> str:
    """`path` from the working folder where it lies below it."""
    whole, here = os.fspath(path.absolute()), os.path.join(os.getcwd(), "")
    return whole.removeprefix(here) if whole.startswith(here) else os.fspath(path)


def size(count: float) -> str:
    """Bytes for people: `1.3 MB`, `590 kB`."""
    units = ["GB", "MB", "kB", "bytes"]
    while count >= 999.5 and len(units) > 1:
        count, _ = count / 1000, units.pop()
    digits = 0 if units[-1] == "bytes" or count >= 99.95 else 1
    return f"{count:,.{digits}f} {units[-1]}"


def plural(count: int, noun: str) -> str:
    """`1 image`, `3 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _progress(console: Console, total: int, unit: str) -> Progress:
    """The columns of a bar: what it is, how much is done, how fast, and the time left."""
    from rich import progress
    from rich.table import Column

    class Rate(progress.ProgressColumn):
        """From the same speed, at the same moment, as the time that is left."""

        def render(self, task: progress.Task) -> Text:
            return Text(rate(task.speed))

    narrow = console.width < NARROW
    title = Column(no_wrap=True, max_width=14 if narrow else 24)
    done = Column(no_wrap=True, min_width=2 * len(str(total)) + 1)
    columns = (
        progress.TextColumn("{task.description}", table_column=title),
        progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(table_column=done),
        *([] if narrow else [progress.TextColumn(unit)]),
        Rate(),
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("left"),
    )
    return progress.Progress(*columns, console=console, transient=True, speed_estimate_period=60)


def rate(speed: float | None) -> str:
    """Units per second for people: `12/s`, `1.4/s`, and below one `2.5 s each`."""
    if not speed:
        return ""
    if speed < 1:
        return f"{1 / speed:.1f} s each"
    return f"{speed:.1f}/s" if speed < 10 else f"{speed:.0f}/s"
