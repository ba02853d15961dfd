"""What a training left behind: which checkpoints there are, of which step, raw or averaged.

    my-run/checkpoint-500/unet, …/unet_ema       diffusers' training scripts
    my-run/step-500/model_index.json             whole pipelines, saved by `save_pretrained`
    my-run/model050000.pt, ema_0.9999_050000.pt  guided-diffusion and P2
    my-run/epoch=3-step=5000.ckpt, last.ckpt     CompVis, Lightning
    my-run/model-7.pt, lucid.toml                denoising-diffusion-pytorch
    my-run/checkpoint_7.pth, sde.toml            score_sde
    my-run/network-snapshot-000200.pt, edm.toml  EDM, saved as tensors
    mymodels:at_step                             your own networks, made for a step

No weights are read here, and no torch is loaded.
"""

from __future__ import annotations

import glob
import json
import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nca_cli.errors import UsageError
from nca_cli.models.origins import ASSETS
from nca_cli.models.own import is_own
from nca_cli.models.reading import AVERAGED, networks
from nca_cli.recipe import BUILT_IN
from nca_cli.runs.files import EMA, RAW, kind_of, step_of, weights_of
from nca_cli.runs.whole import Unfinished

BUILT_IN_RUNS = ("demo-run",)
"""Among the assets."""
STEP_WORDS = r"(?:checkpoint|global_step|step|iter|model|ckpt|snapshot|ema_[\d.]+)s?[-_=]?(\d+)"
SETTINGS = "run.toml"
"""In a run's folder: its name, and what it was trained with (`trained_on`, free text)."""


class NoCheckpoints(UsageError, Unfinished):
    """A place where no checkpoint lies yet."""


@dataclass(frozen=True)
class SavedStep:
    """One checkpoint of a run."""

    step: int
    weights: str | None
    """`ema` or `raw`; `None`: a factory, or a file, does not say."""
    source: str
    """As `--model` takes it."""
    path: Path | None
    """`None` for what a factory makes."""


@dataclass(frozen=True)
class TrainingRun:
    """One training: its checkpoints by rising step, all raw or all averaged."""

    name: str
    steps: tuple[SavedStep, ...]
    source: str
    """Its folder, `module:factory`, or "built in"."""
    settings: dict[str, object] = field(default_factory=dict)
    """What its `run.toml` says; nothing where there is none."""
    notes: tuple[str, ...] = ()
    """What is worth telling of the choice."""

    @property
    def has_ended(self) -> bool:
        """Whether the last step is there, where `run.toml` says which it is (`steps`)."""
        last = self.settings.get("steps")
        return isinstance(last, int) and self.steps[-1].step >= last

    def chosen(self, at: Sequence[int] = (), every: int | None = None) -> TrainingRun:
        """The checkpoints of these steps, or every so many of them; by default all."""
        run = self.at(at) if at else self
        return run.every(every) if every else run

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
    place: str, *, weights: str | None = None, step_pattern: str | None = None,
    at: Sequence[int] = (),
) -> TrainingRun:  # fmt: skip
    """The run that a folder, a glob or a list (paths with commas between) holds.

    `NAME=PLACE` names it, else its `run.toml` or its folder does. `weights` is `ema` or `raw`; by
    default `ema` where there are any. The first group of `step_pattern` is the step in a
    checkpoint's name. A `module:factory` has the steps `at`. Raises `UsageError` where nothing is
    found, a step comes twice or the pattern does not fit.
    """
    if weights not in (None, EMA, RAW):
        raise UsageError(f"--weights {weights!r} is unknown", f"one of: {EMA}, {RAW}")
    given, place = _named(place)
    if is_own(place):
        return _own(given, place, at)
    shipped = place in BUILT_IN_RUNS and not Path(place).exists()
    place = str(ASSETS / place) if shipped else place
    found = _checkpoints(place, step_pattern)
    told, source, settings = _described(place, found)
    name = given or told
    steps, notes = _of_weights(name, weights, found)
    if not given and steps[0].weights == RAW and any(saved.weights == EMA for saved in found):
        name = f"{name}-{RAW}"
    return TrainingRun(name, steps, BUILT_IN if shipped else source, settings, notes)


def name_of(place: str) -> str:
    """What a run is called in stores: the name given with its place, or what its folder says."""
    given, place = _named(place)
    if given or not Path(os.path.expanduser(place)).is_dir():
        return given or (place.split(":")[1] if is_own(place) else place)
    return _described(place, [])[0]


def _named(place: str) -> tuple[str | None, str]:
    """`mine=runs/7` → (`mine`, `runs/7`); a place of that whole name has no name given."""
    match = re.fullmatch(r"([\w.-]+)=(.+)", place)
    return (match[1], match[2]) if match and not Path(place).exists() else (None, place)


def _own(given: str | None, place: str, at: Sequence[int]) -> TrainingRun:
    """A run of networks that a factory makes, one for each step."""
    if not at:
        raise UsageError(f"the steps of --run {place} are not known", "add --at 0,100,1000")
    steps = tuple(SavedStep(step, None, place, None) for step in sorted(at))
    return TrainingRun(given or place.split(":")[1], steps, place)


def _checkpoints(place: str, step_pattern: str | None) -> list[SavedStep]:
    named, trusted = _reader(step_pattern), step_pattern is not None
    found = [saved for path in _paths(place) for saved in _saved(path, named, trusted)]
    if not found:
        hint = "the names of checkpoints must contain the step, or add --step-pattern REGEX"
        raise NoCheckpoints(f"no checkpoints in {place}", hint)
    return found


def _of_weights(
    name: str, weights: str | None, found: list[SavedStep]
) -> tuple[tuple[SavedStep, ...], tuple[str, ...]]:
    """The checkpoints of one kind of weights, by rising step, and what that leaves out."""
    kinds = {saved.weights for saved in found}
    chosen = weights or next(kind for kind in (EMA, RAW, None) if kind in kinds)
    if chosen not in kinds:
        other = kinds.pop()
        hint = f"--weights {other}" if other else "leave out --weights: its files do not say"
        raise UsageError(f"run {name} has no {chosen} weights", hint)
    steps = _in_order(name, [saved for saved in found if saved.weights == chosen])
    return steps, tuple(_notes(name, chosen, kinds, steps, found))


def _notes(
    name: str, chosen: str | None, kinds: Collection[str | None], steps: Iterable[SavedStep],
    found: list[SavedStep],
) -> Iterator[str]:  # fmt: skip
    """What the choice of weights leaves out."""
    if chosen and {EMA, RAW} <= set(kinds):
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
    if Path(os.path.expanduser(place)).is_dir():
        return sorted(Path(os.path.expanduser(place)).absolute().iterdir())
    if glob.has_magic(place):
        return sorted(
            Path(found).absolute() for found in glob.glob(str(Path(os.path.expanduser(place))))
        )
    paths = [Path(os.path.expanduser(part.strip())).absolute() for part in place.split(",")]
    for path in paths:
        if not path.exists():
            raise UsageError(
                f"{path}: no such run or checkpoint", "name a folder of checkpoints: --run FOLDER"
            )
    return paths


def _described(place: str, found: list[SavedStep]) -> tuple[str, str, dict[str, object]]:
    """Name, folder and settings: what the folder of the checkpoints and its `run.toml` say."""
    folder = Path(os.path.expanduser(place)).absolute()
    first = found[0].path if found else None
    if not folder.is_dir() and first is not None:
        folder = first.parent
        folder = folder.parent if first.name.removesuffix(AVERAGED) in networks() else folder
    file = folder / SETTINGS
    if not file.is_file():
        return folder.name, str(folder), {}
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {file} ({' '.join(str(error).split())})") from error
    plain = json.loads(json.dumps(settings, default=str))  # dates become texts
    return str(settings.get("name", folder.name)), str(folder), plain


StepOf = Callable[[str], int | None]


def _reader(pattern: str | None) -> StepOf:
    """Reads the step in a name. Raises `UsageError` for a pattern that is none."""
    try:
        known = re.compile(pattern or STEP_WORDS)
    except re.error as error:
        raise UsageError(
            f"--step-pattern {pattern!r} is not a regular expression ({error})"
        ) from error
    if known.groups < 1:
        raise UsageError(f"--step-pattern {pattern!r} has no group", r"such as 'it-(\d+)'")

    def in_name(name: str) -> int | None:
        match = known.search(name)
        digits = match[1] if match else name if pattern is None else ""
        return int(digits) if digits and digits.isdecimal() else None

    return in_name


def _saved(path: Path, named: StepOf, trusted: bool) -> Iterator[SavedStep]:
    """The checkpoints at a path: two where raw and averaged weights lie side by side."""
    if path.name.startswith("."):
        return
    step = named(path.stem if path.is_file() else path.name)
    if path.is_file():
        yield from _file(path, step, trusted)
    elif step is None:
        return
    elif (path / "model_index.json").is_file() or (path / "config.json").is_file():
        yield SavedStep(step, RAW, str(path), path)
    else:
        for network in networks():
            for weights, folder in ((RAW, path / network), (EMA, path / f"{network}{AVERAGED}")):
                if (folder / "config.json").is_file():
                    yield SavedStep(step, weights, str(folder), folder)


def _file(path: Path, named: int | None, trusted: bool) -> Iterator[SavedStep]:
    """A checkpoint file; the optimiser's state (`opt050000.pt`) is none."""
    kind = kind_of(path)
    if kind is None or path.name.startswith("opt"):
        return
    step = step_of(path, kind, named, trusted)
    if step is not None:
        yield SavedStep(step, weights_of(path, kind), f"{kind}:{path}", path)
