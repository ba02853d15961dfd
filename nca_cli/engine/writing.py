"""Finished samples on their way into the store: how long they wait, and that none is lost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import NamedTuple

import numpy as np

from nca_cli.engine.background import Background
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
Unit = tuple[str, str]
"""An artifact of a plan: digest of the image, name of the recipe."""


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

    Latents are decoded here; files are written in the `background`, while the device goes on.
    Samples are let go only when they are in the store, so that neither an error nor an interrupt
    loses them: `close` writes them again.
    """

    def __init__(self, plan: Plan, codec: Codec, dtype: str):
        self.background = Background()
        self._plan, self._codec, self._dtype = plan, codec, dtype
        self._held: dict[Unit, dict[Key, np.ndarray]] = defaultdict(dict)
        """Finished samples that nobody writes yet."""
        self._given: dict[int, tuple[Unit, dict[Key, np.ndarray]]] = {}
        """Those that were given to the background, until they are in the store; by a number."""
        self._numbers = count()
        self._images = {image.digest: image for image in plan.images}
        self._left: dict[str, int] = {}
        self._saved = time.monotonic()

    def expect(self, image: ImagePlan, count: int) -> None:
        """So many samples of an image will come."""
        self._left[image.digest] = count

    def take(self, whose: Whose, x0_hat: np.ndarray | None) -> bool:
        """`hold` a sample; the last one of an image has them all written, whatever became of it.

        Raises what went wrong in the background.
        """
        self.background.check()
        held, digest = self.hold(whose, x0_hat), whose[0].digest
        self._left[digest] -= 1
        if not self._left[digest]:
            for name in self._plan.recipes:
                self._give((digest, name))
        return held

    def hold(self, whose: Whose, x0_hat: np.ndarray | None) -> bool:
        """Keep a sample to be written; False where there is none, since it is not finite."""
        image, recipe, key = whose
        if x0_hat is not None:
            self._held[image.digest, recipe.name][key] = x0_hat
        return x0_hat is not None

    def commit_if_due(self) -> None:
        """Have all written where the last time is `COMMIT_SECONDS` ago. Raises as `take` does."""
        self.background.check()
        if time.monotonic() - self._saved > COMMIT_SECONDS:
            for unit in list(self._held):
                self._give(unit)
            self._saved = time.monotonic()

    def close(self) -> None:
        """Wait until all that was finished is in the store.

        What could not be written is tried once more, and an artifact that fails keeps none of the
        others from being written; the first error is raised at the end.
        """
        errors = self.background.wait()
        for unit, finished in self._given.values():
            self._held[unit] |= finished
        for unit in list(self._held):
            try:
                self._give(unit)
            except BaseException as error:
                errors.append(error)
        errors += self.background.wait()
        self.background.close()
        if errors:
            raise errors[0]

    def _give(self, unit: Unit) -> None:
        """Have the finished samples of an artifact written."""
        finished = self._held.get(unit)
        if not finished:
            return
        tensors = self._codec.tensors("x0_hat", "z0_hat", np.stack(list(finished.values())))
        log_snr = self._plan.model.space.schedule.log_snr
        samples, number = Samples.at(list(finished), log_snr, tensors), next(self._numbers)
        self._given[number] = (unit, finished)
        del self._held[unit]
        self.background.later(partial(self._write, number, unit, samples), unit[0])

    def _write(self, number: int, unit: Unit, samples: Samples) -> None:
        (digest, name), plan = unit, self._plan
        image = self._images[digest]
        header = plan.header(image, plan.recipes[name])
        plan.store.commit(plan.place(image), name, header, samples, dtype=self._dtype)
        self._given.pop(number, None)
