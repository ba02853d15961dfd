"""x_t: those that a plan lacks are made and stored, those that chains start from are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np

from nca_cli.engine.background import Background
from nca_cli.engine.codec import CHUNK, Codec
from nca_cli.engine.pictures import Decoded, decoded_ahead
from nca_cli.engine.plan import ImagePlan, Plan
from nca_cli.engine.writing import Done, Gathered
from nca_cli.errors import Complain, NcaError, StoreError
from nca_cli.schedule import Schedule, diffuse, seeded_noise
from nca_cli.store import Artifact, Key, Samples
from nca_cli.store.layout import NOISE


@dataclass
class Noising:
    """x_t of a plan, without reconstructions. Iterating yields `Done` per x_t; sized in those.

    Pixel models load no torch. Finished samples are committed image by image. `tick(n)` hears of n
    x_t at a time.
    """

    unit: ClassVar[str] = "x_t"
    """What `tick` counts, up to `total`."""

    plan: Plan
    device: str = "auto"
    store_dtype: str = "float32"
    on_error: Complain | None = None
    notes: list[str] = field(default_factory=list)
    tick: Callable[[int], None] = lambda count: None

    def __len__(self) -> int:
        return self.plan.missing

    @property
    def total(self) -> int:
        return len(self)

    def __iter__(self) -> Iterator[Done]:
        self.plan.check_space(self.store_dtype)
        codec = Codec(self.plan.model, self.device, self.notes)
        for image, decoded in decoded_ahead(self.plan):
            try:
                self.notes += noise_image(self.plan, image, decoded, codec, self.store_dtype).notes
            except NcaError as error:
                leave_out(error, self.on_error)
                continue
            self.tick(len(image.noise))
            yield from (Done(image, None, t, seed) for t, seed in image.noise)


def leave_out(error: NcaError, on_error: Complain | None) -> None:
    """Leave one bad image to `on_error`; raise what concerns the store as a whole."""
    if on_error is None or type(error) is StoreError:
        raise error
    on_error(error)


@dataclass
class Noised:
    """What `noise_image` made: notes about the picture, and those x_t that are still in memory."""

    notes: list[str] = field(default_factory=list)
    x_t: dict[Key, np.ndarray] = field(default_factory=dict)


def noise_image(
    plan: Plan, image: ImagePlan, decoded: Decoded, codec: Codec, store_dtype: str,
    background: Background | None = None,
) -> Noised:  # fmt: skip
    """Compute and commit the x_t that `image` lacks (and x0), of its picture.

    With a `background` those of an image that has none yet are written there, and their x_t (z_t)
    handed out, unless they fill more than one file.
    """
    if not image.noise:
        return Noised()
    space, picture = plan.model.space, decoded()
    fixed = _fixed(picture.pixels, codec)
    origin = fixed["z0" if codec.latent else "x0"]
    each = sum(fixed[name].nbytes for name in ("x0", "z0") if name in fixed)
    small = len(image.noise) * each < plan.store.part_bytes
    if not small or image.noised:
        background = None
    done = Noised([f"{image.source}: {note}" for note in picture.notes])

    def write(chunks: list[Samples]) -> None:
        job = partial(_commit, plan, image, Samples.joined(chunks), fixed, store_dtype)
        background.later(job, image.digest) if background else job()

    waiting = Gathered(write, plan.store.part_bytes)
    try:
        for i in range(0, len(image.noise), CHUNK):
            keys = image.noise[i : i + CHUNK]
            x_t = noised(origin, space.schedule, image.digest, keys)
            if background:
                done.x_t.update(zip(keys, x_t, strict=True))
            new = Samples.at(keys, space.schedule.log_snr, codec.tensors("x_t", "z_t", x_t))
            waiting.add(new.as_stored(store_dtype))
    finally:
        waiting.commit()
    return done


def _commit(
    plan: Plan, image: ImagePlan, new: Samples, fixed: dict[str, np.ndarray], store_dtype: str
) -> None:
    header = plan.header(image)
    plan.store.commit(plan.place(image), NOISE, header, new, fixed, store_dtype)


def _fixed(x0: np.ndarray, codec: Codec) -> dict[str, np.ndarray]:
    """x0, and for latent models z0 = E(x0) and the autoencoder's floor D(E(x0))."""
    if not codec.latent:
        return {"x0": x0}
    z0 = codec.encode(x0[None])
    return {"x0": x0, "z0": z0[0], "x0_floor": codec.decode(z0)[0]}


def noised(origin: np.ndarray, schedule: Schedule, digest: str, keys: list[Key]) -> np.ndarray:
    """x_t `(len(keys), C, H, W)` of `origin` (x0 or z0) of an image, at each (t, seed)."""
    noise = {seed: seeded_noise(seed, digest, origin.shape) for seed in {seed for _, seed in keys}}
    return np.stack([diffuse(origin, schedule.level(t), noise[seed]) for t, seed in keys])


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
        """`(C, H, W)`, float32; reads some of the next ones too."""
        if key not in self.ahead:
            i = self.keys.index(key)
            chunk = self.keys[i : i + CHUNK]
            self.ahead = dict(zip(chunk, self._read(chunk), strict=True))
        return self.ahead[key]

    def _read(self, keys: list[Key]) -> np.ndarray:
        space = self.plan.model.space
        name, origin = ("z_t", "z0") if space.latent else ("x_t", "x0")
        if self.artifact.datasets[name][1] == "float32":
            return self.artifact.read(name, keys)
        return noised(self.artifact.fixed(origin), space.schedule, self.image.digest, keys)
