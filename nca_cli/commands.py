"""The commands that a user is told to run next, where they depend on the request.

Rooms below say what is not there: a `Gap`, or the store that an error is about. Here it becomes a
line with images, settings and `--store`, quoted for a shell. Hints whose words are the same
whatever was asked ("run the same command again", "list what is stored: nca ls") stay with
their errors; `at` names the store in them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from nca_cli.errors import LIST_HINT, NothingStored, did_you_mean
from nca_cli.images import resolution_of, size_text, usual_images
from nca_cli.images.paths import PLACEHOLDER, Paths, found
from nca_cli.models.aliases import ALIASES
from nca_cli.models.checkpoints.origin import CheckpointFile
from nca_cli.models.find import check_name
from nca_cli.recipe import BUILT_IN, IMPORTED, WATCHED, Number, Recipe
from nca_cli.sampler_choice import digits, options_of
from nca_cli.samplers import method, taking
from nca_cli.store import Filters, Gap, ModelFilter, Store, unmet
from nca_cli.store.gaps import possible
from nca_cli.store.header import steps_of
from nca_cli.store.layout import NOISE, split_folder, split_label

SIZED = "wiener"
"""The model that has no size of its own."""
IMAGES, CHECKPOINTS = PLACEHOLDER, "CHECKPOINTS"
"""Stand for paths that a store does not know."""
ONE_STEP = ("one-step",)
MANY, WIDEST = 8, 300
"""Paths that a line still names, and their letters."""
JOINED = ("models", "at", "runs", "samplers")
"""Fields in which commands may differ that are run as one."""
RECOMPUTING = ("adm", "lucid")
"""Kinds of checkpoints whose ddim chains take ε from the clipped x̂0 unless told otherwise."""
LONG = 3
"""Levels or seeds that are still listed, each."""


def at(line: str, store: Path | None) -> str:
    """`line` on a store that is named where that is needed (see `Store.named`)."""
    return line if store is None else f"{line} --store {shlex.quote(str(store))}"


def fill(store: Store, gaps: Iterable[Gap]) -> str:
    """The line that computes what is not there; empty where nothing is missing."""
    return " && ".join(fills(store, gaps))


def next_step(lines: Sequence[str]) -> str:
    """What an error says to run: one command, of several the first."""
    return f"{'compute it' if len(lines) == 1 else 'start with'}: {lines[0]}"


def fills(store: Store, gaps: Iterable[Gap]) -> list[str]:
    """The commands that compute what is not there."""
    grouped: dict[Command, list[Gap]] = {}
    for gap in gaps:
        grouped.setdefault(settings(gap.made, gap.model, gap.image), []).append(gap)
    paths = Paths()
    runs = [
        replace(
            command,
            t=tuple(sorted({t for gap in some for t, _ in gap.keys})),
            seeds=tuple(sorted({seed for gap in some for _, seed in gap.keys})),
            images=paths.of(gap.image for gap in some),
        )
        for command, some in grouped.items()
    ]
    return _lines([run for run in runs if not _implied(run, runs)], store)


def lasting(gap: Gap) -> bool:
    """Whether nothing that is known can compute it again: an import, or an image that is neither
    here nor among the samples."""
    imported = settings(gap.made, gap.model, gap.image).verb == "import"
    return imported or Paths().find(gap.image) == IMAGES


def suggestion(store: Store, filters: Filters, log_snr: Sequence[float] = ()) -> str:
    """What an error says to run when nothing at all fits the filters.

    No command computes what is known by a digest alone, or a level that the model does not have;
    an image that is nearly called as one that is stored is a slip.
    Raises as `check_models`, and `UsageError` for a sampler that there is not.
    """
    check_models(store, filters)
    check_samplers(filters.samplers)
    named = ("--log-snr", ",".join(f"{each:g}" for each in log_snr)) if log_snr else ()
    runs = [
        replace(
            made := settings(sampler, known := _requested(store, filters, wanted), {}),
            options=(*made.options, *named),
            t=tuple(possible(known, filters.t)),
            seeds=tuple(filters.seeds),
            images=(IMAGES,) if filters.images else (),
        )
        for wanted in filters.models or _usual(store, filters)
        for sampler in filters.samplers or [wanted.sampler or ""]
    ]
    runs = [replace(run, at=tuple(filters.steps)) if run.runs else run for run in runs]
    impossible = filters.recipes or (filters.t and not any(run.t for run in runs))
    idle = impossible or _slip(store, filters)
    return at(LIST_HINT, store.named) if idle else next_step(_lines(runs, store))


def _slip(store: Store, filters: Filters) -> bool:
    """Whether no image that the filters name is stored, and one is nearly called so."""
    stored = [image for model in store.models() for image in store.images(model)]
    names = [split_folder(image)[0] for image in stored]
    return not any(map(filters.fits_image, stored)) and bool(did_you_mean(filters.images, names))


def check_samplers(names: Iterable[str]) -> None:
    """Raises `UsageError` for one that is built in nowhere, unless a module brings it."""
    for name in (split_label(name)[0] for name in names if ":" not in name):
        method(name)


def _usual(store: Store, filters: Filters) -> list[ModelFilter]:
    """What is computed where no model is named; steps are of the stored trainings."""
    trainings = filter(store.is_run, store.models()) if filters.steps else ()
    return [ModelFilter(split_folder(folder)[0]) for folder in trainings] or [ModelFilter("demo")]


def report(
    store: str, selection: Mapping[str, Sequence[str]], options: Iterable[tuple[str, str]]
) -> str:
    """What writes a page again: `selection` is option → values, `options` what else was set."""
    words = ["nca", "report", "--store", store]
    for name, values in selection.items():
        words += _each(f"--{name}", [",".join(values)] if name in ("t", "seed") else values)
    for name, value in options:
        words += [f"--{name}", value]
    return shlex.join(words)


def _each(option: str, values: Iterable[str]) -> list[str]:
    """`--model demo --model wiener`, in words."""
    return [word for value in values for word in (option, value)]


def check_models(store: Store, filters: Filters) -> None:
    """Raises `ModelError` where a filter names a model that is not stored and cannot be run, and
    `NothingStored` where it names a training."""
    stored = [name for folder in store.models() for name in (folder, split_folder(folder)[0])]
    for wanted in filters.models:
        if wanted.name not in stored and wanted.run:
            what = unmet(store, Filters(models=[wanted]))
            raise NothingStored(what, "compute one: nca reconstruct --run PATH", store.named)
        if wanted.name not in stored:
            check_name(known_model(store, filters, wanted.name)["name"], stored)


def known_model(store: Store, filters: Filters, folder: str) -> dict:
    """What is known of a model by its folder, or by the name of one that is not stored."""
    if folder in store.models():
        return store.model_info(folder)
    given = (wanted.given for wanted in filters.models if wanted.name == folder and wanted.given)
    sources = (alias.source for alias in ALIASES.values())
    same = (each for each in sources if each.rpartition("/")[2] == folder)
    return {"name": next(given, None) or next(same, folder)}


def _requested(store: Store, filters: Filters, wanted: ModelFilter) -> dict:
    """What is known of a model that a filter names."""
    stored = (name for name in store.models() if wanted.name in (name, split_folder(name)[0]))
    known = known_model(store, filters, next(stored, wanted.name))
    return known if wanted.source is None else {**known, "source": wanted.source}


@dataclass(frozen=True)
class Command:
    """One `nca reconstruct`, `nca noise` or `nca import`."""

    verb: str
    models: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    at: tuple[int, ...] = ()
    """Steps of the runs."""
    samplers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Of the recipe."""
    square: tuple[str, ...] = ()
    """Options that say how a picture becomes x0."""
    t: tuple[Number, ...] = ()
    seeds: tuple[int, ...] = ()
    images: tuple[str, ...] = ()

    def line(self, store: Store) -> str:
        """As typed in a shell."""
        words = ["nca", self.verb, *self._images]
        words += [*_each("--model", self.models), *_each("--run", self.runs)]
        words += ["--at", _list(self.at)] if self.at else []
        words += _each("--sampler", self.samplers)
        words += [*self.options, *self.square]
        if self.verb == "import":  # which pictures belong to which levels, only its maker knows
            words += ["--csv", "FILE"]
        else:
            words += ["--t", _list(self.t)] if self.t else []
            words += ["--seed", _list(self.seeds)] if self.seeds else []
        quoted = [word if word == IMAGES else shlex.quote(word) for word in words]
        return at(" ".join(quoted), store.named)

    @property
    def _images(self) -> Sequence[str]:
        """Nothing when they are just those that are taken anyway; many by the placeholder."""
        if self.verb == "import":
            return ()
        named = (*self.models, *self.runs)
        if self.images and {*self.images} == {*map(str, found(usual_images, named))}:
            return ()
        short = len(self.images) <= MANY and sum(map(len, self.images)) <= WIDEST
        return self.images if short or len(self.images) == 1 else (IMAGES,)


def settings(made: Recipe | str, model: Mapping[str, Any], image: Mapping[str, Any]) -> Command:
    """The command without levels, seeds and images.

    `made` is a recipe, or as much of one as a label says (`ddim-50`, `noise`); `model` is what
    `model.json` says, `image` the attribute of that name (as far as they are known).
    """
    source = model.get("source") or BUILT_IN
    name = str(model.get("name")) if source in (BUILT_IN, IMPORTED) else str(source)
    fit = str(image.get("fit", "crop"))
    square = () if fit == "crop" else ("--fit", fit)
    if (source if isinstance(made, str) else made.weights) == IMPORTED:
        return Command("import", (name,), square=square)
    if "run" in model:
        return replace(_of_run(made, model), square=square)
    space = model.get("space")
    if (source, name) == (BUILT_IN, SIZED) and isinstance(space, dict) and "resolution" in space:
        square = ("--size", size_text(resolution_of(space["resolution"])), *square)
    elif "size" in model:
        square = ("--size", size_text(resolution_of(model["size"])), *square)
    command = replace(_made(made), models=(name,), square=square)
    told = () if isinstance(made, str) else _against_its_kind(made, name)
    return replace(command, options=(*command.options, *told))


def _against_its_kind(recipe: Recipe, model: str) -> Iterator[str]:
    """What most models take anyway, where this kind of checkpoint takes something else."""
    origin = ALIASES[model].origin if model in ALIASES else None
    kind = (origin.named if isinstance(origin, CheckpointFile) else model).partition(":")[0]
    clips = recipe.clip is not None and recipe.sampler in taking("clip_epsilon")
    if kind in RECOMPUTING and clips:
        yield from () if recipe.clip_epsilon else ("--clip-epsilon", "kept")


def _made(made: Recipe | str) -> Command:
    """The command that makes it, without its model."""
    if made == NOISE:
        return Command("noise")
    if isinstance(made, str):
        sampler, steps = split_label(made)
        options: tuple[str, ...] = () if steps is None else ("--steps", str(steps))
    else:
        sampler, options = made.sampler, tuple(options_of(made))
    return Command("reconstruct", samplers=(sampler,) if sampler else (), options=options)


def _of_run(made: Recipe | str, model: Mapping[str, Any]) -> Command:
    """The command for checkpoints of a training: its place, and the step of these weights."""
    run, source, name = model["run"], str(model.get("source")), str(model.get("name"))
    last = source.rpartition("/")[2]
    if source == WATCHED:  # where its checkpoints lie, only its maker knows
        source = CHECKPOINTS
    place = name if source == BUILT_IN else source if last == name else f"{name}={source}"
    command = replace(_made(made), runs=(place,))
    if run.get("weights") == "raw":
        command = replace(command, options=("--weights", "raw", *command.options))
    steps = {weights: step for step, weights in steps_of(model).items()}
    known = isinstance(made, Recipe) and made.weights in steps
    return replace(command, at=(steps[made.weights],)) if known else command  # type: ignore[union-attr]


def _list(numbers: Sequence[Number]) -> str:
    """`100,300`, and as a half-open range where many whole numbers lie at even distances."""
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) > LONG and len(steps) == 1 and all(isinstance(n, int) for n in numbers):
        step = steps.pop()
        return f"{numbers[0]}:{numbers[-1] + step}" + (f":{step}" if step != 1 else "")
    return ",".join(map(digits, numbers))


def _implied(run: Command, runs: Sequence[Command]) -> bool:
    """Whether a reconstruction in `runs` writes the noise that `run` would make."""
    return run.verb == "noise" and any(
        other.verb == "reconstruct" and other.images == run.images
        and (other.models, other.square) == (run.models, run.square)
        and {*run.t} <= {*other.t} and {*run.seeds} <= {*other.seeds}
        for other in runs
    )  # fmt: skip


def _lines(runs: list[Command], store: Store) -> list[str]:
    return [run.line(store) for run in _merged(runs)]


def _merged(runs: list[Command]) -> list[Command]:
    """Runs that differ in their models, trainings, steps or samplers alone, as one.

    One step is one step whatever `--steps` says, so it joins any chain.
    """
    for what in JOINED:
        merged: list[Command] = []
        for run in sorted(runs, key=lambda run: run.samplers == ONE_STEP):
            same = next((each for each in merged if _joins(run, each, what)), None)
            if same is None:
                merged.append(run)
            else:
                both = {each: tuple(dict.fromkeys((*getattr(same, each), *getattr(run, each))))
                        for each in JOINED}  # fmt: skip
                merged[merged.index(same)] = replace(same, **both)  # type: ignore[arg-type]
        runs = merged
    return runs


def _joins(run: Command, other: Command, what: str) -> bool:
    if what != "samplers":
        return replace(run, **{what: ()}) == replace(other, **{what: ()})  # type: ignore[arg-type]
    if run.samplers == ONE_STEP and run.options == _without_steps(other.options):
        run = replace(run, options=other.options)
    return replace(run, samplers=()) == replace(other, samplers=())


def _without_steps(options: Sequence[str]) -> tuple[str, ...]:
    """Without what has no bearing on a single step."""
    words = list(options)
    for name in ("--steps", "--eta", "--clip-epsilon", "--spacing"):
        if name in words:
            place = words.index(name)
            del words[place : place + 2]
    return tuple(word for word in words if word not in ("--clip", "--no-clip"))
