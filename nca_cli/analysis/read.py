"""What the statistics of tensors read from a store: images of a model, and its reconstructions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nca_cli.errors import NothingStored, StoreError
from nca_cli.recipe import Number, Recipe
from nca_cli.schedule import Schedule
from nca_cli.store import Artifact, Filters, Namer, Names, Place, Store
from nca_cli.store.layout import NOISE

MOST_BYTES = 256 * 2**20
"""Of tensors in memory, unless one level needs more."""
MOST_IMAGES = 200
"""Statistics of tensors take the first so many images of a model; they say how many in `n`."""


@dataclass
class StoredModel:
    """The images of one stored model, and what was reconstructed of them."""

    model: str
    """As in a `Value`."""
    info: dict
    """`model.json`."""
    noise: dict[str, Artifact] = field(default_factory=dict)
    """Image → where its x0 and x_t lie."""
    recipes: dict[str, dict[str, Artifact]] = field(default_factory=dict)
    """Sampler → image → reconstructions."""

    @property
    def latent(self) -> bool:
        """Whether noise is added to latents."""
        return bool((self.info.get("space") or {}).get("autoencoder"))

    @property
    def channels(self) -> int:
        """Of its images."""
        return int((self.info.get("space") or {}).get("channels") or 3)

    @cached_property
    def schedule(self) -> Schedule | None:
        """Where it can be rebuilt from what the store says: learned betas are a digest there, and
        imported reconstructions may have none."""
        return Schedule.from_description((self.info.get("space") or {}).get("schedule") or {})

    def recipe(self, sampler: str) -> Recipe | None:
        """The settings that all reconstructions of this sampler share."""
        return next(iter(self.recipes[sampler].values())).recipe


def stored_models(
    store: Store, filters: Filters = Filters(), names: Namer | None = None  # noqa: B008
) -> list[StoredModel]:  # fmt: skip
    """What fits, by model. Unreadable artifacts are left out: the report's notes name them."""
    made = [artifact for artifact in store.select(filters) if not artifact.is_noise]
    names = names or Names(made)
    found: dict[str, StoredModel] = {}
    for artifact in made:
        if not _readable(artifact) or not filters.keys(artifact):
            continue
        image, model, sampler = names(artifact)
        stored = found.setdefault(artifact.model, StoredModel(model, artifact.model_info))
        noise = store.artifact(Place(artifact.model, artifact.image), NOISE)
        if noise is not None and _readable(noise) and len(stored.noise) < MOST_IMAGES:
            stored.noise.setdefault(image, noise)
        if image in stored.noise:
            stored.recipes.setdefault(sampler, {})[image] = artifact
    return list(found.values())


def _readable(artifact: Artifact) -> bool:
    try:
        return bool(artifact.header) and artifact.keys is not None
    except (StoreError, NothingStored):
        return False


def levels(artifacts: Iterable[Artifact], filters: Filters) -> dict[Number, float]:
    """t → logSNR of every wanted sample, sorted by t."""
    found: dict[Number, float] = {}
    for artifact in artifacts:
        stored = zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True)
        known, wanted = dict(stored), {t for t, _ in filters.keys(artifact)}
        found.update((t, known[t]) for t in wanted)
    return dict(sorted(found.items()))


def by_level(
    artifacts: dict[str, Artifact], filters: Filters, dataset: str
) -> Iterator[tuple[Number, float, dict[str, np.ndarray]]]:
    """t, logSNR and image → tensors `(seeds, C, H, W)`, level by level, images sorted.

    Samples that hold NaN or infinities are left out. Opening a file costs more than reading a small
    sample, so a file is read for as many levels at once as `MOST_BYTES` allow.
    """
    known = levels(artifacts.values(), filters)
    every, size = list(known), _levels_at_once(artifacts, filters, dataset, len(known))
    for start in range(0, len(every), size):
        found: dict[Number, dict[str, np.ndarray]] = {t: {} for t in every[start : start + size]}
        for image, artifact in sorted(artifacts.items()):
            keys = [key for key in filters.keys(artifact) if key[0] in found]
            if keys and dataset in artifact.datasets:
                tensors = artifact.read(dataset, keys)
                sound = np.isfinite(tensors).reshape(len(keys), -1).all(axis=1)
                for t in found:
                    rows = [row for row, key in enumerate(keys) if key[0] == t and sound[row]]
                    found[t] |= {image: tensors[rows]} if rows else {}
        for t in list(found):
            yield t, known[t], found.pop(t)


def _levels_at_once(
    artifacts: dict[str, Artifact], filters: Filters, dataset: str, count: int
) -> int:
    sizes = [
        math.prod(artifact.datasets[dataset][0][1:]) * 4 * len(filters.keys(artifact))
        for artifact in artifacts.values()
        if dataset in artifact.datasets
    ]
    return max(1, MOST_BYTES * count // max(1, sum(sizes)))


def gram(rows: np.ndarray, chunk: int = 1 << 15) -> np.ndarray:
    """Inner products `(n, n)` in float64 of rows `(n, d)`, pixels in chunks."""
    total = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], chunk):
        part = rows[:, start : start + chunk].astype(np.float64)
        total += part @ part.T  # of one array with itself, NumPy computes one triangle
    return total
