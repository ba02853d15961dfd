"""From a store and a request to a figure, what it lacks, and the line that fills it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nca_cli.errors import NcaError, NothingStored, UsageError
from nca_cli.figures.grid import advice, save
from nca_cli.figures.grid.paint import paint
from nca_cli.figures.grid.pictures import pictures
from nca_cli.figures.grid.placed import Sheet
from nca_cli.figures.grid.request import MM_PER_INCH, GridRequest
from nca_cli.figures.grid.select import select
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.figures.grid.sheet import lay_out
from nca_cli.figures.grid.table import Cells, Table, tabulate
from nca_cli.figures.grid.variants import frames
from nca_cli.figures.type import fonts
from nca_cli.outputs import Outputs
from nca_cli.recipe import Number
from nca_cli.store import Artifact, Filters, Gap, Store
from nca_cli.store.header import with_steps
from nca_cli.store.layout import NOISE

if TYPE_CHECKING:
    from PIL import Image


class Missing(NamedTuple):
    """A cell that has no sample: folder names, `noise` or the sampler's label, and the key."""

    model: str
    image: str
    label: str
    t: Number
    seed: int
    step: int | None = None
    """Of a training."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A figure: its content, where everything lies, and what could not be shown."""

    request: GridRequest
    table: Table
    levels: list[Number]
    """Of the columns: t, or logSNR where they are by SNR."""
    distance: float
    """How far, at most, the logSNR of what stands in a column by SNR lies from the column's."""
    missing: list[Missing]
    """Samples that blank cells stand for."""
    commands: list[str]
    """What computes the missing samples."""
    problems: list[NcaError]
    """Damaged artifacts, whose cells are blank."""
    unwritten: str
    """Characters of its words that no font here has, and marks over letters."""
    outputs: Outputs
    """What it may be written over."""

    @property
    def command(self) -> str | None:
        """All of `commands` in one line; `None` when nothing is missing."""
        return " && ".join(self.commands) or None

    @cached_property
    def sheet(self) -> Sheet:
        """Where everything lies. Raises `UsageError` where the sheet is too narrow."""
        return lay_out(self.table, self.request)

    def image(self) -> Image.Image:
        """The sheet, RGB."""
        return paint(self.sheet)

    def frames(self) -> list[Image.Image]:
        """The sheet as a sequence, one picture for each level, from low to high noise."""
        return [paint(lay_out(table, self.request)) for table in frames(self.table)]

    def save(self, path: str | Path, *, sweep: bool = False) -> Path:
        """Write the figure in the format that the suffix names; replaces the file as a whole.

        PDF and SVG hold text as text. A GIF is always animated over the levels, a WebP with
        `sweep`. Raises `UsageError` for a suffix that is not known, or that cannot be animated.
        """
        path = Path(path)
        suffix = save.suffix_of(path)
        if sweep and suffix not in save.ANIMATED:
            raise UsageError(f"{path}: --sweep writes an animation", "give -o sweep.webp or .gif")
        self.outputs.write(path, self._content(suffix, sweep or suffix == ".gif"))
        return path

    def advice(self, path: str | Path) -> list[str]:
        """What helps where the still figure would be taller than a page of A4, or have more pixels
        than many programs take."""
        suffix, found = save.suffix_of(Path(path)), []
        asked = self.table, self.request, self.sheet.size
        if suffix in save.VECTOR or self.request.width is not None:
            found.append(advice.taller_than_a_page(*asked))
        if suffix not in save.VECTOR:
            found.append(advice.too_many_pixels(*asked, self.sheet.cell))
        return [each for each in found if each]

    def _content(self, suffix: str, animated: bool) -> bytes:
        if animated:
            return save.animation(self.frames(), suffix)
        width = self.request.millimetres(self.sheet.size[0])
        if suffix in save.VECTOR:
            from nca_cli.figures.grid import vector

            words = "".join(span.text for span in self.table.title or self.table.caption)
            write = vector.pdf if suffix == ".pdf" else vector.svg
            words = words or "Reconstructions over noise levels"
            return write(self.sheet, width, words, capped=self.request.dpi is not None)
        return save.still(self.image(), suffix, self.sheet.size[0] / width * MM_PER_INCH)

    def _repr_png_(self) -> bytes:
        return save.still(self.image(), ".png")


def compose_grid(store: Store, filters: Filters = Filters(), **choices: Any) -> Grid:  # noqa: B008
    """`compose` with a request of these filters and choices: any field of `GridRequest`.

    `compose_grid(store, Filters(t=[100, 500]), rows="models", show="x0,x0_hat", width=174)`
    """
    return compose(store, GridRequest(filters, **choices))


def compose(store: Store, request: GridRequest) -> Grid:
    """One figure from what is stored; blank cells where something is missing.

    Raises `NothingStored`, with the command to run, where no sample fits; `UsageError`.
    """
    selection = _selected(store, request)
    cells, bars, damaged = pictures(selection)
    lacks = _blanks(selection, cells)
    lines = _filling(store, [_gap(selection, *each) for each in lacks]) if lacks else []
    problems = [*selection.problems, *damaged]
    fixed_suffice = not request.kinds  # in a figure with levels, x0 and the floor alone do not
    drawn = any((place in strip.fixed) == fixed_suffice for strip, place in cells)
    if not drawn and problems:
        raise problems[0]
    if not drawn:
        raise _nothing(selection, lines)
    names = (name for each in selection.subjects for name in (each.stem, each.model_name))
    said = "".join([*names, request.title or "", request.caption or ""])
    grid = Grid(request, tabulate(selection, cells, bars), selection.levels,
                selection.log_snrs.distance(selection.columns),
                [missing for _, missing in lacks], lines, problems,
                fonts.lacking(said, request.lenders), Outputs(store))  # fmt: skip
    _ = grid.sheet  # too narrow a sheet is an error here, not where it is drawn
    return grid


def _selected(store: Store, request: GridRequest) -> Selection:
    try:
        selection = select(store, request)
    except NothingStored as nothing:
        from nca_cli import commands

        asked = tuple(request.log_snr)
        hint = nothing.hint or commands.suggestion(store, request.filters, asked)
        raise NothingStored(nothing.what, hint, nothing.store) from nothing
    if request.filters.models:
        from nca_cli import commands

        commands.check_models(store, request.filters)
    return selection


def _filling(store: Store, gaps: list[Gap]) -> list[str]:
    """The commands that compute what is not there; what knows them takes a while to load."""
    from nca_cli import commands

    return commands.fills(store, gaps)


def _nothing(selection: Selection, lines: list[str]) -> NothingStored:
    """What is said where none of it is stored, with the first command of those that compute it."""
    from nca_cli import commands

    return NothingStored(selection.nothing, commands.next_step(lines) if lines else None)


def _blanks(selection: Selection, cells: Cells) -> list[tuple[Strip, Missing]]:
    """Strips and what they lack, each sample once; one label may be of several recipes."""
    found: dict[tuple[Missing, str], Strip] = {}
    for strip in selection.strips:
        label, name = (strip.sampling.label, strip.sampling.name) if strip.sampling else (NOISE, "")
        lacks = [(label, name, t) for t in strip.cells if (strip, t) not in cells]
        if any((strip, kind) not in cells for kind in strip.fixed):
            lacks += [(NOISE, "", t) for t in strip.cells or [_usual_level(selection, strip)]]
        for label, name, t in lacks:
            step = None if label == NOISE else strip.step
            missing = Missing(strip.model, strip.image, label, t, strip.seed, step)
            found.setdefault((missing, name), strip)
    return [(strip, missing) for (missing, _), strip in found.items()]


def _usual_level(selection: Selection, strip: Strip) -> Number:
    """Any level, for a figure that shows none."""
    schedule = selection.schedules[strip.model]
    return 0 if schedule is None or schedule.holds(0) else schedule.default_levels[0]


def _gap(selection: Selection, strip: Strip, missing: Missing) -> Gap:
    """One sample that is not there: a folder may hold several models, each with its recipes."""
    name, recipe = (strip.sampling.name, strip.sampling.recipe) if strip.sampling else ("", None)
    same = (each.recipes.get(name) for each in selection.subjects if each.model == strip.model)
    like = next(filter(None, same), None)
    from nca_cli import commands

    unmade = commands.known_model(selection.store, selection.filters, strip.model)
    made = recipe if recipe and missing.label != NOISE else missing.label
    model = (strip.step is None and _model_info(like)) or unmade
    if recipe and missing.step is not None and not name:  # whose weights nobody has read yet
        model = with_steps(model, {missing.step: recipe.weights})
    return Gap(made, model, _image_info(strip), [(missing.t, missing.seed)])


def _model_info(artifact: Artifact | None) -> dict:
    """What an artifact says of its model; nothing where it cannot be read."""
    try:
        return artifact.model_info if artifact else {}
    except NcaError:
        return {}


def _image_info(strip: Strip) -> dict:
    """What the first artifact that can be read says of the image."""
    for source in strip.subject.artifacts:
        with suppress(NcaError):
            return source.image_info
    return {}
