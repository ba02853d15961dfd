"""Concepts along a training, as tables like those of any measure.

Retention (`curves.retention`) is a slope over images, not a mean. Yet it is the mean of what each
image adds to it,

    (truth_i - mean truth)·(reading_i - mean reading) / mean of the same of the clean images

so that learning steps, orders and transfer are taken of it as of any mean over images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from nca_cli.analysis.bootstrap import MIN_IMAGES
from nca_cli.analysis.checkpoints import (
    MadeBy,
    StepTable,
    StoredRun,
    Tell,
    made_by,
    silent,
    whole_block,
)
from nca_cli.analysis.emergence import Emergence, of_tables
from nca_cli.concepts.curves import READABLE, AnyProbe, Reading, concept_curves
from nca_cli.concepts.retained import CONCEPT, FEWEST
from nca_cli.concepts.truth import Truth
from nca_cli.store import Filters, Name, Names, Store


def concept_tables(
    store: Store, filters: Filters = Filters(), truth: Truth | None = None,  # noqa: B008
    probe: AnyProbe | None = None, *, tell: Tell = silent,
) -> list[StepTable]:  # fmt: skip
    """A table of retention for each run, sampler and concept; `truth` and `probe` as there.

    Concepts that the images cannot tell of are left out, and told. Raises as `concept_curves`.
    """
    made = [artifact for artifact in store.select(filters) if not artifact.is_noise]
    names = Names(made)
    place = {names(one): where for one, where in made_by(store, made).items()}
    readings = concept_curves(store, filters, truth, probe, names=names).readings
    return list(tables_of(readings, place, tell))


def concept_emergences(
    store: Store, filters: Filters = Filters(), truth: Truth | None = None,  # noqa: B008
    probe: AnyProbe | None = None, *, batch_size: int | None = None, tell: Tell = silent,
) -> list[Emergence]:  # fmt: skip
    """When each run learned each concept; as `analysis.emergences` for measures."""
    tables = concept_tables(store, filters, truth, probe, tell=tell)
    return list(of_tables(tables, store, filters, batch_size, tell=tell))


def no_curve_of(metric: str) -> str:
    """What is told of a concept that is left out."""
    return f"no curve of the concept {metric.removeprefix(CONCEPT).replace('_', ' ')}"


def tables_of(
    readings: Iterable[Reading], place: Mapping[Name, MadeBy], tell: Tell = silent
) -> Iterator[StepTable]:
    """Of readings, and where the artifact of each name belongs."""
    held: dict[tuple[StoredRun, str], list[tuple[Reading, int]]] = {}
    for reading in readings:
        where = place.get(reading[:3])
        if where is not None:
            held.setdefault(where[:2], []).append((reading, where.step))
    for (run, sampler), some in held.items():
        by_concept: dict[str, list[tuple[Reading, int]]] = {}
        for reading, step in some:
            by_concept.setdefault(reading.concept, []).append((reading, step))
        for concept, each in by_concept.items():
            yield from _table(run, sampler, CONCEPT + concept, each, tell)


def _table(
    run: StoredRun, sampler: str, metric: str, some: Iterable[tuple[Reading, int]], tell: Tell
) -> Iterator[StepTable]:
    cells: dict[tuple[str, int | float, int], list[tuple[float, ...]]] = {}
    known: dict[str, Reading] = {}
    log_snr: dict[int | float, float] = {}
    for reading, step in some:
        cells.setdefault((reading.image, reading.t, step), []).append(reading.read)
        known[reading.image], log_snr[reading.t] = reading, reading.log_snr
    block = whole_block(set(cells))  # what is left out is told with the metrics
    if len(block.steps) < 2:
        return
    truth = np.array([known[image].truth for image in block.images])
    clean = np.array([known[image].clean for image in block.images])
    why = _untold(truth, clean)
    if why:
        tell(f"{run.name} · {sampler}: {no_curve_of(metric)}: {why}")
        return
    read = np.empty((*block.shape, truth.shape[1]))
    for index, key in block.cells():
        several = cells[key]
        read[index] = [sum(numbers) / len(several) for numbers in zip(*several, strict=True)]
    yield StepTable(run, sampler, metric, block.images, block.t,
                    tuple(log_snr[t] for t in block.t), block.steps,
                    shares(truth, read, clean), higher_is_better=True)  # fmt: skip


def shares(truth: np.ndarray, read: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """What each image adds to retention `(images, levels, steps)`, whose mean it is.

    `truth` and `clean` `(images, size)`, `read` `(images, levels, steps, size)`.
    """
    apart = truth - truth.mean(axis=0)
    ceiling = float((apart * clean).sum(axis=1).mean())
    moved = read - np.nanmean(read, axis=0)
    return np.einsum("is,ilks->ilk", apart, moved) / ceiling


def _untold(truth: np.ndarray, clean: np.ndarray) -> str:
    """Why there is no retention of these images, or nothing."""
    apart = truth - truth.mean(axis=0)
    total = float((apart**2).sum())
    if len(truth) < FEWEST:
        return f"too few images: {len(truth)} of {FEWEST}"
    if total <= 1e-12:
        return "all images have the same value"
    if truth.shape[1] == 1 and set(np.unique(truth)) <= {0, 1}:
        there = int(truth.sum())
        if min(there, len(truth) - there) < MIN_IMAGES:
            return f"too few images with it and without it: {there} of {len(truth)} have it"
    if float((apart * clean).sum()) / total < READABLE:
        return "the probe cannot read it in the clean images"
    return ""
