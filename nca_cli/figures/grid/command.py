"""The command that fills the blanks of a figure, as one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nca_cli.errors import NcaError
from nca_cli.figures.grid.blanks import Missing
from nca_cli.figures.grid.selection import Selection, Strip
from nca_cli.models.aliases import ALIASES
from nca_cli.models.find import check_name
from nca_cli.store import Artifact, Filters, ModelFilter, Store
from nca_cli.store.command import IMAGES, Command, Paths, settings
from nca_cli.store.layout import split_folder

ONE_STEP = ("one-step",)


def fill_command(selection: Selection, blanks: Sequence[tuple[Strip, Missing]]) -> str | None:
    """The line that computes everything in `blanks`; `None` when there are none."""
    grouped: dict[Command, list[tuple[Strip, Missing]]] = {}
    for strip, missing in blanks:
        grouped.setdefault(_settings(selection, strip, missing), []).append((strip, missing))
    paths = Paths()
    runs = [
        replace(
            command,
            t=tuple(sorted({missing.t for _, missing in some})),
            seeds=tuple(sorted({missing.seed for _, missing in some})),
            images=_images([strip for strip, _ in some], paths),
        )
        for command, some in grouped.items()
    ]
    runs = [run for run in runs if not _implied(run, runs)]
    return " && ".join(run.line(selection.store) for run in _merged(runs)) or None


def check_models(store: Store, filters: Filters) -> None:
    """Raises `ModelError` where a filter names a model that is not stored and cannot be run."""
    stored = [name for folder in store.models() for name in (folder, split_folder(folder)[0])]
    for wanted in filters.models:
        if wanted.name not in stored:
            check_name(_model(store, filters, wanted.name)["name"], stored)


def suggestion(store: Store, filters: Filters, log_snr: Sequence[float] = ()) -> str:
    """What to run when nothing at all fits the filters. Raises as `check_models`."""
    check_models(store, filters)
    named = ("--log-snr", ",".join(f"{each:g}" for each in log_snr)) if log_snr else ()
    runs = [
        replace(
            made := settings(sampler, _requested(store, filters, wanted), {}),
            options=(*made.options, *named),
            t=tuple(filters.t),
            seeds=tuple(filters.seeds),
            images=(IMAGES,) if filters.images else (),
        )
        for wanted in filters.models or [ModelFilter("demo")]
        for sampler in filters.samplers or [wanted.sampler or ""]
    ]
    return " && ".join(run.line(store) for run in _merged(runs))


def _requested(store: Store, filters: Filters, wanted: ModelFilter) -> dict:
    """What is known of a model that a filter names."""
    stored = (name for name in store.models() if wanted.name in (name, split_folder(name)[0]))
    known = _model(store, filters, next(stored, wanted.name))
    return known if wanted.source is None else {**known, "source": wanted.source}


def _model(store: Store, filters: Filters, folder: str) -> dict:
    """What is known of a model by its folder, or by the name of one that is not stored."""
    if folder in store.models():
        return store.model_info(folder)
    given = (wanted.given for wanted in filters.models if wanted.name == folder and wanted.given)
    sources = (alias.source for alias in ALIASES.values())
    same = (each for each in sources if each.rpartition("/")[2] == folder)
    return {"name": next(given, None) or next(same, folder)}


def _settings(selection: Selection, strip: Strip, missing: Missing) -> Command:
    """The command that makes one sample, without its image, level and seed."""
    recipe = strip.sampling.recipe if strip.sampling else None
    artifact = _like(selection, strip) if strip.sampling and recipe else None
    unmade = _model(selection.store, selection.filters, strip.subject.model)
    model = artifact.model_info if artifact else unmade
    made = missing.label if missing.label == "noise" or recipe is None else recipe
    return settings(made, model, _image_info(strip))


def _like(selection: Selection, strip: Strip) -> Artifact | None:
    """What the model has of the same recipe: a folder may hold imported and computed ones."""
    name = strip.sampling.name if strip.sampling else ""
    same = (
        subject.recipes.get(name)
        for subject in selection.subjects
        if subject.model == strip.subject.model
    )
    return next((artifact for artifact in same if artifact), None)


def _image_info(strip: Strip) -> dict:
    try:
        return next((source.image_info for source in strip.subject.artifacts), {})
    except NcaError:
        return {}


def _images(strips: Sequence[Strip], paths: Paths) -> tuple[str, ...]:
    """Where the images of some rows lie, each once."""
    subjects = {strip.subject.image: strip for strip in strips}
    return tuple(dict.fromkeys(paths.find(_image_info(strip)) for strip in subjects.values()))


def _implied(run: Command, runs: Sequence[Command]) -> bool:
    """Whether a reconstruction in `runs` writes the noise that `run` would make."""
    return run.verb == "noise" and any(
        other.verb == "reconstruct" and other.images == run.images
        and (other.models, other.square) == (run.models, run.square)
        and {*run.t} <= {*other.t} and {*run.seeds} <= {*other.seeds}
        for other in runs
    )  # fmt: skip


def _merged(runs: list[Command]) -> list[Command]:
    """Runs that differ in their models or in their samplers alone, as one.

    One step is one step whatever `--steps` says, so it joins any chain.
    """
    for what in ("models", "samplers"):
        merged: list[Command] = []
        for run in sorted(runs, key=lambda run: run.samplers == ONE_STEP):
            same = next((each for each in merged if _joins(run, each, what)), None)
            if same is None:
                merged.append(run)
            else:
                models = tuple(dict.fromkeys((*same.models, *run.models)))
                samplers = tuple(dict.fromkeys((*same.samplers, *run.samplers)))
                merged[merged.index(same)] = replace(same, models=models, samplers=samplers)
        runs = merged
    return runs


def _joins(run: Command, other: Command, what: str) -> bool:
    if what == "models":
        return replace(run, models=()) == replace(other, models=())
    if run.samplers == ONE_STEP and run.options == _without_steps(other.options):
        run = replace(run, options=other.options)
    return replace(run, samplers=()) == replace(other, samplers=())


def _without_steps(options: Sequence[str]) -> tuple[str, ...]:
    """Without what has no bearing on a single step."""
    words = list(options)
    for name in ("--steps", "--eta"):
        if name in words:
            at = words.index(name)
            del words[at : at + 2]
    return tuple(word for word in words if word not in ("--clip", "--no-clip"))
