"""What a training left behind: which checkpoints there are, of which step, raw or averaged.

    my-run/checkpoint-500/unet, …/unet_ema       diffusers' training scripts
    my-run/step-500/model_index.json             whole pipelines, saved by `save_pretrained`
    my-run/model050000.pt, ema_0.9999_050000.pt  guided-diffusion and P2
    my-run/epoch=3-step=5000.ckpt                CompVis, Lightning

No weights are read here, and no torch is loaded.
"""

from __future__ import annotations

import glob
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nca_cli.errors import UsageError

EMA, RAW = "ema", "raw"
NETWORKS = ("unet", "transformer")
"""Folders of a pipeline that hold the network; `…_ema` beside them the averaged one."""
STEP_WORDS = r"(?:checkpoint|global_step|step|iter|model|ckpt|ema_[\d.]+)s?[-_=]?(\d+)"
SETTINGS = "run.toml"
"""In a run's folder: its name, and what it was trained with (`trained_on`, free text)."""
FILES = {".pt": "adm:", ".ckpt": "ldm:"}
"""Checkpoint files, and how `--model` names their kind."""


@dataclass(frozen=True)
class SavedStep:
    """One checkpoint of a run."""

    step: int
    weights: str
    """`ema` or `raw`."""
    source: str
    """As `--model` takes it."""
    path: Path


@dataclass(frozen=True)
class TrainingRun:
    """One training: its checkpoints by rising step, all raw or all averaged."""

    name: str
    steps: tuple[SavedStep, ...]
    settings: dict[str, object]
    """What its `run.toml` says; nothing where there is none."""
    notes: tuple[str, ...] = ()
    """What is worth telling of the choice."""

    def at(self, wanted: Iterable[int]) -> TrainingRun:
        """The checkpoints of these steps alone. Raises `UsageError` for one that is not there."""
        wanted, there = set(wanted), {saved.step for saved in self.steps}
        if missing := sorted(wanted - there):
            known = ", ".join(map(str, sorted(there)))
            raise UsageError(f"run {self.name} has no step {missing[0]}", f"it has: {known}")
        return replace(self, steps=tuple(each for each in self.steps if each.step in wanted))

    def every(self, count: int) -> TrainingRun:
        """Every `count`-th checkpoint, the last one always among them."""
        chosen = self.steps[:: -max(1, count)][::-1]
        return replace(self, steps=chosen)


def find_run(
    place: str, *, weights: str | None = None, step_pattern: str | None = None
) -> TrainingRun:
    """The run that a folder, a glob or a list (paths with commas between) holds.

    `weights` is `ema` or `raw`; by default `ema` where there are any. The first group of
    `step_pattern` is the step in a checkpoint's name. Raises `UsageError` where nothing is found,
    a step comes twice or the pattern does not fit.
    """
    step_of = _reader(step_pattern)
    found = [saved for path in _paths(place) for saved in _saved(path, step_of)]
    if not found:
        hint = "its checkpoints have their step in their names; or say --step-pattern REGEX"
        raise UsageError(f"no checkpoints in {place}", hint)
    name, settings = _described(place, found)
    kinds = {saved.weights for saved in found}
    chosen = weights or (EMA if EMA in kinds else RAW)
    if chosen not in kinds:
        raise UsageError(f"run {name} has no {chosen} weights", f"--weights {kinds.pop()}")
    steps = _in_order(name, [saved for saved in found if saved.weights == chosen])
    return TrainingRun(name, steps, settings, tuple(_notes(name, chosen, kinds, steps, found)))


def _notes(
    name: str, chosen: str, kinds: set[str], steps: Iterable[SavedStep], found: list[SavedStep]
) -> Iterator[str]:
    """What the choice of weights leaves out."""
    if len(kinds) > 1:
        other = RAW if chosen == EMA else EMA
        yield f"run {name}: {chosen.upper()} weights (--weights {other} takes the others)"
    left = sorted({saved.step for saved in found} - {saved.step for saved in steps})
    if left:
        yield f"run {name}: no {chosen} weights at step {', '.join(map(str, left))}"


def _in_order(name: str, found: list[SavedStep]) -> tuple[SavedStep, ...]:
    """By step. Raises `UsageError` for one that comes twice."""
    by_step: dict[int, list[SavedStep]] = defaultdict(list)
    for saved in found:
        by_step[saved.step].append(saved)
    for step, several in sorted(by_step.items()):
        if len(several) > 1:
            places = " and ".join(str(saved.path) for saved in several[:2])
            raise UsageError(f"run {name}: step {step} comes twice ({places})", "name one of them")
    return tuple(by_step[step][0] for step in sorted(by_step))


def _paths(place: str) -> list[Path]:
    """What may be a checkpoint: the folder's content, the glob's, or the paths of the list."""
    if Path(place).expanduser().is_dir():
        return sorted(Path(place).expanduser().absolute().iterdir())
    if glob.has_magic(place):
        return sorted(Path(found).absolute() for found in glob.glob(str(Path(place).expanduser())))
    paths = [Path(part.strip()).expanduser().absolute() for part in place.split(",")]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such run or checkpoint", "--run FOLDER")
    return paths


def _described(place: str, found: list[SavedStep]) -> tuple[str, dict[str, object]]:
    """Name and settings: of `run.toml`, else the name of the folder that holds the checkpoints."""
    folder = Path(place).expanduser().absolute()
    if not folder.is_dir():
        folder = found[0].path.parent
        folder = folder.parent if found[0].path.name.removesuffix("_ema") in NETWORKS else folder
    file = folder / SETTINGS
    if not file.is_file():
        return folder.name, {}
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file} ({' '.join(str(error).split())})") from error
    return str(settings.get("name", folder.name)), settings


StepOf = Callable[[str], int | None]


def _reader(pattern: str | None) -> StepOf:
    """Reads the step in a name. Raises `UsageError` for a pattern that is none."""
    try:
        known = re.compile(pattern or STEP_WORDS)
    except re.error as error:
        raise UsageError(
            f"--step-pattern {pattern!r} is no regular expression ({error})"
        ) from error
    if known.groups < 1:
        raise UsageError(f"--step-pattern {pattern!r} has no group", r"such as 'it-(\d+)'")

    def step_of(name: str) -> int | None:
        match = known.search(name)
        digits = match[1] if match else name if pattern is None else ""
        return int(digits) if digits and digits.isdecimal() else None

    return step_of


def _saved(path: Path, step_of: StepOf) -> Iterator[SavedStep]:
    """The checkpoints at a path: two where raw and averaged weights lie side by side."""
    step = step_of(path.stem if path.is_file() else path.name)
    if step is None or path.name.startswith("."):
        return
    if path.is_file():
        yield from _file(path, step)
    elif (path / "model_index.json").is_file() or (path / "config.json").is_file():
        yield SavedStep(step, RAW, str(path), path)
    else:
        for network in NETWORKS:
            for weights, folder in ((RAW, path / network), (EMA, path / f"{network}_ema")):
                if (folder / "config.json").is_file():
                    yield SavedStep(step, weights, str(folder), folder)


def _file(path: Path, step: int) -> Iterator[SavedStep]:
    """A checkpoint file; the optimiser's state (`opt050000.pt`) is none."""
    kind = FILES.get(path.suffix)
    if kind and not path.name.startswith("opt"):
        weights = EMA if path.name.startswith("ema") else RAW
        yield SavedStep(step, weights, f"{kind}{path}", path)
