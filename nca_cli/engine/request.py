"""From what a user asks (images, models, samplers, levels) to plans, one per model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from nca_cli.engine.conditions import asked_of, conditions_for, ignored_options, several
from nca_cli.engine.plan import Plan, make_plan
from nca_cli.errors import Complain, ModelError, UsageError
from nca_cli.images import FITS, Choice, Resolution, Source, find_images, usual_images
from nca_cli.models import Model, find_model, recipe_for
from nca_cli.models.reading import UNSAID, FileChoice
from nca_cli.models.settle import unfollowed
from nca_cli.recipe import (
    DEFAULT_SEEDS,
    DTYPES,
    MOST_NUMBERS,
    STORE_DTYPES,
    Recipe,
    check_axis,
    check_seed,
    whole_number,
)
from nca_cli.runs import TrainingRun, find_run, models_of
from nca_cli.sampler_choice import SamplerChoice, name_and_steps, sampler_named
from nca_cli.samplers import METHODS, taking
from nca_cli.shard import WHOLE, Shard
from nca_cli.store import Key, Store
from nca_cli.store.steps import check_step


@dataclass(frozen=True)
class Request:
    """What to compute. `None` leaves a setting to the model's alias or configuration.

    Raises `UsageError` for what makes no sense whatever the model is.
    """

    images: Sequence[str | Path] = ()
    """Files, folders, archives, globs, "-"; none: the sample images."""
    models: Sequence[str] | None = None
    """`None`: the demo, unless runs are named."""
    t: Sequence[int | float] | None = None
    """Noise levels; `None`: those of each model's schedule, 100, 200, … 900 where it is DDPM's."""
    log_snr: Sequence[float] | None = None
    """Instead of t: where the levels of every model lie, each at its own t."""
    seeds: Sequence[int] = DEFAULT_SEEDS
    samplers: Sequence[str] = ()
    """Names in `METHODS`, or `module:name` of a module that adds one."""
    steps: int | Sequence[int] | None = None
    """Of chains; several: a chain of each."""
    eta: float | Sequence[float] | None = None
    """Of ddim; several: a chain of each."""
    clip: bool | None = None
    clip_epsilon: str | None = None
    """Of ddim chains that clip: `kept` or `recomputed`."""
    spacing: str | None = None
    """Of the levels of chains: `even` or `karras`."""
    label: int | Sequence[int] | None = None
    """Class label, for class-conditional models; several: recipes of each."""
    guidance: float | Sequence[float] | None = None
    """Weight of classifier-free guidance towards label or prompt; several: recipes of each."""
    prompt: str | Sequence[str] | None = None
    """Text, for text-conditional models; `None`: the empty prompt; several: recipes of each."""
    labels: Path | None = None
    """A table of labels and prompts, image by image, in the place of the two."""
    fit: str = "crop"
    size: Resolution | None = None
    """Of images, a side or (height, width), for networks that work on any; `None`: the model's own,
    256 for `wiener`."""
    dtype: str = "float32"
    tf32: bool = False
    store_dtype: str = "float32"
    batch: int | None = None
    """Samples per network call; `None`: measured, once for each model, device and dtype."""
    compiled: bool = False
    """Whether the network is compiled by `torch.compile`."""
    limit: int | None = None
    """The first so many images, in the order found."""
    sample: int | None = None
    """So many images at random, always the same ones: see `Choice`."""
    sample_seed: int | None = None
    """Which sample; `None` is 0."""
    shard: Shard = WHOLE
    offline: bool = False
    refresh: bool = False
    runs: Sequence[str] = ()
    """Trainings, of which every checkpoint is asked (see `runs.find_run`)."""
    weights: str | None = None
    """Of the runs: `ema` or `raw`; `None`: `ema` where there are any."""
    at: Sequence[int] = ()
    """Steps of the runs; none: all."""
    every: int | None = None
    """Every so many checkpoints of the runs, the last one always among them."""
    scheduler: Path | None = None
    """Configuration of a scheduler, for folders and hub models, in the place of their own."""
    variant: str | None = None
    """Whose weights are wanted of folders and hub models, such as fp16."""
    step_pattern: str | None = None
    """Whose first group is the step in a checkpoint's name."""

    def __post_init__(self) -> None:
        options = {"--fit": (self.fit, FITS), "--dtype": (self.dtype, DTYPES),
                   "--store-dtype": (self.store_dtype, STORE_DTYPES)}  # fmt: skip
        for option, (value, known) in options.items():
            if value not in known:
                raise UsageError(f"{option} {value!r} is unknown", f"one of: {', '.join(known)}")
        check_axis(self.t, self.log_snr)
        if self.models is None:
            object.__setattr__(self, "models", () if self.runs else ("demo",))
        if not self.models and not self.runs:
            raise UsageError("no model named", "give --model demo, or see: nca models")
        given = {"--weights": self.weights, "--at": self.at, "--every": self.every,
                 "--step-pattern": self.step_pattern}  # fmt: skip
        if (idle := [option for option, value in given.items() if value]) and not self.runs:
            raise UsageError(f"{idle[0]} applies only to trainings", "add --run PATH")
        if self.batch is not None and (whole_number(self.batch) or 0) < 1:
            raise UsageError(f"--batch {self.batch!r} is not a whole number above 0", "or auto")
        object.__setattr__(self, "seeds", tuple(check_seed(seed) for seed in self.seeds))
        object.__setattr__(self, "samplers", tuple(map(sampler_named, self.samplers)))
        _ = self.choice

    @property
    def told(self) -> FileChoice:
        """What is said of the files of models. Raises `UsageError`."""
        return FileChoice(self.variant, self.scheduler)

    @property
    def choice(self) -> Choice:
        """Which of the images found."""
        return Choice(self.limit, self.sample, self.sample_seed)

    def keys(self, model: Model) -> list[Key]:
        """Every (t, seed) asked of a model. Raises `UsageError` for too many."""
        levels = self._levels(model)
        if len(levels) * len(self.seeds) > MOST_NUMBERS:
            what = f"{len(levels):,} levels of {len(self.seeds):,} seeds are more than"
            raise UsageError(f"{what} {MOST_NUMBERS:,} samples of an image", "name fewer")
        return [(t, seed) for seed in self.seeds for t in levels]

    def _levels(self, model: Model) -> Sequence[int | float]:
        if self.log_snr is None:
            return model.space.schedule.default_levels if self.t is None else self.t
        return list(dict.fromkeys(self._nearest(model, wanted) for wanted in self.log_snr))

    def _nearest(self, model: Model, log_snr: float) -> int | float:
        try:
            return model.space.schedule.nearest(log_snr)
        except UsageError as error:
            raise UsageError(f"{model.name}: {error.what}", error.hint) from None

    def distance(self, model: Model) -> float:
        """How far, at most, the levels of a model lie from the logSNR that was asked for."""
        schedule = model.space.schedule
        return max(
            (abs(schedule.log_snr(self._nearest(model, wanted)) - wanted)
             for wanted in self.log_snr or ()), default=0.0)  # fmt: skip


def noise_plans(request: Request, store: Store, on_error: Complain | None = None) -> list[Plan]:
    """What is missing of x_t, for every model. Pixel models need no weights and no network."""
    return _plans(request, store, with_recipes=False, on_error=on_error)


def reconstruction_plans(
    request: Request, store: Store, on_error: Complain | None = None
) -> list[Plan]:
    """What is missing of x_t and x̂0, for every model and each of its samplers."""
    return _plans(request, store, with_recipes=True, on_error=on_error)


def _plans(
    request: Request, store: Store, *, with_recipes: bool, on_error: Complain | None
) -> list[Plan]:
    left_out: list[str] = []
    images = _images(request, on_error, left_out)
    asked = list(asked_of(request, images)) if with_recipes else [(request, images)]
    groups: dict[tuple, _Group] = {}
    runs = find_runs(request)
    checkpoints = _checkpoints(request, runs, with_recipes, on_error)
    models = [*_named(request, with_recipes), *checkpoints]
    _check_told(request, models)
    for model in models:
        home = f"{model.folder_name} {model.folder} {model.revision}"
        for said, some in asked:
            mine = conditions_for(said, model, models)
            wanted = recipes_of(mine, model) if with_recipes else []
            if not _fits_its_run(store, model, wanted, on_error):
                break
            group = groups.setdefault((home, mine.label, mine.prompt, mine.guidance), _Group(model))
            group.recipes.update({recipe.name: recipe for recipe in wanted})
            group.images.update(dict.fromkeys(some))
            group.notes = ignored_options(said, mine, model)
    planned = partial(make_plan, store, fit=request.fit, shard=request.shard, on_error=on_error)
    told = {run.name: run.notes for run in runs}
    plans, heard = [], set[str]()
    for each in groups.values():
        model = each.model
        plan = planned(model, [*each.recipes.values()], [*each.images], request.keys(model))
        notes = [*left_out, *told.pop(model.trained.run if model.trained else "", ())]
        notes += [*each.notes, *unfollowed(model, each.recipes.values())]
        plan.notes = tuple(note for note in notes if note not in heard)
        heard.update(notes)
        plans.append(plan)
    return plans


@dataclass
class _Group:
    """Recipes of one model that one network under one condition answers, and their images."""

    model: Model
    recipes: dict[str, Recipe] = field(default_factory=dict)
    images: dict[Source, None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _check_told(request: Request, models: Sequence[Model]) -> None:
    """Refuse what is said of sizes or files that no model has."""
    if request.size is not None and request.runs and not request.models:
        raise UsageError("--size does not apply to trainings", "leave it out")
    if models and request.told != UNSAID and request.told not in [m.origin.told for m in models]:
        option = "--variant" if request.variant else "--scheduler"
        raise UsageError(f"{option} applies only to folders and hub models")


def _named(request: Request, weights: bool) -> list[Model]:
    """The models that are named by themselves."""
    return [
        find_model(
            name, weights=weights, offline=request.offline, refresh=request.refresh,
            size=request.size, told=request.told,
        )
        for name in request.models or ()
    ]  # fmt: skip


def find_runs(request: Request) -> list[TrainingRun]:
    """The runs that are named. Raises `UsageError` for two of one name."""
    found = [
        find_run(place, weights=request.weights, step_pattern=request.step_pattern, at=request.at)
        for place in request.runs
    ]
    names = Counter(run.name for run in found)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"two runs are called {twice[0]}", "name one of them: --run NAME=PATH")
    return found


def _checkpoints(
    request: Request, runs: Sequence[TrainingRun], recipes: bool, on_error: Complain | None
) -> list[Model]:
    """The checkpoints of the runs, by run and step; without recipes, one of each run: all of its
    checkpoints have the same x_t."""
    chosen = [run.chosen(request.at, request.every) for run in runs]
    if not recipes:
        chosen = [replace(run, steps=run.steps[:1]) for run in chosen]
    return [model for run in chosen for model in models_of(run, on_error, request.told)]


def _fits_its_run(
    store: Store, model: Model, recipes: Sequence[Recipe], on_error: Complain | None
) -> bool:
    """Whether a checkpoint's weights are those that the store has of its step, if it has any."""
    if model.trained is None or not recipes:
        return True
    try:
        check_step(store, model.folder_name, model.trained.step, recipes[0].weights)
    except ModelError as error:
        if on_error is None:
            raise
        on_error(error)
        return False
    return True


def _images(request: Request, on_error: Complain | None, notes: list[str]) -> Sequence[Source]:
    """The images named, or the usual samples; `notes` hear of pictures that are not read."""
    if request.images:
        return find_images(request.images, request.choice, on_error=on_error, notes=notes)
    samples = usual_images([*(request.models or ()), *request.runs])
    return request.choice.of(samples, [path.name for path in samples])


def recipes_of(request: Request, model: Model) -> list[Recipe]:
    """The recipes that a request means for a model. Raises `UsageError` for idle options."""
    choices = [_choice(request, model, text) for text in request.samplers] or [model.sampler]
    names = sorted({choice.name for choice in choices})
    if request.steps is not None and not any(METHODS[name].chain for name in names):
        raise UsageError(f"--steps does not apply to {', '.join(names)}", "add --sampler ddim")
    able = taking("eta")
    if request.eta is not None and not set(names) & set(able):
        what = f"--eta applies to {', '.join(able)}, not to {', '.join(names)}"
        raise UsageError(what, f"leave it out, or add --sampler {able[0]}")
    shared = ("dtype", "tf32", "label", "guidance", "prompt")
    common = {name: getattr(request, name) for name in shared}
    settings = {name: getattr(request, name) for name in ("clip", "clip_epsilon", "spacing")}
    found = [
        recipe_for(model, choice.with_options(steps=steps, eta=eta, **settings), **common)
        for choice in choices
        for steps in several(request.steps)
        for eta in several(request.eta)
    ]
    return list(dict.fromkeys(found))  # η or steps that do not bear on a sampler make no new recipe


def _choice(request: Request, model: Model, text: str) -> SamplerChoice:
    """`ddim`, or `ddim-20` with its steps. Raises `UsageError` where `--steps` says others."""
    name, steps = name_and_steps(text)
    if steps is not None and request.steps is not None:
        raise UsageError(
            f"--sampler {text} and --steps both set the number of steps", "give one of them"
        )
    levels = model.space.schedule.steps
    own = model.sampler if name == model.sampler.name else SamplerChoice.default(name, levels)
    return own.with_options(steps=steps)
