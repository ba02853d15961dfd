"""What a request still needs, compared with what the store already holds. Loads no torch."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from nca_cli.engine.programme import Programme, programme
from nca_cli.errors import Complain, NcaError, StoreError, UsageError
from nca_cli.images import Source, height_width, image_digest, image_name, size_json
from nca_cli.models import Model
from nca_cli.recipe import Recipe
from nca_cli.samplers import evaluations
from nca_cli.shard import WHOLE, Shard
from nca_cli.store import Artifact, Key, Place, Store
from nca_cli.store.header import header, image_info, model_info
from nca_cli.store.layout import NOISE, image_folder, split_folder
from nca_cli.store.steps import note_step


@dataclass
class ImagePlan:
    """One image: who it is, and which (t, seed) of it are missing."""

    source: Source
    name: str
    digest: str
    noise: list[Key] = field(default_factory=list)
    noised: bool = False
    """Whether there was an x_t of it when the plan was made."""
    reconstructions: dict[str, list[Key]] = field(default_factory=dict)
    """Recipe name → missing (t, seed), most expensive first."""
    complete: tuple[Artifact, ...] | None = None
    """Where nothing was missing, what holds it: no folder need be listed again to say so."""

    @property
    def empty(self) -> bool:
        """Whether everything is there already."""
        return not self.noise and not any(self.reconstructions.values())

    def by_key(self) -> dict[Key, list[str]]:
        """Missing (t, seed) → names of the recipes that lack it, most expensive first."""
        found: dict[Key, list[str]] = {}
        for name, keys in self.reconstructions.items():
            for key in keys:
                found.setdefault(key, []).append(name)
        return dict(sorted(found.items(), reverse=True))


@dataclass
class Plan:
    """All that is missing for one model: made by `make_plan` for `Noising` or `Reconstruction`."""

    store: Store
    model: Model
    recipes: dict[str, Recipe]
    fit: str
    images: list[ImagePlan]
    wanted: int
    """Samples asked for, cached or not, this shard's alone."""
    notes: tuple[str, ...] = ()
    """What of the request does not concern this model."""
    _programmes: dict[tuple[str, int | float], Programme | None] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def title(self) -> str:
        """`demo`, or `demo-run step 800`."""
        trained = self.model.trained if self.recipes else None
        return self.model.name + (f" step {trained.step}" if trained else "")

    @property
    def missing(self) -> int:
        """Reconstructions to compute, or x_t's where only noise was asked for."""
        if not self.recipes:
            return sum(len(image.noise) for image in self.images)
        return sum(len(keys) for image in self.images for keys in image.reconstructions.values())

    @property
    def network_recipe(self) -> Recipe:
        """A recipe that says how the network computes: all of the plan's agree in that.

        Raises `UsageError` where they do not, since one network answers for all of them.
        """
        first, *others = self.recipes.values()
        for name in ("dtype", "tf32", "class_label", "guidance", "prompt"):
            if any(getattr(other, name) != getattr(first, name) for other in others):
                raise UsageError(f"recipes of one plan differ in {name}", "make a plan of each")
        return first

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do."""
        return all(image.empty for image in self.images)

    @property
    def evaluations(self) -> int:
        """Network evaluations of all missing trajectories."""
        needed = Counter(
            (name, t)
            for image in self.images
            for name, keys in image.reconstructions.items()
            for t, _ in keys
        )
        return sum(count * self._length(*each) for each, count in needed.items()) - self.saved

    @property
    def saved(self) -> int:
        """Evaluations that trajectories from one x_t have in common: the first of each."""
        return sum(
            max(0, sum(self.programme(name, key[0]) is not None for name in names) - 1)
            for image in self.images
            for key, names in image.by_key().items()
        )

    def programme(self, name: str, t: int | float) -> Programme | None:
        """The trajectory of a recipe from t, made once for all images; see `programme`."""
        if (name, t) not in self._programmes:
            schedule = self.model.space.schedule
            self._programmes[name, t] = programme(self.recipes[name], schedule, t)
        return self._programmes[name, t]

    def _length(self, name: str, t: int | float) -> int:
        if (known := self.programme(name, t)) is not None:
            return len(known)
        return evaluations(self.recipes[name], self.model.space.schedule, t)

    def bytes(self, store_dtype: str = "float32") -> int:
        """Estimate of what the store will grow by."""
        space, width = self.model.space, 2 if store_dtype == "float16" else 4
        area = math.prod(height_width(space.resolution))
        pixels = space.channels * area * width
        latents = math.prod(space.shape) * width if space.latent else 0
        each = pixels + latents + 3 * area
        noises = sum(len(image.noise) for image in self.images)
        fixed = 2 * pixels * sum(bool(image.noise) for image in self.images)
        return (noises + (self.missing if self.recipes else 0)) * each + fixed

    def check_space(self, store_dtype: str) -> None:
        """Refuse work whose results the disk cannot hold. Raises `StoreError`."""
        folder = self.store.root.absolute()
        while not folder.exists():
            folder = folder.parent
        need, free = self.bytes(store_dtype), shutil.disk_usage(folder).free
        if need > free:
            raise StoreError(
                self.store.root,
                f"needs about {need / 1e6:,.0f} MB more, the disk has {free / 1e6:,.0f} MB",
                "choose another --store, fewer levels, or --store-dtype float16",
            )

    def header(self, image: ImagePlan, recipe: Recipe | None = None) -> dict[str, str]:
        """Text attributes of an artifact: what it is, of which model and image, by which recipe."""
        name, resolution = image.source.name, self.model.space.resolution
        identity = image_info(image.name, image.digest, name, self.fit, resolution)
        trained = self.model.trained
        return header(self.model_info, identity, recipe, trained.checkpoint if trained else None)

    @property
    def model_info(self) -> dict[str, object]:
        """What `model.json` says."""
        model = self.model
        run = model.trained.described if model.trained else None
        space = model.space.describe()
        size = model.size and size_json(model.size)
        return model_info(model.name, model.source, model.licence, space, run, model.silent, size)

    def note_step(self) -> None:
        """Have the store say which weights this step of a run has, before samples of it come.

        Raises `ModelError` where the step is stored with others.
        """
        trained, model = self.model.trained, self.model.folder_name
        if trained is not None and self.recipes:
            weights = self.network_recipe.weights
            note_step(self.store, model, self.model_info, trained.step, weights)

    def look(self) -> Callable[[ImagePlan], dict[str, Artifact]]:
        """A look at the store as it is now: gives an image's artifacts, by name.

        Lists the model's folder here, once for all images, and an image's when that is asked for.
        An image that is new since then is found where its own name leads.
        """
        model = self.model.folder_name
        folders = self.store.image_folders(model)

        def artifacts(image: ImagePlan) -> dict[str, Artifact]:
            usual = image_folder(image.name, image.digest)
            folder = folders.get(split_folder(usual)[1], usual)
            return {artifact.name: artifact for artifact in self.store.artifacts(model, folder)}

        return artifacts

    def artifacts(self) -> list[Artifact]:
        """Those that hold what was asked for: all that was computed since is among them."""
        look = cache(self.look)  # not at all where every image was complete
        return [artifact for image in self.images
                for artifact in image.complete or self.wanted_of(look()(image))]  # fmt: skip

    def wanted_of(self, held: Mapping[str, Artifact]) -> tuple[Artifact, ...]:
        """Of an image's artifacts, by name, those that were asked for."""
        names = self.recipes or (NOISE,)
        return tuple(held[name] for name in names if name in held)

    def place(self, image: ImagePlan) -> Place:
        """Folders of the image's artifacts, made when they are not there yet."""
        return self.store.place(self.model.folder_name, self.model_info, image.name, image.digest)


def make_plan(
    store: Store,
    model: Model,
    recipes: Sequence[Recipe],
    images: Sequence[Source],
    keys: Sequence[Key],
    *,
    fit: str = "crop",
    shard: Shard = WHOLE,
    on_error: Complain | None = None,
) -> Plan:
    """Compare a request with the store: every one of `images` at every (t, seed) of `keys`.

    Without recipes only x_t is wanted. An image that cannot be used goes to `on_error` (without
    it: raised) and is left out. Raises `UsageError` for levels that the model does not have.
    """
    keys = [(model.space.schedule.check(t), seed) for t, seed in keys]
    if recipes:
        _check_signal(model, keys)
    plan = Plan(store, model, {recipe.name: recipe for recipe in recipes}, fit, [], 0)
    look = plan.look()
    seen: set[str] = set()
    for source, share in zip(images, _shares(plan, keys, len(images), shard), strict=True):
        if keys and not share:  # another process reads that image
            continue
        try:
            digest = image_digest(source, model.space.resolution, fit)
            image, mine = ImagePlan(source, image_name(source), digest), [keys[i] for i in share]
            if image.digest not in seen:
                _find_missing(plan, image, mine, look(image))
                plan.images.append(image)
                plan.wanted += len(mine) * max(1, len(plan.recipes))
            seen.add(image.digest)
        except NcaError as error:
            if on_error is None:
                raise
            on_error(error)
    return plan


def _check_signal(model: Model, keys: Sequence[Key]) -> None:
    """Refuse levels from whose ε no x̂0 follows: there a is 0. Raises `UsageError`."""
    schedule = model.space.schedule
    blind = [t for t in {t for t, _ in keys} if schedule.level(t).a == 0]
    if model.prediction == "epsilon" and blind:
        reason = f"{model.name} predicts ε, and x_t holds no signal at t = {min(blind)}"
        raise UsageError(reason, f"use t up to {min(blind) - 1}")


def _shares(plan: Plan, keys: Sequence[Key], count: int, shard: Shard) -> list[Sequence[int]]:
    """Rows of `keys` that a shard computes of each of `count` images."""
    costs = _costs(plan, keys) if count % shard.count else [1] * len(keys)
    return shard.of([costs] * count)


def _costs(plan: Plan, keys: Sequence[Key]) -> list[int]:
    """Evaluations of all recipes from each x_t, where none is stored; without recipes 1."""
    schedule, recipes = plan.model.space.schedule, plan.recipes.values()
    each = {t: sum(evaluations(one, schedule, t) for one in recipes) for t, _ in keys}
    return [max(1, each[t]) for t, _ in keys]


def _find_missing(
    plan: Plan, image: ImagePlan, keys: list[Key], held: Mapping[str, Artifact]
) -> None:
    def lacking(name: str) -> list[Key]:
        stored = held[name].keys if name in held else set()
        return sorted((key for key in keys if key not in stored), reverse=True)

    image.noise, image.noised = lacking(NOISE), NOISE in held
    image.reconstructions = {name: lacking(name) for name in plan.recipes}
    if image.empty:  # copies without what was read of them: there may be thousands
        image.complete = tuple(map(replace, plan.wanted_of(held)))
