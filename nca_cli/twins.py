"""Python twins of commands whose parts lie in several rooms: they do what the command does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nca_cli.analysis import HalfLevel, half_levels
from nca_cli.analysis.checkpoints import Tell, silent
from nca_cli.analysis.emergence import Emergence, emergences, of_tables
from nca_cli.commands import at, fill, fills, next_step
from nca_cli.concepts import concept_curves, concept_retention, load_probe, read_labels
from nca_cli.concepts.curves import ConceptCurves
from nca_cli.concepts.learned import concept_tables, no_curve_of
from nca_cli.concepts.retained import CONCEPT
from nca_cli.engine import Request, Work, noisings, reconstructions
from nca_cli.errors import LIST_HINT, NcaError, NothingStored, UsageError
from nca_cli.figures.curves import HalfFigure, half_figure
from nca_cli.figures.curves.plots import nothing_drawn
from nca_cli.figures.curves.sides import per_pixel as corrected
from nca_cli.figures.curves.sides import sides_of
from nca_cli.figures.curves.titles import metric_title
from nca_cli.metrics import described, measure_store
from nca_cli.notebook import NotebookStore
from nca_cli.outputs import HDF5, Outputs
from nca_cli.recipe import DEFAULT_STORE
from nca_cli.report.data.words import concept_title
from nca_cli.store import Filters, Store, unfitted
from nca_cli.store.child import TIME_LIMIT
from nca_cli.store.gaps import gaps_of
from nca_cli.store.pack import Progress, no_progress, pack, unpack
from nca_cli.store.select import holding
from nca_cli.store.verify import Verification, verify


@dataclass
class Summary:
    """What a call did: samples computed now, samples that were cached, images that failed."""

    store: NotebookStore
    computed: int = 0
    cached: int = 0
    errors: list[NcaError] = field(default_factory=list)

    def carry_out(self, works: Iterable[Work]) -> None:
        """Do the work, and count it."""
        for work in works:
            self.computed += sum(1 for _ in work)
            self.cached += work.plan.wanted - work.plan.missing


def noise_images(
    *images: str | Path, store: str | Path = DEFAULT_STORE, device: str = "auto", **request: Any
) -> Summary:
    """Store x_t of `images`; keywords as in `Request` (`models=["ddim"]`, `t=[100, 300]`, …)."""
    summary, wanted = Summary(NotebookStore(store)), Request(images, **request)
    summary.carry_out(noisings(wanted, summary.store, device, summary.errors.append))
    return summary


def reconstruct(
    *images: str | Path, store: str | Path = DEFAULT_STORE, device: str = "auto", **request: Any
) -> Summary:
    """Store x̂0 of `images`; keywords as in `Request` (`samplers=["one-step"]`, `steps=20`, …)."""
    summary, wanted = Summary(NotebookStore(store)), Request(images, **request)
    summary.carry_out(reconstructions(wanted, summary.store, device, summary.errors.append))
    return summary


def when_learned(
    store: Store, filters: Filters = Filters(), metrics: Iterable[str] = ("psnr", "ssim"), *,  # noqa: B008
    labels: str | Path | None = None, probe: str | None = None, batch_size: int | None = None,
    tell: Tell = silent, tick: Callable[[int], None] | None = None,
) -> list[Emergence]:  # fmt: skip
    """When the trainings in a store learned metrics (`psnr`), bands of them (`coherence/2`) and
    concepts (`concept/hair`), over all steps that `filters` do not leave out.

    `labels` and `probe` as in `build_report`; the rest as in `emergences`. Raises `UsageError` for
    what cannot be learned, `NothingStored` where nothing fits.
    """
    wanted = list(dict.fromkeys(metrics))
    families = [name.partition("/")[0] for name in wanted if not name.startswith(CONCEPT)]
    for family in families:
        known = described(family)
        if known is not None and not known.better:
            raise UsageError(f"{family} has no learning curve: neither more nor less is better",
                             "use one such as psnr, ssim, coherence, concept/hair")  # fmt: skip
    found = []
    if families:
        found = emergences(store, filters, dict.fromkeys(families), batch_size=batch_size,
                           tell=tell, tick=tick)  # fmt: skip
    if len(families) < len(wanted):
        truth = read_labels(labels) if labels else None

        def tell_of_wanted(text: str) -> None:
            if no_curve_of("") not in text or any(f"{no_curve_of(n)}:" in text for n in wanted):
                tell(text)

        tables = concept_tables(store, filters, truth, load_probe(probe) if probe else None,
                                tell=tell_of_wanted)  # fmt: skip
        found += of_tables(tables, store, filters, batch_size, tell=tell)
    if not found:
        raise _no_training(store, filters)
    for name in wanted:
        if not any(_is_of(each, name) for each in found):
            there = ", ".join(dict.fromkeys(each.metric for each in found))
            raise UsageError(f"no learning curve of {name} here", f"available: {there}")
    return [each for name in wanted for each in found if _is_of(each, name)]


def _no_training(store: Store, filters: Filters) -> NothingStored:
    """A filter that nothing fits, or what every learning curve needs."""
    if what := unfitted(store, filters):
        return NothingStored(what, LIST_HINT, store.named)
    what = f"no training in {store.root} has a baseline and two checkpoints after it"
    return NothingStored(what, "compute more of one: nca reconstruct --run PATH", store.named)


def _is_of(found: Emergence, name: str) -> bool:
    """`coherence/2` is of `coherence`."""
    return name in (found.metric, found.metric.partition("/")[0])


ENOUGH = (100, 300, 600, 900)
"""Levels between which half-levels are found."""
HALF_LEVELS = ("bands", "concepts", "both")
"""Of what `plot_half_levels` tells where half is lost."""


def plot_half_levels(
    store: Store, filters: Filters = Filters(), of: str = "both", *,  # noqa: B008
    labels: str | Path | None = None, probe: str | None = None, per_pixel: bool = False,
    tick: Callable[[int], None] = lambda count: None, **paper: Any,
) -> HalfFigure:  # fmt: skip
    """What is lost first: the half-levels of octave bands and of concepts, over logSNR.

    `of` is one of `HALF_LEVELS`; `labels` and `probe` as in `build_report`; `per_pixel`, `page` and
    `title` as in `plot_curves`. Where `of` is both, images without known concepts have bands alone.
    Raises `UsageError`, `NothingStored` where nothing fits, and `NcaError` without matplotlib.
    """
    if of not in HALF_LEVELS:
        raise UsageError(f"--half-levels {of!r} is unknown", f"one of: {', '.join(HALF_LEVELS)}")
    sides = sides_of(store, filters)
    placed = partial(corrected, sides=sides) if per_pixel else list
    groups: dict[str, list[HalfLevel]] = {}
    titles: dict[str, str] = {}
    levels: list[float] = []
    if of != "concepts":
        values = placed(measure_store(store, filters, ["coherence"], tick=tick))
        if not values:
            raise nothing_drawn(store, filters, "nothing that fits")
        groups["Spatial frequency"] = half_levels(values)
        titles = {each.measure: metric_title(each.measure) for each in values}
        levels = [value.log_snr for value in values]
    if of != "bands" and (read := _read(store, filters, labels, probe, of == "concepts")):
        found = concept_retention(placed(read.readings), read.notes, read.probed)
        groups["Concepts"] = list(found.half_levels)
        titles |= {each.measure: concept_title(each.measure, found) for each in found.half_levels}
        levels += [value.log_snr for value in found.values]
    outputs = Outputs(store, (Path(labels),) if labels else ())
    try:
        return half_figure(groups, levels, titles, sides=sides, per_pixel=per_pixel,
                           outputs=outputs, **paper)  # fmt: skip
    except NothingStored as nothing:
        raise NothingStored(nothing.what, _more_levels(store, filters)) from nothing


def _more_levels(store: Store, filters: Filters) -> str:
    """What to do where levels are too few: take those that are stored, or compute some."""
    every, asked = replace(filters, t=()), replace(filters, t=ENOUGH)
    readable = holding(store.select(every), every, lambda error: None)
    made = [one for one in readable if not one.is_noise]
    if filters.t and len({t for one in made for t, _ in one.keys}) > 1:
        return "leave out --t"
    lines = fills(store, gaps_of(made, asked))
    return next_step(lines) if lines else at(LIST_HINT, store.named)


def _read(
    store: Store, filters: Filters, labels: str | Path | None, probe: str | None, must: bool
) -> ConceptCurves | None:
    """What is read of concepts; nothing where no image has any, unless they were asked for."""
    truth = read_labels(labels) if labels else None
    try:
        return concept_curves(store, filters, truth, load_probe(probe) if probe else None)
    except NothingStored:
        if must or labels or probe:
            raise
        return None


def verify_store(
    store: Store, *, repair: bool = False, time_limit: float = TIME_LIMIT
) -> Verification:
    """Check every file of a store (see `store.verify`); a finding says what computes it again."""
    return verify(store, repair=repair, time_limit=time_limit, command=fill)


def pack_store(store: Store, path: str | Path, progress: Progress = no_progress) -> Path:
    """Join a store into one file (see `store.pack`), where `Outputs` lets one be written. Raises
    `UsageError`, too."""
    Outputs(store).check(Path(path), HDF5)
    return pack(store, path, progress)


def unpack_store(path: str | Path, folder: str | Path, progress: Progress = no_progress) -> Store:
    """Make a folder of a packed file, where `Outputs` lets one be filled. Raises as `pack_store`
    does."""
    Outputs(Store(path)).check(Path(folder))
    return unpack(path, folder, progress)
