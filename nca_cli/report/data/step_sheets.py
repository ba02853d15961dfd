"""Pictures of trainings: one image at every step and noise level, as one sheet.

Rows are training steps, below a row of x0 and x_t; columns are levels from clean to noise, after a
column for x0. As it stands a sheet is a grid; the page's script takes its squares out.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nca_cli.analysis.checkpoints import made_by
from nca_cli.analysis.emergence import Emergence
from nca_cli.errors import NothingStored, StoreError
from nca_cli.images import subsampled, to_rgb
from nca_cli.recipe import Number
from nca_cli.report.data.report import Report
from nca_cli.store import Artifact, Names, Place, Store
from nca_cli.store.layout import NOISE

if TYPE_CHECKING:
    from PIL import Image

MOST_TRAININGS = 6
"""Trainings, each with one sampler, that a page shows; the tables of numbers have all."""
SIDE, LONGEST = 128, 16383
"""Pixels of a square at most, and of a sheet (the limit of WebP)."""
QUALITY = 80
SHARE = 0.2
"""Of a page's room for pictures."""

Series = tuple[str, str]
"""Run and sampler."""


@dataclass(frozen=True)
class StepSheet:
    """One image along one training."""

    content: bytes
    size: tuple[int, int]
    """Of one square, in pixels."""
    image: str
    run: str
    sampler: str
    steps: tuple[int, ...]
    """Of the rows after the first."""
    t: tuple[Number, ...]
    """Of the columns after the first."""


def trainings(report: Report) -> dict[Series, list[Emergence]]:
    """Run and sampler → its measures, of those that the page shows: one-step ones first."""
    found: dict[Series, list[Emergence]] = {}
    for each in report.training.emergences if report.training else ():
        found.setdefault((each.run, each.sampler), []).append(each)
    order = sorted(found, key=lambda series: not series[1].startswith("one-step"))
    return {series: found[series] for series in order[:MOST_TRAININGS]}


def step_sheets(store: Store, report: Report, budget: float) -> tuple[StepSheet, ...]:
    """Sheets of as many images as fit in so many bytes, each image of every training.

    What cannot be read is left out.
    """
    shown = trainings(report)
    sheets: list[StepSheet] = []
    held = _held(store, report) if shown and budget > 0 else {}
    for image in report.image_names:
        drawn = (_sheet(store, report, image, some[0], held.get((*series, image), {}))
                 for series, some in shown.items())  # fmt: skip
        made = [sheet for sheet in drawn if sheet]
        budget -= sum(len(sheet.content) for sheet in made)
        if budget < 0:
            break
        sheets += made
    return tuple(sheets)


def _held(store: Store, report: Report) -> dict[tuple[str, str, str], dict[int, Artifact]]:
    """Run, sampler and image → the artifact of each step."""
    every = store.select(replace(report.request.filters, latest=False))
    made = [artifact for artifact in every if not artifact.is_noise]
    names = Names(made)
    found: dict[tuple[str, str, str], dict[int, Artifact]] = {}
    for artifact, (run, sampler, step) in made_by(store, made).items():
        found.setdefault((run.name, sampler, names.image(artifact)), {})[step] = artifact
    return found


def _sheet(
    store: Store, report: Report, image: str, axes: Emergence, made: Mapping[int, Artifact]
) -> StepSheet | None:
    """Nothing where a file is damaged or gone."""
    order = sorted(range(len(axes.t)), key=lambda level: (-axes.log_snr[level], axes.t[level]))
    ts = tuple(axes.t[level] for level in order)
    first = next(iter(made.values()), None)
    noise = first and store.artifact(Place(first.model, first.image), NOISE)
    if noise is None:
        return None
    filters = replace(report.request.filters, latest=False)
    seed = min(key[1] for artifact in made.values() for key in filters.keys(artifact))
    try:
        rows = [[to_rgb(noise.fixed("x0")), *_pictures(noise, ts, seed)]]
        rows += [[None, *_pictures(made.get(step), ts, seed)] for step in axes.steps]
    except (StoreError, NothingStored):
        return None
    content, size = _joined(rows)
    return StepSheet(content, size, image, axes.run, axes.sampler, axes.steps, ts)


def _pictures(
    artifact: Artifact | None, ts: Sequence[Number], seed: int
) -> list[np.ndarray | None]:
    """uint8 (H, W, 3) of each level, or None where it is not stored."""
    held = [(t, seed) for t in ts if artifact and (t, seed) in artifact.keys]
    if artifact is None or not held:
        return [None] * len(ts)
    found = dict(zip(held, artifact.read("preview", held), strict=True))
    return [found.get((t, seed)) for t in ts]


def _joined(rows: Sequence[Sequence[np.ndarray | None]]) -> tuple[bytes, tuple[int, int]]:
    """A WebP of all squares, and the size of one; what is missing is clear."""
    from PIL import Image

    first = rows[0][0]
    assert first is not None  # x0, which every noise has
    height, width = first.shape[:2]
    scale = min(1.0, min(SIDE, LONGEST // max(len(rows), len(rows[0]))) / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    sheet = Image.new("RGBA", (size[0] * len(rows[0]), size[1] * len(rows)))
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            if picture is not None:
                noise = down == 0 and across > 0
                sheet.paste(resized(picture, size, noise), (across * size[0], down * size[1]))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue(), size


def resized(picture: np.ndarray, size: tuple[int, int], noise: bool) -> Image.Image:
    """Noise is subsampled: to average it would make it weaker."""
    from PIL import Image

    if noise:
        return Image.fromarray(subsampled(picture, size))
    return Image.fromarray(picture).resize(size, Image.Resampling.BOX)
