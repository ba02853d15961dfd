"""Carry a plan out: noise what is missing, run the trajectories, commit as they finish."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nca_cli.engine.batching import Engine
from nca_cli.engine.plan import Complain, ImagePlan, Plan
from nca_cli.errors import NcaError, NothingStored, StoreError
from nca_cli.images import load_image
from nca_cli.recipe import Recipe
from nca_cli.samplers import Sampler, start
from nca_cli.schedule import diffuse, seeded_noise, step_noise
from nca_cli.store import Artifact, Key, Samples
from nca_cli.store.layout import NOISE

COMMIT_SECONDS = 30.0
"""Finished samples wait at most this long to be committed."""
CHUNK = 16
"""Samples noised, decoded or read at a time: bounds memory."""


class Done(NamedTuple):
    """A finished sample: of which image, by which recipe (`None`: noise), at which level."""

    image: ImagePlan
    recipe: Recipe | None
    t: int | float
    seed: int


class Codec:
    """Between pixels and the space a network works in; the identity for pixel models."""

    def __init__(self, plan: Plan, device: str):
        self.latent, self._plan, self._device = plan.model.space.latent, plan, device
        self._autoencoder: Any = None

    def _run(self, method: str, values: np.ndarray) -> np.ndarray:
        """One direction, float32 `(N, C, H, W)` in chunks. Loads the autoencoder on first use."""
        import torch

        from nca_cli.models import load_autoencoder, pick_device

        device = pick_device(self._device)
        if self._autoencoder is None:
            self._autoencoder = load_autoencoder(self._plan.model, device=device)
        convert = getattr(self._autoencoder, method)
        chunks = (torch.from_numpy(values[i : i + CHUNK]) for i in range(0, len(values), CHUNK))
        return np.concatenate([convert(chunk.to(device)).cpu().numpy() for chunk in chunks])

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels `(N, C, H, W)` in [-1, 1] → model space."""
        return self._run("encode", pixels) if self.latent else pixels

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Model space `(N, C, H, W)` → pixels."""
        return self._run("decode", values) if self.latent else values


def check_space(plan: Plan, store_dtype: str) -> None:
    """Refuse work whose results the disk cannot hold. Raises `StoreError`."""
    folder = plan.store.root.absolute()
    while not folder.exists():
        folder = folder.parent
    need, free = plan.bytes(store_dtype), shutil.disk_usage(folder).free
    if need > free:
        raise StoreError(
            plan.store.root,
            f"needs about {need / 1e6:,.0f} MB more, the disk has {free / 1e6:,.0f} MB",
            "choose another --store, fewer levels, or --store-dtype float16",
        )


# -- noise -----------------------------------------------------------------------------------------


@dataclass
class Noising:
    """x_t of a plan, without reconstructions. Iterating yields `Done` per x_t; sized in those.

    Pixel models load no torch. Finished samples are committed image by image.
    """

    plan: Plan
    device: str = "auto"
    store_dtype: str = "float32"
    on_error: Complain | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.plan.missing

    def __iter__(self) -> Iterator[Done]:
        check_space(self.plan, self.store_dtype)
        codec = Codec(self.plan, self.device)
        for image in self.plan.images:
            try:
                self.notes += noise_image(self.plan, image, codec, self.store_dtype)
            except NcaError as error:
                _report(error, self.on_error)
                continue
            yield from (Done(image, None, t, seed) for t, seed in image.noise)


def _report(error: NcaError, on_error: Complain | None) -> None:
    """Leave one bad image to `on_error`; raise what concerns the store as a whole."""
    if on_error is None or type(error) is StoreError:
        raise error
    on_error(error)


def noise_image(plan: Plan, image: ImagePlan, codec: Codec, store_dtype: str) -> list[str]:
    """Compute and commit the x_t that `image` lacks (and x0). Returns notes about the picture."""
    if not image.noise:
        return []
    space = plan.model.space
    picture = load_image(
        image.source, space.resolution, plan.fit, space.channels, digest=image.digest
    )
    fixed, place = _fixed(picture.pixels, codec), plan.place(image)
    for i in range(0, len(image.noise), CHUNK):
        samples = _noised(
            plan, image, fixed["z0" if codec.latent else "x0"], image.noise[i : i + CHUNK], codec
        )
        plan.store.commit(place, NOISE, plan.header(image), samples, fixed, store_dtype)
    return [f"{image.source}: {note}" for note in picture.notes]


def _fixed(x0: np.ndarray, codec: Codec) -> dict[str, np.ndarray]:
    """x0, and for latent models z0 = E(x0) and the autoencoder's floor D(E(x0))."""
    if not codec.latent:
        return {"x0": x0}
    z0 = codec.encode(x0[None])
    return {"x0": x0, "z0": z0[0], "x0_floor": codec.decode(z0)[0]}


def _noised(
    plan: Plan, image: ImagePlan, origin: np.ndarray, keys: list[Key], codec: Codec
) -> Samples:
    """x_t of `origin` (x0 or z0) at each (t, seed); decoded as well for latent models."""
    schedule = plan.model.space.schedule
    x_t = np.stack(
        [
            diffuse(origin, schedule.level(t), seeded_noise(seed, image.digest, origin.shape))
            for t, seed in keys
        ]
    )
    tensors = {"x_t": x_t} if not codec.latent else {"z_t": x_t, "x_t": codec.decode(x_t)}
    return _samples(plan, keys, tensors)


def _samples(plan: Plan, keys: list[Key], tensors: dict[str, np.ndarray]) -> Samples:
    t, seed = (np.array(column) for column in zip(*keys, strict=True))
    log_snr = np.array([plan.model.space.schedule.log_snr(level) for level, _ in keys])
    return Samples(t, seed, log_snr, tensors)


# -- reconstruction --------------------------------------------------------------------------------


@dataclass
class Starts:
    """The x_t (z_t) from which an image's trajectories begin, read from its noise artifact.

    A chain starts from the stored x_t. Only where the store keeps float16 is it made anew from
    the stored x0, so that results never depend on the precision of the store.
    """

    plan: Plan
    image: ImagePlan
    artifact: Artifact
    keys: list[Key]
    ahead: dict[Key, np.ndarray] = field(default_factory=dict)

    def __call__(self, key: Key) -> np.ndarray:
        if key not in self.ahead:
            i = self.keys.index(key)
            chunk = self.keys[i : i + CHUNK]
            self.ahead = dict(zip(chunk, self._read(chunk), strict=True))
        return self.ahead[key]

    def _read(self, keys: list[Key]) -> np.ndarray:
        name, origin = ("z_t", "z0") if self.plan.model.space.latent else ("x_t", "x0")
        if self.artifact.datasets[name][1] == "float32":
            return self.artifact.read(name, keys)
        x0, schedule = self.artifact.fixed(origin), self.plan.model.space.schedule
        noises = (seeded_noise(seed, self.image.digest, x0.shape) for _, seed in keys)
        return np.stack(
            [
                diffuse(x0, schedule.level(t), noise)
                for (t, _), noise in zip(keys, noises, strict=True)
            ]
        )


@dataclass
class Reconstruction:
    """A plan being carried out. Iterating yields `Done` as samples finish; sized in samples.

    What is finished is committed when an image is complete, every `COMMIT_SECONDS`, and when
    iteration ends for whatever reason. `tick(n)` hears of n network evaluations at a time.
    """

    plan: Plan
    device: str = "auto"
    dtype: str = "float32"
    tf32: bool = False
    store_dtype: str = "float32"
    batch: int | None = None
    tick: Callable[[int], None] = lambda count: None
    on_error: Complain | None = None
    notes: list[str] = field(default_factory=list)
    engine: Engine | None = None

    def __post_init__(self) -> None:
        self._codec = Codec(self.plan, self.device)
        self._finished: dict[tuple[str, str], dict[Key, np.ndarray]] = defaultdict(dict)
        self._left: dict[str, int] = {}
        self._saved = time.monotonic()

    def __len__(self) -> int:
        return self.plan.missing

    def __iter__(self) -> Iterator[Done]:
        check_space(self.plan, self.store_dtype)
        denoise = self._denoiser() if self.plan.missing else None
        self.engine = Engine(denoise, self._trajectories(), batch=self.batch, tick=self._tick)
        try:
            for (image, recipe, key), x0_hat in self.engine:
                yield self._keep(image, recipe, key, x0_hat)
        finally:
            self._commit_all()

    def _denoiser(self) -> Callable[..., Any]:
        from nca_cli.models import load_denoiser, pick_device

        self.device = pick_device(self.device)
        recipe = next(iter(self.plan.recipes.values()))  # all of one request: one condition
        denoiser = load_denoiser(
            self.plan.model,
            device=self.device,
            dtype=self.dtype,
            tf32=self.tf32,
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
                _report(error, self.on_error)

    def _of_image(self, image: ImagePlan) -> Iterator[tuple[Any, Sampler]]:
        """Trajectories of one image: recipes of one x_t side by side, costly levels first."""
        wanted = [(key, name) for name, keys in image.reconstructions.items() for key in keys]
        self._left[image.digest] = len(wanted)
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

    def _keep(self, image: ImagePlan, recipe: Recipe, key: Key, x0_hat: Any) -> Done:
        """Hold a finished sample until its image is complete."""
        values = x0_hat.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise NcaError(
                f"{image.name}: {recipe.label} from t={key[0]} is not finite and was not stored",
                "try --dtype float32, or more --steps",
            )
        self._finished[image.digest, recipe.name][key] = values
        self._left[image.digest] -= 1
        if not self._left[image.digest]:
            self._commit(image.digest)
        return Done(image, recipe, *key)

    def _tick(self, count: int) -> None:
        if time.monotonic() - self._saved > COMMIT_SECONDS:
            self._commit_all()
        self.tick(count)

    def _commit_all(self) -> None:
        for digest in {digest for digest, _ in self._finished}:
            self._commit(digest)
        self._saved = time.monotonic()

    def _commit(self, digest: str) -> None:
        """Write the finished samples of one image, one artifact per recipe."""
        image = next(image for image in self.plan.images if image.digest == digest)
        place = self.plan.place(image)
        for recipe in self.plan.recipes.values():
            finished = self._finished.pop((digest, recipe.name), None)
            if finished:
                samples = _samples(self.plan, list(finished), self._tensors(finished))
                header = self.plan.header(image, recipe)
                self.plan.store.commit(place, recipe.name, header, samples, dtype=self.store_dtype)

    def _tensors(self, finished: dict[Key, np.ndarray]) -> dict[str, np.ndarray]:
        values = np.stack(list(finished.values()))
        if not self._codec.latent:
            return {"x0_hat": values}
        return {"z0_hat": values, "x0_hat": self._codec.decode(values)}
