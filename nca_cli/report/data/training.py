"""What the trainings in a store say: when and from which levels each concept was learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nca_cli.analysis.checkpoints import StepTable, Tell, info_of, step_tables
from nca_cli.analysis.emergence import Emergence, LearnedOrder, learned_orders, of_tables
from nca_cli.analysis.knowable import (
    GAUSSIAN,
    POSTERIOR_MEAN,
    CopiedShare,
    ExcessOverBest,
    TrainingGap,
    TrainingImages,
    best_errors,
    copied_shares,
    excesses,
    gaps,
    gaussian_errors,
    kinds_of,
)
from nca_cli.analysis.references import Reference, references
from nca_cli.analysis.remember import remembered
from nca_cli.analysis.taught import Taught, transfer_matrix
from nca_cli.analysis.trainings import OverTrainings, over_trainings
from nca_cli.analysis.values import Value
from nca_cli.concepts import Truth
from nca_cli.concepts.curves import AnyProbe
from nca_cli.concepts.learned import concept_tables
from nca_cli.errors import NothingStored, StoreError
from nca_cli.images import Resolution, find_images, image_digest, load_image, resolution_of
from nca_cli.metrics import Measuring
from nca_cli.store import Filters, Names, Store


@dataclass(frozen=True)
class Training:
    """All numbers about trainings. Every part may be empty; blanks carry their reason."""

    emergences: tuple[Emergence, ...] = ()
    """Each run, sampler, measure and concept: curves, learning steps, what was lost again."""
    orders: tuple[LearnedOrder, ...] = ()
    over_trainings: tuple[OverTrainings, ...] = ()
    """Learning steps with intervals over trainings of the same settings."""
    transfer: tuple[Taught, ...] = ()
    excess: tuple[ExcessOverBest, ...] = ()
    gaps: tuple[TrainingGap, ...] = ()
    copies: tuple[CopiedShare, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers that are not finite are left to the writer."""
        content = asdict(replace(self, emergences=()))
        return content | {"emergences": [one.as_dict() for one in self.emergences]}


@dataclass(frozen=True)
class TrainingRequest:
    """What is known of the trainings beyond the store."""

    truth: Truth | None = None
    probe: AnyProbe | None = None
    """As in `concept_curves`."""
    batch_size: int | None = None
    """For runs that do not say theirs."""
    images: Sequence[str | Path] = ()
    """The training images: files, folders, archives, globs."""
    fit: str = "crop"
    """How they became square."""
    reference: str | None = None
    """Settings of the runs on all levels, for the transfer matrix."""
    known: dict[tuple[Resolution, int], TrainingImages] = field(default_factory=dict)
    """Resolution and channels → training images that were read before."""


def has_runs(store: Store, filters: Filters = Filters()) -> bool:  # noqa: B008
    """Whether a model that fits is a training; opens no artifact."""
    for model in filter(filters.fits_model, store.models()):
        with suppress(StoreError):
            if store.model_info(model).get("run"):
                return True
    return False


def training_numbers(
    store: Store, filters: Filters = Filters(), wanted: TrainingRequest = TrainingRequest(),  # noqa: B008
    progress: Callable[[int], Any] | None = None,
) -> Training:  # fmt: skip
    """Everything, of all steps that `filters` do not leave out.

    What is missing of the measures is measured; `progress` is as in `collect`. Raises
    `NothingStored` where no reconstruction fits, `UsageError` for bad labels or training images.
    """
    filters = replace(filters, latest=False)
    work = Measuring(store, filters)
    if progress is None:
        rows = work.run()
    else:
        with progress(len(work)) as tick:
            rows = work.run(tick=tick)
    notes = {f"Left out: {error.what}.": None for error in work.problems}

    def tell(text: str) -> None:
        notes[f"{text}."] = None

    tables = step_tables(store, work, rows, tell)
    tables += _concepts(store, filters, wanted, tell)
    seen = {one.run.folder: _seen(store, one.run.folder, wanted) for one in tables}
    found = tuple(_emergences(tables, store, filters, wanted, seen, tell))
    sets = {id(one): one for one in seen.values() if one is not None}.values()
    return Training(
        found, tuple(learned_orders(found)), tuple(over_trainings(found)),
        tuple(transfer_matrix(tables, wanted.reference, tell)),
        tuple(_excesses(tables, store, filters, seen)),
        tuple(gap for one in _errors(tables)
              for gap in gaps(one, kinds_of(store, one, seen[one.run.folder], filters))),
        tuple(share for one in sets
              for share in copied_shares(store, work.artifacts, one, filters)),
        tuple(notes),
    )  # fmt: skip


def _emergences(
    tables: Sequence[StepTable], store: Store, filters: Filters, wanted: TrainingRequest,
    seen: dict[str, TrainingImages | None], tell: Tell,
) -> Iterator[Emergence]:  # fmt: skip
    """Folder by folder, since the mean of the training images is a baseline."""
    for folder, images in seen.items():
        mine = [one for one in tables if one.run.folder == folder]
        pixels = None if images is None else images.pixels
        yield from of_tables(mine, store, filters, wanted.batch_size, pixels, tell)


def _concepts(
    store: Store, filters: Filters, wanted: TrainingRequest, tell: Tell
) -> list[StepTable]:
    """Of the bundled portraits, or of labels; where no image has any, there are none."""
    try:
        return concept_tables(store, filters, wanted.truth, wanted.probe, tell=tell)
    except (NothingStored, StoreError):
        if wanted.truth is not None or wanted.probe is not None:
            raise
        return []


def _errors(tables: Iterable[StepTable]) -> Iterator[StepTable]:
    """Squared errors of posterior means."""
    return (one for one in tables if one.metric == "mse" and one.one_step)


def _excesses(
    tables: Iterable[StepTable], store: Store, filters: Filters,
    seen: dict[str, TrainingImages | None],
) -> Iterator[ExcessOverBest]:  # fmt: skip
    gaussians = None
    for one in _errors(tables):
        images = seen[one.run.folder]
        if images is not None:
            best, reference = best_errors(store, one, images, filters), POSTERIOR_MEAN
        else:
            if gaussians is None:
                gaussians = _gaussians(store, replace(filters, steps=(), latest=True))
            best, reference = gaussian_errors(gaussians, one.run.name), GAUSSIAN
        yield from excesses(one, best, kinds_of(store, one, images, filters), reference)


def _gaussians(store: Store, latest: Filters) -> list[Value]:
    """Rows of the Gaussian references, which no checkpoint changes; kept with those of the page."""
    made = [artifact for artifact in store.select(latest) if not artifact.is_noise]
    names = Names(made)
    artifacts = [(artifact, names(artifact)) for artifact in made]
    type_ = tuple[list[Value], list[Reference]]
    compute = partial(references, store, latest, names)
    rows: list[Value] = remembered(store, latest, artifacts, "references", type_, compute)[0]
    return rows


def _seen(store: Store, folder: str, wanted: TrainingRequest) -> TrainingImages | None:
    """The training images as a run sees them; None where they are not given."""
    space = info_of(store, folder).get("space") or {}
    if not (wanted.images and space.get("resolution")):
        return None
    resolution, channels = resolution_of(space["resolution"]), int(space.get("channels") or 3)
    if (resolution, channels) not in wanted.known:
        sources = find_images(wanted.images)
        wanted.known[resolution, channels] = TrainingImages(
            np.stack([load_image(one, resolution, wanted.fit, channels).pixels for one in sources]),
            frozenset(image_digest(one, resolution, wanted.fit) for one in sources),
        )
    return wanted.known[resolution, channels]
