"""A report is built once: from the store, what was measured of it, and the statistics of that."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np

from nca_cli import commands
from nca_cli.analysis import REFERENCE, Curve, Value, analyse, curves
from nca_cli.errors import NcaError, NothingStored, StoreError
from nca_cli.figures.curves.comparable import uneven
from nca_cli.metrics import REFERENCES, Measuring
from nca_cli.report.data.concepts import read_concepts
from nca_cli.report.data.report import Report, ReportedImage, ReportedModel, Series
from nca_cli.report.request import ReportRequest, selection
from nca_cli.store import Artifact, Filters, Names, Store

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
    _require_some(store, filters)
    work = Measuring(store, filters, references=tuple(REFERENCES))
    with progress(len(work)) as tick:
        rows = work.run(tick=tick)
    if not work.artifacts:
        raise work.problems[0] if work.problems else _nothing(store, filters)
    names, (kept, damaged) = work.names, _described(work.artifacts)
    places = {names(artifact) for artifact in kept}
    values = tuple(value for value in rows if value[:3] in places)
    baselines = tuple(value for value in rows if value.sampler.startswith(REFERENCE))
    return Report(
        store=str(store.root),
        request=request,
        models=tuple(_models(kept, names, baselines)),
        images=tuple(_images(kept, names)),
        series=tuple(_series(kept, names, values)),
        values=values,
        files=tuple(part.in_store for artifact in kept for part in artifact.parts),
        notes=tuple(_notes([*work.problems, *damaged], work.notes, values)),
        held=tuple((*names(artifact), artifact) for artifact in kept),
        baselines=baselines,
        stamps=work.stamps,
        analysis=analyse((*values, *baselines), store, filters),
        concepts=read_concepts(store, request),
    )


def _require_some(store: Store, filters: Filters) -> None:
    """Raise `NothingStored`, with the command that computes them, if no reconstruction fits."""
    if all(artifact.is_noise for artifact in store.require().select(filters)):
        raise _nothing(store, filters)


# --- what was measured --------------------------------------------------------------------------


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


def _models(
    kept: Iterable[Artifact], names: Names, baselines: Iterable[Value]
) -> Iterator[ReportedModel]:
    floors: dict[tuple[str, str], list[float]] = {}
    for value in baselines:
        if value.sampler == FLOOR:
            floors.setdefault((value.model, value.measure), []).append(value.value)
    for folder, artifact in {artifact.model: artifact for artifact in kept}.items():
        info, name = artifact.model_info, names.model(artifact)
        floor = {measure: float(np.mean(each)) for (model, measure), each in floors.items()
                 if model == name}  # fmt: skip
        yield ReportedModel(name, folder, str(info.get("source", "")), info.get("licence"),
                            info.get("space", {}), floor)  # fmt: skip


def _series(kept: Iterable[Artifact], names: Names, values: Iterable[Value]) -> Iterator[Series]:
    drawn: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves(values):
        drawn.setdefault((curve.model, curve.sampler), []).append(curve)
    for artifact in {(a.model, a.name): a for a in kept}.values():
        model, sampler = names.model(artifact), names.sampler(artifact)
        recipe = json.loads(artifact.header["recipe"])
        yield Series(model, sampler, artifact.name, recipe, tuple(drawn[model, sampler]))


def _notes(
    problems: Iterable[NcaError], remarks: Iterable[str], values: Sequence[Value]
) -> Iterator[str]:
    yield from (f"Left out: {error.what}." for error in problems)
    yield from (f"{remark}." for remark in remarks)
    broken = {value[:5] for value in values
              if value.measure == "mse" and math.isnan(value.value)}  # fmt: skip
    if broken:
        yield f"{len(broken)} of the stored samples hold values that are not numbers."
    yield from filter(None, [uneven(values)])


# --- what to do about nothing -------------------------------------------------------------------


def _nothing(store: Store, filters: Filters) -> NothingStored:
    return NothingStored(
        f"{store.root} holds no reconstruction that fits{_asked(filters)}",
        f"fill it: {_command(store, filters)}",
    )


def _asked(filters: Filters) -> str:
    """` (t 300, image cat)`, or nothing."""
    parts = [f"{name} {', '.join(values)}" for name, values in selection(filters).items()]
    return f" ({'; '.join(parts)})" if parts else ""


def _command(store: Store, filters: Filters) -> str:
    """What computes the missing reconstructions."""
    samplers = [*filters.samplers, *(model.sampler for model in filters.models if model.sampler)]
    return commands.suggestion(store, replace(filters, samplers=tuple(dict.fromkeys(samplers))))
