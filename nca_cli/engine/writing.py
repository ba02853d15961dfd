"""Finished samples on their way into the store: how long they wait, and that none is lost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nca_cli.engine.codec import Codec
from nca_cli.engine.plan import ImagePlan, Plan
from nca_cli.recipe import Recipe
from nca_cli.store import Key, Samples

COMMIT_SECONDS = 30.0
"""Finished samples wait at most this long to be committed."""


class Done(NamedTuple):
    """A finished sample: of which image, by which recipe (`None`: noise), at which level."""

    image: ImagePlan
    recipe: Recipe | None
    t: int | float
    seed: int


Whose = tuple[ImagePlan, Recipe, Key]
"""Of which image, by which recipe, from which (t, seed) a trajectory is."""


@dataclass
class Gathered:
    """Chunks of samples on their way to `write`, several at a time: a commit rewrites a file.

    They wait for `limit` bytes or `COMMIT_SECONDS`, and are let go only when they are written.
    """

    write: Callable[[list[Samples]], None]
    limit: int
    chunks: list[Samples] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, chunk: Samples) -> None:
        """One more chunk; writes all that wait where it is time to."""
        self.chunks.append(chunk)
        held = sum(len(each) * each.bytes_per_sample for each in self.chunks)
        if held >= self.limit or time.monotonic() - self.began > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write what waits."""
        if self.chunks:
            self.write(self.chunks)
            self.chunks.clear()
        self.began = time.monotonic()


class Writer:
    """Commits the x̂0 of a plan: when an image is complete, and every `COMMIT_SECONDS`.

    Samples are let go only when they are in the store, so that neither an error nor an interrupt
    loses them: `commit_all` writes them again.
    """

    def __init__(self, plan: Plan, codec: Codec, dtype: str):
        self._plan, self._codec, self._dtype = plan, codec, dtype
        self._held: dict[tuple[str, str], dict[Key, np.ndarray]] = defaultdict(dict)
        """(image digest, recipe name) → finished samples."""
        self._left: dict[str, int] = {}
        self._saved = time.monotonic()

    def expect(self, image: ImagePlan, count: int) -> None:
        """So many samples of an image will come."""
        self._left[image.digest] = count

    def take(self, whose: Whose, x0_hat: np.ndarray) -> bool:
        """`hold` a sample; the last one of an image writes them all, whatever became of it."""
        held, digest = self.hold(whose, x0_hat), whose[0].digest
        self._left[digest] -= 1
        if not self._left[digest]:
            self._commit([(digest, name) for name in self._plan.recipes])
        return held

    def hold(self, whose: Whose, x0_hat: np.ndarray) -> bool:
        """Keep a sample to be written; False, and nothing is kept, where it is not finite."""
        image, recipe, key = whose
        finite = bool(np.isfinite(x0_hat).all())
        if finite:
            self._held[image.digest, recipe.name][key] = x0_hat
        return finite

    def commit_if_due(self) -> None:
        """Write all where the last time is `COMMIT_SECONDS` ago."""
        if time.monotonic() - self._saved > COMMIT_SECONDS:
            self.commit_all()

    def commit_all(self) -> None:
        """Write all that is held."""
        self._commit(list(self._held))
        self._saved = time.monotonic()

    def _commit(self, waiting: Iterable[tuple[str, str]]) -> None:
        """Write finished samples by (image digest, recipe name).

        An artifact that fails keeps none of the others from being written; the first error is
        raised at the end.
        """
        errors: list[BaseException] = []
        for digest, name in waiting:
            try:
                self._write(digest, name)
            except BaseException as error:
                errors.append(error)
            else:
                self._held.pop((digest, name), None)
        if errors:
            raise errors[0]

    def _write(self, digest: str, name: str) -> None:
        plan, finished = self._plan, self._held.get((digest, name))
        if not finished:
            return
        image = next(image for image in plan.images if image.digest == digest)
        place, header = plan.place(image), plan.header(image, plan.recipes[name])
        tensors = self._codec.tensors("x0_hat", "z0_hat", np.stack(list(finished.values())))
        samples = Samples.at(list(finished), plan.model.space.schedule.log_snr, tensors)
        plan.store.commit(place, name, header, samples, dtype=self._dtype)
