"""Carry a plan out: noise what is missing, run the trajectories, commit as they finish."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nca_cli.devices import pick_device
from nca_cli.engine.batching import BatchSize, Engine, as_many_as_fit
from nca_cli.engine.plan import ImagePlan, Plan
from nca_cli.errors import Complain, NcaError, NothingStored, StoreError
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


Whose = tuple[ImagePlan, Recipe, Key]
"""Of which image, by which recipe, from which (t, seed) a trajectory is."""


class Codec:
    """Between pixels and the space a network works in; the identity for pixel models.

    What loading the autoencoder has to say is appended to `notes`.
    """

    def __init__(self, plan: Plan, device: str, notes: list[str]):
        self.latent = plan.model.space.latent
        self._plan, self._device, self._notes = plan, device, notes
        self._autoencoder: Any = None
        self._batch = BatchSize(CHUNK)

    def _load(self) -> Any:
        from nca_cli.models import load_autoencoder

        autoencoder = load_autoencoder(self._plan.model, device=pick_device(self._device))
        self._notes += autoencoder.notes
        return autoencoder

    def _run(self, method: str, values: np.ndarray) -> np.ndarray:
        """One direction, float32 `(N, C, H, W)` in chunks. Loads the autoencoder on first use."""
        import torch

        if self._autoencoder is None:
            self._autoencoder = self._load()
        convert = getattr(self._autoencoder, method)

        def converted(some: np.ndarray) -> np.ndarray:
            return convert(torch.from_numpy(some)).cpu().numpy()

        done: list[np.ndarray] = []
        while (row := sum(map(len, done))) < len(values):
            done.append(as_many_as_fit(converted, values[row:], self._batch))
        return np.concatenate(done)

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
        codec = Codec(self.plan, self.device, self.notes)
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
    origin = fixed["z0" if codec.latent else "x0"]

    def write(chunks: list[Samples]) -> None:
        samples = _joined(plan, chunks)
        plan.store.commit(place, NOISE, plan.header(image), samples, fixed, store_dtype)

    waiting = Gathered(write, plan.store.part_bytes)
    try:
        for i in range(0, len(image.noise), CHUNK):
            noised = _noised(plan, image, origin, image.noise[i : i + CHUNK], codec)
            waiting.add(noised.as_stored(store_dtype))
    finally:
        waiting.commit()
    return [f"{image.source}: {note}" for note in picture.notes]


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


def _joined(plan: Plan, chunks: list[Samples]) -> Samples:
    keys = [key for chunk in chunks for key in chunk.keys]
    names = chunks[0].tensors
    tensors = {name: np.concatenate([chunk.tensors[name] for chunk in chunks]) for name in names}
    return _samples(plan, keys, tensors)


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
    store_dtype: str = "float32"
    batch: int | None = None
    tick: Callable[[int], None] = lambda count: None
    on_error: Complain | None = None
    notes: list[str] = field(default_factory=list)
    engine: Engine | None = None

    def __post_init__(self) -> None:
        self._codec = Codec(self.plan, self.device, self.notes)
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
            for finished in self.engine:
                yield from self._keep(*finished)
        finally:
            try:
                for finished in self.engine.finished:
                    self._hold(*finished)
            finally:
                self._commit_all()

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

    def _keep(self, whose: Whose, x0_hat: Any) -> Iterator[Done]:
        """Hold a finished sample until its image is complete; one that is not finite is an error.

        The last sample of an image writes them all, whatever became of it itself.
        """
        image, recipe, (t, seed) = whose
        held = self._hold(whose, x0_hat)
        self._left[image.digest] -= 1
        if not self._left[image.digest]:
            self._commit([(image.digest, name) for name in self.plan.recipes])
        if held:
            yield Done(image, recipe, t, seed)
        else:
            what = f"{image.name}: {recipe.label} from t={t} seed={seed} is not finite"
            hint = "try --dtype float32, or more --steps"
            _report(NcaError(f"{what} and was not stored", hint), self.on_error)

    def _hold(self, whose: Whose, x0_hat: Any) -> bool:
        """Take a sample from the device; False, and nothing is held, where it is not finite."""
        image, recipe, key = whose
        values = x0_hat.float().cpu().numpy()
        finite = bool(np.isfinite(values).all())
        if finite:
            self._finished[image.digest, recipe.name][key] = values
        return finite

    def _tick(self, count: int) -> None:
        if time.monotonic() - self._saved > COMMIT_SECONDS:
            self._commit_all()
        self.tick(count)

    def _commit_all(self) -> None:
        self._commit(list(self._finished))
        self._saved = time.monotonic()

    def _commit(self, waiting: Iterable[tuple[str, str]]) -> None:
        """Write finished samples by (image digest, recipe name).

        An artifact that fails keeps none of the others from being written; the first error is
        raised at the end. Samples are let go only when they are in the store, so that neither an
        error nor an interrupt loses them: they are written again when iteration ends.
        """
        errors: list[BaseException] = []
        for digest, name in waiting:
            try:
                self._write(digest, name)
            except BaseException as error:
                errors.append(error)
            else:
                self._finished.pop((digest, name), None)
        if errors:
            raise errors[0]

    def _write(self, digest: str, name: str) -> None:
        finished = self._finished.get((digest, name))
        if not finished:
            return
        image = next(image for image in self.plan.images if image.digest == digest)
        place, header = self.plan.place(image), self.plan.header(image, self.plan.recipes[name])
        samples = _samples(self.plan, list(finished), self._tensors(finished))
        self.plan.store.commit(place, name, header, samples, dtype=self.store_dtype)

    def _tensors(self, finished: dict[Key, np.ndarray]) -> dict[str, np.ndarray]:
        values = np.stack(list(finished.values()))
        if not self._codec.latent:
            return {"x0_hat": values}
        return {"z0_hat": values, "x0_hat": self._codec.decode(values)}
