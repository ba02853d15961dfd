"""Watching a training from inside its loop: how well the network denoises a few images so far.

    watch = nca_cli.Watch("my-run", "validation/", schedule=noise_scheduler, t=(100, 300, 600))
    for step, batch in enumerate(loader):
        ...
        if step % 500 == 0:
            values = watch(network, step)   # {100: {"psnr": 24.1, "kept/0": 0.98, …}, 300: …}

The store then has the step as a checkpoint of the run: `nca grid --run my-run --at all`. The
training goes on as if nothing had happened (docs/training-loop.md).
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from nca_cli.engine import Engine, Reconstruction
from nca_cli.engine.noise import noised
from nca_cli.engine.plan import make_plan
from nca_cli.engine.programme import programme
from nca_cli.engine.state import Bundle, Flight
from nca_cli.errors import ModelError, NcaError, UsageError
from nca_cli.images import Source, find_images, image_digest, load_image
from nca_cli.metrics import Prepared, measure
from nca_cli.metrics.prepared import BLANK
from nca_cli.metrics.registry import cheap
from nca_cli.models import Model, load_denoiser, recipe_for
from nca_cli.models.live import LiveNetwork, levels_of, undisturbed, unwrapped
from nca_cli.models.space import Space, Trained
from nca_cli.recipe import (
    DEFAULT_SEEDS,
    DEFAULT_STORE,
    Number,
    Recipe,
    check_seed,
    whole_number,
)
from nca_cli.runs.find import EMA, RAW
from nca_cli.sampler_choice import SamplerChoice
from nca_cli.schedule import Schedule
from nca_cli.store import Store
from nca_cli.store.layout import NOISE

if TYPE_CHECKING:
    import torch

Values = dict[Number, dict[str, float]]
"""t → metric → its mean over images and seeds."""
Sample = tuple[Number, Prepared, np.ndarray]
"""t, x0 and x̂0 `(C, H, W)`."""
DIVERGED = "has the training diverged?"


@dataclass
class Watch:
    """How well a network denoises a few images, at each step of its training that it is called at.

    At each level of `t` and for each seed, x_t is that of `nca noise` for these images, and x̂0 the
    network's one-step reconstruction in evaluation mode. A call returns {t: {metric: mean over
    images and seeds}} and, unless `store` is `None`, keeps x̂0 in the store as a checkpoint of the
    run; what is there already is not computed again. The random states of Python, NumPy and torch
    and the mode of every submodule are restored, whatever happens. Where several processes train
    together, one of them makes the call.

    Raises `UsageError` for settings that make no sense, most of them before the training begins;
    `ImageError` for an image that cannot be read; `ModelError` for an answer that is not shaped as
    x; `NcaError` for one that is not finite; `StoreError` for a store that cannot be written. A
    step that the store has with other weights (a training was resumed, say) is left as it is: a
    warning says so, and the values are returned.
    """

    run: str
    """Name of the training. Averaged and raw weights of one training are two runs."""
    images: str | Path | Sequence[str | Path]
    """Files, folders or globs: a handful of validation images, fitted to the network's size."""
    schedule: Any = field(default_factory=Schedule)
    """A scheduler of diffusers, or a `Schedule` of `nca_cli.schedule`; DDPM's linear one."""
    shape: tuple[int, int, int] | None = None
    """(C, H, W) of x, C 3 or 1, H = W; `None`: as the `config` of a network of diffusers says."""
    prediction: str | None = None
    """epsilon, v_prediction, sample, flow or score; `None`: as the schedule says, or epsilon."""
    t: Sequence[Number] | None = None
    """Noise levels; `None`: the usual ones of the schedule, such as 100, 200, … 900."""
    seeds: Sequence[int] = DEFAULT_SEEDS
    store: str | Path | None = DEFAULT_STORE
    """`None`: the values alone."""
    weights: str | None = None
    """`ema` or `raw`, as the network's are; `None`: not told."""
    metrics: Sequence[str] = ("mse", "psnr", "kept", "coherence")
    """Of `nca_cli.metrics.METRICS`. `kept/0`, … are the energies of octave bands over those of
    x0, coarse to fine."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the run is trained with, as its `run.toml` would say."""
    batch: int = 16
    """Samples per network call."""

    def __post_init__(self) -> None:
        if not str(self.run).strip():
            raise UsageError("a run needs a name", 'such as nca_cli.Watch("my-run", …)')
        if self.weights not in (None, EMA, RAW):
            raise UsageError(f"weights {self.weights!r} are unknown", f"one of: {EMA}, {RAW}")
        if unknown := [name for name in self.metrics if name not in cheap()]:
            raise UsageError(f"no metric {unknown[0]!r} here", f"one of: {', '.join(cheap())}")
        self._schedule, self._prediction = levels_of(self.schedule, self.prediction)
        ts = self._schedule.default_levels if self.t is None else self.t
        levels, seeds = map(self._schedule.check, ts), [check_seed(seed) for seed in self.seeds]
        self._keys = [(t, seed) for t in sorted({*levels}) for seed in seeds]
        if not self._keys:
            raise UsageError("no levels to watch", "such as t=(100, 300, 600), seeds=(0,)")
        self._sources = _found(self.images)
        self._store = None if self.store is None else Store(self.store)

    def __call__(self, network: torch.nn.Module, step: int) -> Values:
        """The values of the network as it is now, `step` steps into its training."""
        if (whole := whole_number(step)) is None or whole < 0:
            raise UsageError(
                f"step {step!r} is not a step of a training", "whole numbers from 0 on"
            )
        live = LiveNetwork(unwrapped(network), self._prediction)
        trained = Trained(self.run, whole, self.weights, self.settings)
        model = live.model(trained, self._schedule, self.shape)
        with undisturbed(live.network):
            if self._store is None:
                return self._averaged(self._computed(model, live))
            return self._averaged(self._stored(self._store, model, live))

    def _stored(self, store: Store, model: Model, live: LiveNetwork) -> Iterator[Sample]:
        """All x̂0 from the store, computed where it lacks them."""
        recipe = recipe_for(model, SamplerChoice("one-step"), dtype=live.dtype)
        plan = make_plan(store, model, [recipe], self._sources, self._keys)
        try:
            plan.note_step()
        except ModelError as clash:
            warnings.warn(f"{clash}: its values are returned, not stored", stacklevel=4)
            yield from self._computed(model, live)
            return
        for _ in Reconstruction(plan, live.device, batch=self.batch, on_error=self._complain):
            pass
        artifacts = plan.look()
        for image in plan.images:
            held = artifacts(image)
            x0, made = Prepared(held[NOISE].fixed("x0")), held[recipe.name]
            x0_hats = made.read("x0_hat", self._keys)
            yield from ((t, x0, x) for (t, _), x in zip(self._keys, x0_hats, strict=True))

    def _computed(self, model: Model, live: LiveNetwork) -> Iterator[Sample]:
        """All x̂0 from the network alone."""
        denoise = load_denoiser(model, device=live.device, dtype=live.dtype)
        recipe = recipe_for(model, SamplerChoice("one-step"), dtype=live.dtype)
        bundles = self._bundles(model.space, recipe)
        for (t, x0), x0_hat in Engine(denoise, bundles, batch=self.batch):
            if x0_hat is None:
                self._complain(NcaError(f"x̂0 from t={t} is not finite"))
            else:
                yield t, x0, x0_hat

    def _complain(self, error: NcaError) -> None:
        """What is not finite says so of the run; all else speaks for itself."""
        raise NcaError(f"{self.run}: {error}", DIVERGED) if type(error) is NcaError else error

    def _bundles(self, space: Space, recipe: Recipe) -> Iterator[Bundle]:
        size, channels, schedule = space.resolution, space.channels, space.schedule
        courses = {t: programme(recipe, schedule, t) for t, _ in self._keys}
        for digest, source in {image_digest(each, size): each for each in self._sources}.items():
            x0 = load_image(source, size, channels=channels).pixels
            x_t, picture = noised(x0, schedule, digest, self._keys), Prepared(x0)
            for (t, _), x in zip(self._keys, x_t, strict=True):
                course = courses[t]
                assert course is not None  # one-step is linear
                yield x, [Flight((t, picture), course)]

    def _averaged(self, found: Iterable[Sample]) -> Values:
        """The mean of each metric at each level, over the images of which it can be taken."""
        values: dict[Number, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for t, x0, x0_hat in found:
            for name, value in measure(x0, x0_hat, self.metrics).items():
                values[t][name].append(value)
        return {t: {name: _mean(several) for name, several in each.items()}
                for t, each in sorted(values.items())}  # fmt: skip


def _mean(values: list[float]) -> float:
    """Of the values that are not blank."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else BLANK


def _found(images: Any) -> list[Source]:
    """The images meant. Raises `UsageError` where there are none, `ImageError`."""
    several = [images] if isinstance(images, str | Path) else list(images)
    for each in several:
        if not isinstance(each, str | Path):
            raise UsageError(f"a {type(each).__name__} is not an image file",
                             "name files or a folder: save arrays as PNG first")  # fmt: skip
    if not several:
        raise UsageError("no images to watch", "name files or a folder")
    return find_images(several)


def watch(
    network: torch.nn.Module, step: int, images: str | Path | Sequence[str | Path], *, run: str,
    **settings: Any,
) -> Values:  # fmt: skip
    """One call of a `Watch`, which reads the images anew; settings are its fields."""
    return Watch(run, images, **settings)(network, step)
