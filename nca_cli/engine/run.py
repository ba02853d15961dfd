"""Carry a plan out: start the trajectories, run them, hand on what they end with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np

from nca_cli.devices import pick_device
from nca_cli.engine.batching import BatchSize, Engine
from nca_cli.engine.codec import Codec
from nca_cli.engine.noise import Starts, leave_out, noise_image
from nca_cli.engine.padded import USUAL, Padded
from nca_cli.engine.pictures import decoded_ahead
from nca_cli.engine.plan import ImagePlan, Plan
from nca_cli.engine.state import Bundle, Flight
from nca_cli.engine.writing import Done, Whose, Writer
from nca_cli.errors import Complain, NcaError, NothingStored
from nca_cli.models import Model
from nca_cli.models.ahead import read_ahead
from nca_cli.models.batches import BatchMemory
from nca_cli.models.load import Loaded
from nca_cli.recipe import Recipe
from nca_cli.samplers import Sampler, start
from nca_cli.schedule import step_noise
from nca_cli.store import Key
from nca_cli.store.layout import NOISE


@dataclass
class Reconstruction:
    """A plan being carried out. Iterating yields `Done` as samples finish; sized in samples.

    What is finished goes to a `Writer`, which commits all of it when iteration ends for whatever
    reason. `tick(n)` hears of n network evaluations at a time.
    """

    unit: ClassVar[str] = "evaluations"
    """What `tick` counts, up to `total`."""

    plan: Plan
    device: str = "auto"
    store_dtype: str = "float32"
    batch: int | None = None
    """Samples per network call; `None`: as found before, else measured."""
    compiled: bool = False
    """By `torch.compile`."""
    tick: Callable[[int], None] = lambda count: None
    on_error: Complain | None = None
    notes: list[str] = field(default_factory=list)
    engine: Engine | None = None
    following: Model | None = None
    """Whose files are read while this runs."""
    kept: Loaded = field(default_factory=Loaded)
    """What plans before loaded, which may be this plan's as well."""

    def __post_init__(self) -> None:
        self._codec = Codec(self.plan.model, self.device, self.notes, self.kept)
        self._writer = Writer(self.plan, self._codec, self.store_dtype)

    def __len__(self) -> int:
        return self.plan.missing

    @property
    def total(self) -> int:
        return self.plan.evaluations

    def __iter__(self) -> Iterator[Done]:
        self.plan.check_space(self.store_dtype)
        self.plan.note_step()
        denoise, size = self._denoiser_and_batch() if self.plan.missing else (None, None)
        if self.following is not None:
            read_ahead(self.following)
        self.engine = Engine(denoise, self._bundles(), batch=size, tick=self._tick)
        try:
            for finished in self.engine:
                yield from self._keep(*finished)
            self._remember(self.engine.batch, size)
        finally:
            try:
                for finished in self.engine.unyielded():
                    self._writer.hold(*finished)
            finally:
                self.engine.let_go()
                self._writer.close()

    def _denoiser_and_batch(self) -> tuple[Callable[..., Any], int | None]:
        """The network, and how many samples it takes at a time, where that is known."""
        denoise = self._denoiser()
        size = self.batch or self._memory().recall()
        if not self.compiled:
            return denoise, size
        size = size or USUAL.get(self.device.split(":")[0], 64)
        denoise.compile()  # type: ignore[attr-defined]
        return Padded(denoise, size), size

    def _memory(self) -> BatchMemory:
        recipe = self.plan.network_recipe
        return BatchMemory.of(self.plan.model, recipe, self.device, self.compiled)

    def _remember(self, found: BatchSize, known: int | None) -> None:
        """Remember a batch size that was found, unless it was given."""
        if self.batch is None and self.plan.missing and found.settled and found.size != known:
            self._memory().keep(found.size)

    def _denoiser(self) -> Callable[..., Any]:
        from nca_cli.models import load_denoiser

        self.device = pick_device(self.device)
        recipe = self.plan.network_recipe
        denoiser = load_denoiser(
            self.plan.model,
            device=self.device,
            dtype=recipe.dtype,
            tf32=recipe.tf32,
            label=recipe.class_label,
            guidance=recipe.guidance,
            prompt=recipe.prompt,
            kept=self.kept,
        )
        self.notes += denoiser.notes
        return denoiser

    def _bundles(self) -> Iterator[Bundle]:
        """Every missing trajectory, image by image; an image that fails is reported and skipped."""
        for image, decoded in decoded_ahead(self.plan):
            try:
                noised = noise_image(
                    self.plan, image, decoded, self._codec, self.store_dtype,
                    self._writer.background,
                )  # fmt: skip
                self.notes += noised.notes
                yield from self._of_image(image, noised.x_t)
            except NcaError as error:
                leave_out(error, self.on_error)

    def _of_image(self, image: ImagePlan, made: dict[Key, np.ndarray]) -> Iterator[Bundle]:
        """Trajectories of one image, those of one x_t together, costly levels first.

        They begin with the x_t just made, or else with those that the store holds.
        """
        wanted = image.by_key()
        self._writer.expect(image, sum(map(len, wanted.values())))
        if not wanted:
            return
        starts = made.__getitem__ if made else self._stored(image, list(wanted))
        for key, names in wanted.items():
            yield from self._from_one(image, key, names, starts(key))

    def _stored(self, image: ImagePlan, keys: list[Key]) -> Starts:
        noise = self.plan.store.artifact(self.plan.place(image), NOISE)
        if noise is None:  # another process may have deleted it
            raise NothingStored(f"{image.name}: its x_t were deleted", "run the same command again")
        return Starts(self.plan, image, noise, keys)

    def _from_one(
        self, image: ImagePlan, key: Key, names: list[str], x_t: np.ndarray
    ) -> Iterator[Bundle]:
        """The trajectories from one x_t: those with a programme have their first denoising in
        common, the longest of them leads."""
        t, seed = key

        def fresh(there: int | float) -> np.ndarray:
            return step_noise(seed, image.digest, x_t.shape, t, there)

        together: list[tuple[int, Flight]] = []
        for name in names:
            recipe, known = self.plan.recipes[name], self.plan.programme(name, t)
            course = known or self._begin(recipe, t, x_t, fresh)
            flight = Flight((image, recipe, key), course, fresh)
            if known:
                together.append((len(known), flight))
            else:
                yield x_t, [flight]
        if together:
            yield x_t, [flight for _, flight in sorted(together, key=itemgetter(0), reverse=True)]

    def _begin(
        self, recipe: Recipe, t: int | float, x_t: np.ndarray,
        fresh: Callable[[int | float], np.ndarray],
    ) -> Sampler:  # fmt: skip
        """A trajectory that has no programme."""
        import torch

        def on_device(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).to(self.device)

        schedule = self.plan.model.space.schedule
        return start(recipe, schedule, on_device(x_t), t, lambda there: on_device(fresh(there.t)))

    def _keep(self, whose: Whose, x0_hat: Any) -> Iterator[Done]:
        """Hand a finished sample to the writer; one that is not finite is an error."""
        image, recipe, (t, seed) = whose
        if self._writer.take(whose, x0_hat):
            yield Done(image, recipe, t, seed)
        else:
            what = f"{image.name}: {recipe.label} from t={t} seed={seed} is not finite"
            hint = "try --dtype float32, or more --steps"
            leave_out(NcaError(f"{what} and was not stored", hint), self.on_error)

    def _tick(self, count: int) -> None:
        self._writer.commit_if_due()
        self.tick(count)
