"""`nca plot`: curves for paper from the store alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

from nca_cli.cli import complete
from nca_cli.cli.app import app
from nca_cli.cli.console import Output
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped, option_group
from nca_cli.cli.options import (
    DEFAULT_STORE,
    StoreDir,
    named,
    opened,
    option,
    paper_option,
    training_option,
)
from nca_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nca_cli.figures.curves import HalfFigure, Page, Plot, TrainingFigure
    from nca_cli.figures.curves.drawn import PaperFigure
    from nca_cli.store import Filters, Store


class Paper(TypedDict):
    """What all figures take: their page, and a line above them."""

    page: Page
    title: str | None


CURVES, IMAGES = ("metric", "share"), "images"


@option_group
class PageOptions:
    """How large the figure is; named as in `Page`."""

    # fmt: off
    width: Annotated[float, paper_option(
        "--width", metavar="MM", help="Width of the whole figure.")] = 174
    height: Annotated[float | None, paper_option(
        "--height", metavar="MM", show_default="by width, up to 210",
        help="Height of the whole figure."
    )] = None
    font_size: Annotated[float, paper_option(
        "--font-size", metavar="PT", help="Size of type, in points.")] = 8
    dpi: Annotated[float, paper_option(
        "--dpi", metavar="DPI", help="Resolution of a PNG, in pixels per inch.")] = 300
    columns: Annotated[int | None, paper_option(
        "--columns", metavar="N", variable="NCA_PLOT_COLUMNS", show_default="as many as fit",
        help="Number of panels side by side.")] = None
    # fmt: on


@option_group
class TrainingOptions:
    """Figures over the steps of trainings."""

    # fmt: off
    emergence: Annotated[bool, training_option(
        "--emergence", help="Map of the share learned by each training step, at each noise level: "
        "0 % is the baseline (step 0 if it is stored), 100 % the best checkpoint.")] = False
    learning: Annotated[str | None, training_option(
        "--learning", metavar="metric|share", show_default="none",
        help="Learning curves of the metric or of the share learned, a line per noise level."
    )] = None
    axis: Annotated[str, training_option(
        "--axis", metavar="steps|images",
        help="Whether the axis counts training steps or images seen.")] = "steps"
    batch_size: Annotated[int | None, training_option(
        "--batch-size", metavar="N", min=1, show_default="what its run.toml says",
        help="Images per training step.")] = None
    labels: Annotated[Path | None, option(
        "--labels", metavar="CSV", show_default="for the bundled portraits",
        help="Concepts in the images, for --half-levels and, of trainings, --measure "
        "concept/NAME: see nca report.")] = None
    probe: Annotated[str | None, option(
        "--probe", metavar="MODULE:FUNCTION", show_default="for portraits",
        help="Probe that reads concepts: see nca report.")] = None
    # fmt: on

    def __post_init__(self) -> None:
        if self.learning not in (None, *CURVES):
            raise UsageError(f"--learning {self.learning!r} is unknown", "one of: metric, share")
        if self.axis not in ("steps", IMAGES):
            raise UsageError(f"--axis {self.axis!r} is unknown", "one of: steps, images")
        if self.emergence and self.learning:
            raise UsageError("--emergence and --learning exclude each other", "use one of them")
        if self.axis == IMAGES and not self.wanted:
            raise UsageError(
                "--axis images is for trainings only", "add --emergence or --learning metric"
            )

    @property
    def wanted(self) -> bool:
        """Whether the figure is of trainings."""
        return self.emergence or self.learning is not None

    def drawn(
        self, store: Store, filters: Filters, metrics: list[str] | None, per_pixel: bool,
        paper: Paper, tell: Callable[[str], None],
    ) -> TrainingFigure:  # fmt: skip
        """The figure; `tell` is told what was left out."""
        from nca_cli.figures.curves import plot_emergence, plot_learning
        from nca_cli.outputs import Outputs
        from nca_cli.twins import when_learned

        found = when_learned(
            store, filters, metrics or ("psnr", "ssim"), labels=self.labels, probe=self.probe,
            batch_size=self.batch_size, tell=tell,
        )  # fmt: skip
        draw: Callable[..., TrainingFigure] = plot_emergence
        if not self.emergence:
            draw = partial(plot_learning, share=self.learning == "share")
        return draw(found, images=self.axis == IMAGES, per_pixel=per_pixel,
                    outputs=Outputs(store), **paper)  # fmt: skip


@option_group
class HalfLevelOptions:
    """What is lost first."""

    half_levels: Annotated[str | None, option(
        "--half-levels", metavar="bands|concepts|both", show_default="none",
        help="Log SNR at which half of each octave band or concept (--labels, --probe) is lost."
    )] = None  # fmt: skip

    def drawn(
        self, store: Store, filters: Filters, training: TrainingOptions, per_pixel: bool,
        paper: Paper,
    ) -> HalfFigure:  # fmt: skip
        """The figure."""
        from nca_cli.twins import plot_half_levels

        return plot_half_levels(store, filters, self.half_levels or "", labels=training.labels,
                                probe=training.probe, per_pixel=per_pixel, **paper)  # fmt: skip


@app.command()
@grouped
def plot(
    *, out: Annotated[Path, option(
        "--out", "-o", metavar="FILE", help="PDF, SVG or PNG, by the suffix."
    )] = Path("curves.pdf"),
    csv: Annotated[Path | None, option(
        "--csv", metavar="FILE", variable="NCA_PLOT_CSV", callback=named, show_default="none",
        help="Also write the numbers of the figure, one per row.")] = None,
    filters: FilterOptions,
    measure: Annotated[list[str] | None, option(
        "--measure", metavar="NAME", show_default="psnr, ssim", autocompletion=complete.metrics,
        help="Metric to draw, such as mse, kept, colour. Repeatable. coherence draws all bands, "
        "coherence/2 one of them. For trainings also concepts (concept/hair).")] = None,
    references: Annotated[bool, option(
        "--references", help="Add baselines without a network, in grey.")] = False,
    per_pixel: Annotated[bool, option(
        "--per-pixel",
        help="Use log SNR per pixel at 256 px, log SNR + 2·ln(side/256), as the axis, "
        "to compare models of several resolutions.")] = False,
    half: HalfLevelOptions, training: TrainingOptions, page: PageOptions,
    title: Annotated[str | None, paper_option(
        "--title", metavar="TEXT", show_default="none", help="A line above the curves.")] = None,
    store: StoreDir = DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Draw metrics over log SNR or over a training, with 95 % intervals. Needs matplotlib."""
    from nca_cli.figures.curves import Page, plot_curves

    _check(references, half, training, out, csv)
    place, paper = opened(store), Paper(page=Page(**vars(page)), title=title)
    last = bool(half.half_levels) or not training.wanted
    wanted = filters.of(place, output, latest=last, made=True)
    figure: HalfFigure | TrainingFigure | Plot
    if half.half_levels:
        figure = half.drawn(place, wanted, training, per_pixel, paper)
    elif training.wanted:
        figure = training.drawn(place, wanted, measure, per_pixel, paper, output.note)
    else:
        figure = plot_curves(place, wanted, measure, references=references, per_pixel=per_pixel,
                             **paper)  # fmt: skip
    output.results(_saved(figure, out, csv), **figure.summary)
    output.note(*filter(None, [figure.note]))


def _saved(figure: PaperFigure, out: Path, csv: Path | None) -> list[Path]:
    """The files of a figure, written; none where one of them may not be."""
    if csv:
        figure.outputs.check(csv, figure.table)
    return [figure.save(out), *([figure.save_numbers(csv)] if csv else [])]


def _check(
    references: bool, half: HalfLevelOptions, training: TrainingOptions, out: Path,
    csv: Path | None,
) -> None:  # fmt: skip
    """Raises `UsageError` for references of figures that have none, and for one file as two."""
    if references and (training.wanted or half.half_levels):
        raise UsageError("--references applies only to metrics over log SNR", "leave it out")
    if csv and csv.absolute() == out.absolute():
        raise UsageError(f"{out}: both the figure and its numbers", "give --csv another name")
