"""A report is built once: from the store, what was measured of it, and the statistics of that."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np

from nca_cli import commands
from nca_cli.analysis import REFERENCE, Curve, analyse
from nca_cli.concepts import (
    ConceptRetention,
    concept_curves,
    concept_retention,
    load_probe,
    portrait_truth,
    read_labels,
)
from nca_cli.errors import NcaError, NothingStored, StoreError
from nca_cli.figures.curves.plots import uneven
from nca_cli.metrics import REFERENCES, Measuring
from nca_cli.metrics.tidy import TidyTable
from nca_cli.report.data.report import Report, ReportedImage, ReportedModel, ReportRequest, Series
from nca_cli.report.data.training import Training, TrainingRequest, has_runs, training_numbers
from nca_cli.report.data.words import count
from nca_cli.store import Artifact, Names, Store, unmet

FLOOR = f"{REFERENCE}floor"

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Told how many samples must be measured, it opens a bar that is told of each."""


def no_progress(total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Shows nothing."""
    return nullcontext(lambda count: None)


def collect(
    store: Store, request: ReportRequest = ReportRequest(), progress: Progress = no_progress,  # noqa: B008
) -> Report:  # fmt: skip
    """Measure all stored reconstructions that fit, and gather what describes them.

    What was measured before is taken as it was kept; `progress` is told how many samples are left.

    An artifact that cannot be read is named in the notes and left out. Raises `NothingStored`
    where no reconstruction fits, the first `StoreError` where none that fits can be read, and as
    `concept_curves` where labels or a probe were named.
    """
    filters = request.filters
    if all(artifact.is_noise for artifact in store.require().select(filters)):
        raise _nothing(store, request)
    work = Measuring(store, filters, references=tuple(REFERENCES))
    with progress(len(work)) as tick:
        rows = work.run(tick=tick)
    if not work.artifacts:
        raise work.problems[0] if work.problems else _nothing(store, request)
    names, (kept, damaged) = work.names, _described(work.artifacts)
    values, baselines = _parted(rows, {names(artifact) for artifact in kept})
    analysis = analyse(TidyTable.joined((values, baselines)), store, filters)
    return Report(
        store=str(store.root),
        request=request,
        models=tuple(_models(kept, names, baselines)),
        images=tuple(_images(kept, names)),
        series=tuple(_series(kept, names, analysis.curves)),
        values=values,
        files=tuple(part.in_store for artifact in kept for part in artifact.parts),
        notes=tuple(_notes([*work.problems, *damaged], work.notes, values)),
        held=tuple((*names(artifact), artifact) for artifact in kept),
        baselines=baselines,
        stamps=work.stamps,
        analysis=analysis,
        concepts=_concepts(store, request),
        training=_training(store, request, progress),
        problems=(*work.problems, *damaged),
    )


def _described(artifacts: Iterable[Artifact]) -> tuple[list[Artifact], list[StoreError]]:
    """The artifacts whose image is described, and what is wrong with the others."""
    kept, problems = [], []
    for artifact in artifacts:
        try:
            _ = artifact.image_info
        except StoreError as error:
            problems.append(error)
        else:
            kept.append(artifact)
    return kept, problems


def _images(kept: Iterable[Artifact], names: Names) -> list[ReportedImage]:
    """Once under each model."""
    found: dict[tuple[str, str], ReportedImage] = {}
    for artifact in kept:
        image, model, _ = names(artifact)
        described = ReportedImage(image, model, artifact.image, artifact.image_info)
        found.setdefault((artifact.model, artifact.image), described)
    return list(found.values())


def _parted(
    rows: TidyTable, places: Collection[tuple[str, str, str]]
) -> tuple[TidyTable, TidyTable]:
    """The rows of these (image, model, sampler), and those that no network made."""
    kept = rows.where(lambda *place: place in places, "image", "model", "sampler")
    return kept, rows.where(lambda name: name.startswith(REFERENCE), "sampler")


def _models(
    kept: Iterable[Artifact], names: Names, baselines: TidyTable
) -> Iterator[ReportedModel]:
    floors: dict[tuple[str, str], list[float]] = {}
    for value in baselines.where(FLOOR.__eq__, "sampler"):
        floors.setdefault((value.model, value.measure), []).append(value.value)
    for folder, artifact in {artifact.model: artifact for artifact in kept}.items():
        info, name = artifact.model_info, names.model(artifact)
        floor = {measure: float(np.mean(each)) for (model, measure), each in floors.items()
                 if model == name}  # fmt: skip
        yield ReportedModel(name, folder, str(info.get("source", "")), info.get("licence"),
                            info.get("space", {}), floor)  # fmt: skip


def _series(kept: Iterable[Artifact], names: Names, curves: Iterable[Curve]) -> Iterator[Series]:
    drawn: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        drawn.setdefault((curve.model, curve.sampler), []).append(curve)
    for artifact in {(a.model, a.name): a for a in kept}.values():
        model, sampler = names.model(artifact), names.sampler(artifact)
        recipe = json.loads(artifact.header["recipe"])
        yield Series(model, sampler, artifact.name, recipe, tuple(drawn[model, sampler]))


def _notes(
    problems: Iterable[NcaError], remarks: Iterable[str], values: TidyTable
) -> Iterator[str]:
    yield from (f"Left out: {error.what}." for error in problems)
    yield from (f"{remark}." for remark in remarks)
    errors = values.of_measure("mse")
    if broken := len(errors.rows(np.isnan(errors.numbers)).samples):
        yield f"Values are not numbers in {count(broken, 'stored sample')}."
    yield from filter(None, [uneven(values)])


def _concepts(store: Store, request: ReportRequest) -> ConceptRetention | None:
    """The concepts of the images in a report, where they are known.

    Without labels, those of the bundled portraits; where none of them is stored, or one of the
    artifacts is damaged (a note of the report names it), nothing. Raises as `concept_curves` where
    labels or a probe were named.
    """
    truth = read_labels(request.labels) if request.labels else portrait_truth()
    own = load_probe(request.probe) if request.probe else None
    try:
        found = concept_curves(store, request.filters, truth, own)
    except (NothingStored, StoreError):
        if request.labels or request.probe:
            raise
        return None
    return concept_retention(found.readings, found.notes, found.probed)


def _training(store: Store, request: ReportRequest, progress: Progress) -> Training | None:
    """Of all steps, whichever of them the page is about."""
    if not has_runs(store, request.filters):
        return None
    wanted = TrainingRequest(
        read_labels(request.labels) if request.labels else None,
        load_probe(request.probe) if request.probe else None,
        request.batch_size, request.train_images,
    )  # fmt: skip
    return training_numbers(store, request.filters, wanted, progress)


def _nothing(store: Store, request: ReportRequest) -> NothingStored:
    """With the command that computes what is missing."""
    samplers = tuple(dict.fromkeys(request.selection.get("sampler", ())))
    hint = commands.suggestion(store, replace(request.filters, samplers=samplers))
    return NothingStored(unmet(store, request.filters, "no reconstruction"), hint)
