"""Carry a plan out: start the trajectories, run them, hand on what they end with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nca_cli.devices import pick_device
from nca_cli.engine.batching import Engine
from nca_cli.engine.codec import Codec
from nca_cli.engine.noise import Starts, leave_out, noise_image
from nca_cli.engine.plan import ImagePlan, Plan
from nca_cli.engine.writing import Done, Whose, Writer
from nca_cli.errors import Complain, NcaError, NothingStored
from nca_cli.models import Model
from nca_cli.models.ahead import read_ahead
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
    tick: Callable[[int], None] = lambda count: None
    on_error: Complain | None = None
    notes: list[str] = field(default_factory=list)
    engine: Engine | None = None
    following: Model | None = None
    """Whose files are read while this runs."""

    def __post_init__(self) -> None:
        self._codec = Codec(self.plan.model, self.device, self.notes)
        self._writer = Writer(self.plan, self._codec, self.store_dtype)

    def __len__(self) -> int:
        return self.plan.missing

    @property
    def total(self) -> int:
        return self.plan.evaluations

    def __iter__(self) -> Iterator[Done]:
        self.plan.check_space(self.store_dtype)
        self.plan.note_step()
        denoise = self._denoiser() if self.plan.missing else None
        if self.following is not None:
            read_ahead(self.following)
        self.engine = Engine(denoise, self._trajectories(), batch=self.batch, tick=self._tick)
        try:
            for finished in self.engine:
                yield from self._keep(*finished)
        finally:
            try:
                for finished in self.engine.finished:
                    self._writer.hold(*finished)
            finally:
                self._writer.commit_all()

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
        )
        self.notes += denoiser.notes
        return denoiser

    def _trajectories(self) -> Iterator[tuple[Any, Sampler]]:
        """Every missing trajectory, image by image; an image that fails is reported and skipped."""
        for image in self.plan.images:
            try:
                self.notes += noise_image(self.plan, image, self._codec, self.store_dtype)
                yield from self._of_image(image)
            except NcaError as error:
                leave_out(error, self.on_error)

    def _of_image(self, image: ImagePlan) -> Iterator[tuple[Any, Sampler]]:
        """Trajectories of one image: recipes of one x_t side by side, costly levels first."""
        wanted = [(key, name) for name, keys in image.reconstructions.items() for key in keys]
        self._writer.expect(image, len(wanted))
        if not wanted:
            return
        noise = self.plan.store.artifact(self.plan.place(image), NOISE)
        if noise is None:  # another process may have deleted it
            raise NothingStored(f"{image.name}: its x_t are gone", "run the same command again")
        starts = Starts(self.plan, image, noise, sorted({key for key, _ in wanted}, reverse=True))
        for key, name in sorted(wanted, key=lambda pair: pair[0], reverse=True):
            recipe = self.plan.recipes[name]
            yield (image, recipe, key), self._begin(image, recipe, key, starts(key))

    def _begin(self, image: ImagePlan, recipe: Recipe, key: Key, x_t: np.ndarray) -> Sampler:
        import torch

        def on_device(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).to(self.device)

        t, seed = key
        return start(
            recipe,
            self.plan.model.space.schedule,
            on_device(x_t),
            t,
            fresh=lambda level: on_device(step_noise(seed, image.digest, x_t.shape, t, level.t)),
        )

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
