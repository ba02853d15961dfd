"""Bring pairs into a store: image by image, in batches, bad ones left out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nca_cli.errors import Complain, NcaError, StoreError, UsageError
from nca_cli.images import (
    FITS,
    Resolution,
    image_digest,
    image_name,
    resolution_of,
    size_json,
)
from nca_cli.imports.pairs import Levels, Pair
from nca_cli.imports.pictures import read_original, read_reconstruction
from nca_cli.models.aliases import ALIASES
from nca_cli.models.origins import safe_name
from nca_cli.models.space import Space
from nca_cli.recipe import BUILT_IN, IMPORTED, STORE_DTYPES, Recipe, digest
from nca_cli.store import Artifact, Key, Place, Samples, Store
from nca_cli.store.header import header, image_info, model_info
from nca_cli.store.layout import NOISE

AT_ONCE = 64
"""Reconstructions of an image that are in memory, and committed, together."""


def model_name(text: str) -> str:
    """`org/name@revision` and `name` → `name`. Raises `UsageError` for what names no folder."""
    name = text.split("@")[0].rstrip("/").rpartition("/")[2]
    if not name or safe_name(name) != name:
        raise UsageError(f"--model {text!r} is not valid as a folder name",
                         "letters, digits, ., - and _, such as published-ddim")  # fmt: skip
    return name


@dataclass(frozen=True)
class Home:
    """Where pairs go that share model, size and image."""

    model: str
    levels: Levels
    shape: tuple[int, int, int]
    image: str
    digest: str
    file: str
    fit: str

    @property
    def space(self) -> dict[str, object]:
        """As a model of ours would describe it, so that equal spaces share their images."""
        if self.levels.schedule is not None:
            return Space.of_pixels(self.levels.schedule, self.shape).describe()
        return {"schedule": self.levels.describe(), "shape": list(self.shape),
                "resolution": size_json(self.resolution), "channels": self.shape[0]}  # fmt: skip

    @property
    def resolution(self) -> Resolution:
        """Of its pictures."""
        return resolution_of(self.shape[1:])

    @property
    def folder(self) -> str:
        """Name of the model's folder."""
        return f"{self.model}-{digest(self.space)[:8]}"

    @property
    def model_info(self) -> dict[str, object]:
        """What `model.json` says."""
        return model_info(self.model, IMPORTED, None, self.space)

    def header(self, recipe: Recipe | None = None) -> dict[str, str]:
        """Text attributes of the noise artifact, or of the one of a recipe."""
        identity = image_info(self.image, self.digest, self.file, self.fit, self.resolution)
        return header(self.model_info, identity, recipe)


@dataclass(frozen=True, eq=False)
class Ready:
    """A pair that was read and checked."""

    pair: Pair
    key: Key
    home: Home
    recipe: Recipe
    pixels: np.ndarray
    """x̂0 (C, H, W)"""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the pixels."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    @property
    def title(self) -> str:
        """`face, imported, t=80 seed=0`."""
        return f"{self.home.image}, {self.recipe.label}, t={self.key[0]} seed={self.key[1]}"


@dataclass
class Importing:
    """Pairs being imported. Iterating yields each `Pair` that is in the store; sized in pairs.

    Each is read once, checked, and committed with others of its image. A pair that cannot be used
    goes to `on_error` (without it: raised). Where the same (image, sampler, t, seed) is stored
    with other pixels, that is an error too, unless `replace`.
    """

    store: Store
    model: str
    pairs: Sequence[Pair]
    levels: Levels
    fit: str = "crop"
    replace: bool = False
    store_dtype: str = "float32"
    on_error: Complain | None = None
    imported: int = 0
    cached: int = 0
    errors: list[NcaError] = field(default_factory=list)
    """Of `import_pairs`, whose `on_error` they are."""
    notes: list[str] = field(default_factory=list)
    _homes: dict[Home, np.ndarray] = field(default_factory=dict)
    """x0 of each home of the image at hand."""
    _seen: dict[tuple[Place, str, Key], str] = field(default_factory=dict)
    """(place, artifact, (t, seed)) → digest of the pixels, of all pairs done so far."""
    _done: dict[tuple[Place, str], None] = field(default_factory=dict)
    """The artifacts that hold them, in order."""

    def __post_init__(self) -> None:
        options = {"--fit": (self.fit, FITS), "--store-dtype": (self.store_dtype, STORE_DTYPES)}
        for option, (value, known) in options.items():
            if value not in known:
                raise UsageError(f"{option} {value!r} is unknown", f"one of: {', '.join(known)}")
        self.model = model_name(self.model)
        if self.model in ALIASES and ALIASES[self.model].source != BUILT_IN:
            self.notes.append(f"{self.model} is an alias of {ALIASES[self.model].source} too: "
                              "to find these again, filter by folder (see: nca ls)")  # fmt: skip

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        images: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            images.setdefault(os.path.realpath(pair.original), []).append(pair)
        for pairs in images.values():
            self._homes.clear()
            for start in range(0, len(pairs), AT_ONCE):
                yield from self._batch(pairs[start : start + AT_ONCE])

    @property
    def artifacts(self) -> list[Artifact]:
        """Those that hold the pairs imported so far, cached ones included."""
        found = (self.store.artifact(place, name) for place, name in self._done)
        return [artifact for artifact in found if artifact]

    def _batch(self, pairs: Sequence[Pair]) -> Iterator[Pair]:
        """Read, then commit artifact by artifact."""
        together: dict[tuple[Home, Recipe], list[Ready]] = {}
        for pair in pairs:
            try:
                ready = self._read(pair)
                together.setdefault((ready.home, ready.recipe), []).append(ready)
            except NcaError as error:
                self._complain(pair, error)
        for (home, recipe), some in together.items():
            yield from self._keep(home, recipe, some)

    def _complain(self, pair: Pair, error: NcaError) -> None:
        """Leave a bad pair to `on_error`; raise what concerns the store as a whole."""
        if type(error) is StoreError:
            raise error
        if self.on_error is None:
            raise pair.problem(error)
        self.on_error(pair.problem(error))

    def _read(self, pair: Pair) -> Ready:
        key = (self.levels.check(pair.t), pair.seed)
        name, steps = pair.sampler_and_steps
        picture = read_reconstruction(pair.reconstruction)
        self._note(pair.reconstruction, picture.notes)
        home = self._home(pair, picture.pixels.shape)
        recipe = Recipe(weights=IMPORTED, sampler=name, steps=steps)
        return Ready(pair, key, home, recipe, picture.pixels)

    def _home(self, pair: Pair, shape: tuple[int, int, int]) -> Home:
        """Who the image is at this size; its x0 is read once."""
        digest = image_digest(pair.original, resolution_of(shape[1:]), self.fit)
        home = Home(
            self.model, self.levels, shape, image_name(pair.original),
            digest, Path(pair.original).name, self.fit,
        )  # fmt: skip
        if home not in self._homes:
            picture = read_original(pair.original, shape, self.fit)
            self._note(pair.original, picture.notes)
            self._homes[home] = picture.pixels
        return home

    def _note(self, path: str | Path, notes: Sequence[str]) -> None:
        self.notes += [f"{path}: {note}" for note in notes]

    def _keep(self, home: Home, recipe: Recipe, some: list[Ready]) -> Iterator[Pair]:
        """Commit what is new, x0 first. Where all is there, nothing is locked or written."""
        place = self.store.place(home.folder, home.model_info, home.image, home.digest)
        noise, known = (self.store.artifact(place, name) for name in (NOISE, recipe.name))
        if noise is None or "x0" not in noise.datasets:
            fixed = {"x0": self._homes[home]}
            none = Samples.at([], self.levels.log_snr, {})
            self.store.commit(place, NOISE, home.header(), none, fixed, self.store_dtype)
        fresh, same = self._sorted(place, known, some)
        if fresh:
            self._commit(place, fresh)
        self._done[place, recipe.name] = None
        self.imported += len(fresh)
        self.cached += len(same)
        yield from (ready.pair for ready in (*fresh, *same))

    def _sorted(
        self, place: Place, known: Artifact | None, some: list[Ready]
    ) -> tuple[list[Ready], list[Ready]]:
        """The pairs that are to be written, and those that are there already."""
        fresh: list[Ready] = []
        same: list[Ready] = []
        for ready in some:
            where, now = (place, ready.recipe.name, ready.key), ready.digest
            try:
                is_new = self._is_new(ready, known, self._seen.get(where))
            except NcaError as error:
                self._complain(ready.pair, error)
                continue
            self._seen[where] = now
            (fresh if is_new else same).append(ready)
        return fresh, same

    def _is_new(self, ready: Ready, known: Artifact | None, seen: str | None) -> bool:
        """Whether a pair is to be written. Raises `NcaError` where another picture is there."""
        if seen is not None:
            if seen != ready.digest:
                raise NcaError(f"{ready.title} comes twice, with different pictures",
                               "give them different seeds or samplers")  # fmt: skip
            return False
        if known is None or ready.key not in known.keys:
            return True
        if _equal(known.read("x0_hat", [ready.key])[0], ready.pixels):
            return False
        if not self.replace:
            raise NcaError(
                f"{ready.title} is stored already, with another picture",
                "add --replace, or give another --seed, --sampler or --model",
            )
        return True

    def _commit(self, place: Place, fresh: list[Ready]) -> None:
        recipe, texts = fresh[0].recipe, fresh[0].home.header(fresh[0].recipe)
        x0_hat = {"x0_hat": np.stack([each.pixels for each in fresh])}
        samples = Samples.at([each.key for each in fresh], self.levels.log_snr, x0_hat)
        self.store.commit(
            place, recipe.name, texts, samples, dtype=self.store_dtype, replace=self.replace
        )


def _equal(stored: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether pixels are the stored ones, which may have been kept as float16."""
    kept = (pixels.astype(dtype).astype(np.float32) for dtype in STORE_DTYPES)
    return any(np.array_equal(stored, each) for each in kept)
