"""What of a store a figure shows: which rows it has, and which of their cells are stored."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from nca_cli.errors import DamagedArtifact, NcaError, NothingStored, UsageError
from nca_cli.figures.grid.axis import Axis, Columns
from nca_cli.figures.grid.choices import FIXED, Choices
from nca_cli.figures.grid.table import Cell, Missing
from nca_cli.figures.type.fonts import Fonts, drawable
from nca_cli.recipe import Number, Recipe, check_axis
from nca_cli.samplers import METHODS
from nca_cli.schedule import Schedule
from nca_cli.store import Artifact, Filters, Key, Store
from nca_cli.store.layout import split_folder
from nca_cli.store.names import source_of


@dataclass(frozen=True)
class Choice:
    """A sampler with its settings, as a row; `name` is empty when nothing of it is stored."""

    label: str
    name: str = ""
    recipe: Recipe | None = None
    source: str = ""
    """Where the model comes from: a folder may hold the results of several of one name."""

    @property
    def sampler(self) -> str:
        """Without its steps."""
        name, _, steps = self.label.rpartition("-")
        return name if steps.isdigit() else self.label

    @property
    def order(self) -> tuple:
        """One-step first, then chains, then by steps."""
        sampler, _, steps = (
            self.label.rpartition("-") if self.label not in METHODS else (self.label, "", "0")
        )
        rank = [*METHODS, sampler].index(sampler)
        return rank, int(steps) if steps.isdigit() else 0, self.name


@dataclass(eq=False)
class Pair:
    """An image under a model; both are folder names, or what was asked for and is not stored."""

    model: str
    image: str
    noise: Artifact | None = None
    recipes: dict[str, Artifact] = field(default_factory=dict)
    stored: bool = True

    @property
    def model_name(self) -> str:
        """Without the digest of the space."""
        return split_folder(self.model)[0] if self.stored else self.model

    @property
    def space(self) -> str:
        """Digest of the space: equal for models that see the same x_t."""
        return split_folder(self.model)[1] if self.stored else self.model

    @property
    def artifacts(self) -> list[Artifact]:
        """Noise and reconstructions."""
        return [*([self.noise] if self.noise else []), *self.recipes.values()]


@dataclass(eq=False)
class Strip:
    """One row: what it shows (`kind`) of a pair, by which sampler, from which seed."""

    kind: str
    pair: Pair
    image: str
    """The image as the figure calls it."""
    choice: Choice | None
    seed: int
    sources: tuple[Artifact, ...]
    cells: dict[int | float, Cell] = field(default_factory=dict)
    fixed: dict[str, Cell] = field(default_factory=dict)


class Content:
    """The samples that fit the filters, arranged by `rows`. Reads indices and headers only."""

    def __init__(self, store: Store, filters: Filters, chosen: Choices):
        check_axis(filters.t or None, chosen.log_snr or None)
        self.store, self.filters, self.chosen = store.require(), filters, chosen
        self.show, self.rows = chosen.show, chosen.rows
        self.problems: list[NcaError] = []
        self._keys: dict[int, frozenset[Key]] = {}
        self._schedules: dict[str, Schedule | None] = {}
        self.pairs = self._pairs()
        self.choices = {pair.model: self._choices(pair.model) for pair in self.pairs}
        self._check_samplers()
        self._check_recipes()
        self.image_names = _image_names(self.pairs, chosen.fonts)
        self.strips = list(self._strips())
        self.columns = self._columns() if self.kinds else {}
        for strip in self.strips:
            self._place_cells(strip)
        self._check_levels()

    # -- what is stored --------------------------------------------------------------------------

    def _pairs(self) -> list[Pair]:
        pairs: dict[tuple[str, str], Pair] = {}
        for artifact in self.store.select(self.filters):
            pair = pairs.setdefault(
                (artifact.model, artifact.image), Pair(artifact.model, artifact.image)
            )
            if artifact.is_noise:
                pair.noise = artifact
            else:
                pair.recipes[artifact.name] = artifact
        if not pairs:
            raise NothingStored(f"{self.store.root} holds nothing that fits")
        found = [*pairs.values(), *self._unstored(list(pairs.values()))]
        return sorted(found, key=self._order)

    def _order(self, pair: Pair) -> tuple:
        """Images as asked for, else by name; an image's models as asked for, else by name."""
        return self._image_rank(pair), _stem(pair.image), self._model_rank(pair), pair.image

    def _unstored(self, pairs: list[Pair]) -> Iterator[Pair]:
        """Images and models that were asked for by name and are not there: rows of blanks."""
        models = list(dict.fromkeys(pair.model for pair in pairs))
        for wanted in self.filters.images:
            if not any(wanted in (pair.image, *split_folder(pair.image)) for pair in pairs):
                yield from (Pair(model, wanted) for model in models)
        images = {split_folder(pair.image)[0]: pair.image for pair in pairs}
        for name in dict.fromkeys(wanted.name for wanted in self.filters.models):
            if not any(name in (pair.model, pair.model_name) for pair in pairs):
                yield from (Pair(name, image, stored=False) for image in images.values())

    def _image_rank(self, pair: Pair) -> int:
        names = (pair.image, *split_folder(pair.image))
        order = (rank for rank, wanted in enumerate(self.filters.images) if wanted in names)
        return next(order, len(self.filters.images))

    def _model_rank(self, pair: Pair) -> tuple[int, str]:
        names = (pair.model, pair.model_name)
        order = (rank for rank, wanted in enumerate(self.filters.models) if wanted.name in names)
        return next(order, len(self.filters.models)), pair.model

    def _choices(self, model: str) -> list[Choice]:
        """The samplers of a model, over all images; then those asked for that it lacks."""
        stored: dict[str, Choice] = {}
        for pair in self.pairs:
            if pair.model == model:
                for name, artifact in pair.recipes.items():
                    if name not in stored and (recipe := self._recipe(artifact)):
                        source = source_of(artifact)
                        stored[name] = Choice(artifact.label, name, recipe, source)
        found = sorted(stored.values(), key=lambda choice: choice.order)
        names = {choice.label for choice in found} | {
            choice.recipe.sampler for choice in found if choice.recipe
        }
        lacking = [Choice(sampler) for sampler in self._samplers(model) if sampler not in names]
        if not found and not lacking:
            lacking = [Choice("")]
        return [*found, *lacking]

    def _check_samplers(self) -> None:
        """Blank cells are for what could be computed. Raises `UsageError` for other names."""
        stored = [choice for some in self.choices.values() for choice in some if choice.recipe]
        known = {*METHODS, *(choice.label for choice in stored),
                 *(choice.recipe.sampler for choice in stored if choice.recipe)}  # fmt: skip
        for name in self.filters.samplers:
            alone = name.rpartition("-")[0] if name.rpartition("-")[2].isdigit() else name
            if not {name, alone} & known:
                raise UsageError(f"unknown sampler {name!r}", f"one of: {', '.join(sorted(known))}")

    def _check_recipes(self) -> None:
        """No command could make a recipe of which some digits are all that is known."""
        for digits in self.filters.recipes:
            only = replace(self.filters, recipes=(digits,))
            stored = (each for pair in self.pairs for each in pair.recipes.values())
            if not any(map(only.fits, stored)):
                what = f"no recipe {digits} that fits in {self.store.root}"
                raise NothingStored(what, "see those that are: nca ls", self.store.named)

    def _check_levels(self) -> None:
        """Raises `UsageError` for a level that none of the models has."""
        for t in self.filters.t if self.kinds else ():
            if not any(t in strip.cells for strip in self.strips):
                for schedule in filter(None, map(self._schedule, self.pairs)):
                    schedule.check(t)
        for log_snr in self.chosen.log_snr if self.kinds else ():
            if not self.columns[log_snr]:
                for schedule in filter(None, map(self._schedule, self.pairs)):
                    schedule.nearest(log_snr)
                raise UsageError(f"no level stored is near log SNR {log_snr:g}", "see: nca ls")

    def _samplers(self, model: str) -> list[str]:
        """Samplers that the filters name for a model."""
        if self.filters.samplers or self.filters.recipes:
            return list(self.filters.samplers)
        names = (model, split_folder(model)[0])
        return [each.sampler for each in self.filters.models if each.name in names and each.sampler]

    def _recipe(self, artifact: Artifact) -> Recipe | None:
        try:
            return artifact.recipe
        except DamagedArtifact as problem:
            self.problems.append(problem)
            return None

    def keys(self, artifact: Artifact) -> frozenset[Key]:
        """(t, seed) of an artifact; none of a damaged one, which is noted."""
        if id(artifact) not in self._keys:
            try:
                self._keys[id(artifact)] = frozenset(artifact.keys)
            except DamagedArtifact as problem:
                self.problems.append(problem)
                self._keys[id(artifact)] = frozenset()
        return self._keys[id(artifact)]

    # -- rows and columns ------------------------------------------------------------------------

    @property
    def kinds(self) -> list[str]:
        """What is shown at each level."""
        return [kind for kind in self.show if kind not in FIXED]

    def _strips(self) -> Iterator[Strip]:
        """All rows: by image, model and seed; x_t once for models that share it."""
        noised: set[tuple[str, str, int]] = set()
        for pair in self.pairs:
            name = self.image_names[pair.model, pair.image]
            for seed in self._seeds(pair) if self.kinds else [0]:
                key = (pair.space, pair.image, seed)
                if ("x_t" in self.kinds or not self.kinds) and key not in noised:
                    noised.add(key)
                    kind = "x_t" if self.kinds else ""
                    yield Strip(kind, pair, name, None, seed, self._noises(pair))
                for choice in self.choices[pair.model]:
                    source = pair.recipes.get(choice.name)
                    for kind in self.kinds:
                        if kind != "x_t":
                            yield Strip(kind, pair, name, choice, seed, (source,) if source else ())

    def _noises(self, pair: Pair) -> tuple[Artifact, ...]:
        """Where the x_t of a pair may lie: its own artifact first, then of models that share it."""
        same = [each for each in self.pairs if (each.space, each.image) == (pair.space, pair.image)]
        found = [each.noise for each in same if each.noise]
        return tuple(sorted(found, key=lambda noise: noise is not pair.noise))

    def _seeds(self, pair: Pair) -> list[int]:
        if self.filters.seeds:
            return list(dict.fromkeys(self.filters.seeds))
        sources = pair.artifacts if "x_t" in self.kinds else pair.recipes.values()
        wanted = ((t, seed) for source in sources for t, seed in self.keys(source))
        asked = self._asked(pair)
        return sorted({seed for t, seed in wanted if not asked or t in asked}) or [0]

    def _asked(self, pair: Pair) -> Collection[Number | None]:
        """The t of a model that were asked for; none where all are wanted."""
        named = self.chosen.log_snr
        return {self.axis.nearest(pair.model, each) for each in named} or self.filters.t

    def _columns(self) -> Columns:
        """What a column is called (t or logSNR) → model → the t of it that stands there."""
        found = self._by_snr() if self.chosen.by_snr else self._by_t()
        ascending = self.chosen.noisiest_first == self.chosen.by_snr
        return dict(sorted(found.items(), reverse=not ascending))

    def _by_snr(self) -> Columns:
        if self.chosen.log_snr:
            return self.axis.asked(self.chosen.log_snr)
        return self.axis.gathered(self._wanted_levels())

    def _by_t(self) -> Columns:
        ts = set().union(*self._wanted_levels().values())
        pairs = {pair.model: pair for pair in self.pairs}
        return {t: {model: t for model, pair in pairs.items() if self._holds(pair, t)} for t in ts}

    def _wanted_levels(self) -> dict[str, set[Number]]:
        """Model → levels: those asked for, else those that its rows have."""
        found = {pair.model: set(self.filters.t) for pair in self.pairs}
        if self.filters.t:
            return found
        for strip in self.strips:
            for source in strip.sources:
                ts = (t for t, seed in self.keys(source) if seed == strip.seed)
                found[strip.pair.model].update(ts)
        if not any(found.values()) and not self.problems:
            raise NothingStored(f"{self.store.root} holds nothing that fits")
        return found

    @property
    def levels(self) -> list[Number]:
        """What the columns are called: t or logSNR."""
        return list(self.columns)

    def ts(self, model: str) -> dict[Number, Number]:
        """Column → the t of a model that stands in it, where one does."""
        return {level: ts[model] for level, ts in self.columns.items() if model in ts}

    def _place_cells(self, strip: Strip) -> None:
        """A blank stands for a sample that could be there: of a level that the model has."""
        if strip.kind:
            ts = self.ts(strip.pair.model).values()
            strip.cells = {t: Cell(strip.kind) for t in ts if self._possible(strip, t)}

    def _possible(self, strip: Strip, t: Number) -> bool:
        """Whether a sample of a row is there or can be made: few samplers begin at pure noise."""
        if any((t, strip.seed) in self.keys(source) for source in strip.sources):
            return True
        sampler = strip.choice.sampler if strip.choice else ""
        schedule = self._schedule(strip.pair)
        anywhere = not sampler or (sampler in METHODS and METHODS[sampler].from_pure_noise)
        return anywhere or schedule is None or schedule.level(t).a > 0

    def _holds(self, pair: Pair, t: Number) -> bool:
        """Whether t is a level of a model, as far as its description says which it has."""
        schedule = self._schedule(pair) or self._counted(pair)
        return schedule is None or schedule.holds(t)

    def _counted(self, pair: Pair) -> Schedule | None:
        """As many levels as a model has whose learned betas are told by a digest alone."""
        described = self.space_info(pair).get("schedule") or {}
        return Schedule(steps=int(described["steps"])) if "trained_betas" in described else None

    @cached_property
    def axis(self) -> Axis:
        """Which logSNR levels have, stored or not."""
        stored: dict[str, dict[Number, float]] = {pair.model: {} for pair in self.pairs}
        for pair in self.pairs:
            for artifact in pair.artifacts:
                if self.keys(artifact):
                    levels = zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True)
                    known = ((t, each) for t, each in levels if not math.isnan(each))
                    stored[pair.model].update(known)
        return Axis(stored, {pair.model: self._schedule(pair) for pair in self.pairs})

    @property
    def distance(self) -> float:
        """How far, at most, the logSNR of a level lies from what its column is called."""
        apart = [
            abs(self.axis.log_snr(model, t) - level)
            for level, ts in (self.columns.items() if self.chosen.by_snr else ())
            for model, t in ts.items()
            if math.isfinite(level)
        ]
        return max(apart, default=0.0)

    def _schedule(self, pair: Pair) -> Schedule | None:
        """What t means for a model, where its description says that."""
        if pair.model not in self._schedules:
            description = self.space_info(pair).get("schedule") or {}
            self._schedules[pair.model] = Schedule.from_description(description)
        return self._schedules[pair.model]

    def space_info(self, pair: Pair) -> dict:
        """What `model.json` says of the space; nothing for a model that is not stored."""
        return self.store.model_info(pair.model).get("space", {}) if pair.stored else {}

    @property
    def names(self) -> list[str]:
        """What images and models are called, whether or not a font can write it."""
        return [name for pair in self.pairs for name in (_stem(pair.image), pair.model_name)]

    @property
    def drawn(self) -> bool:
        """Whether anything at all is, beside x0 and the floor where a figure has levels."""
        cells = (each for strip in self.strips
                 for each in (strip.cells if self.kinds else strip.fixed).values())  # fmt: skip
        return any(cell.pixels is not None for cell in cells)

    def _usual_level(self, pair: Pair) -> Number:
        """Any level, for a figure that shows none."""
        schedule = self._schedule(pair)
        return 0 if schedule is None or schedule.holds(0) else schedule.default_levels[0]

    # -- blanks ----------------------------------------------------------------------------------

    @property
    def blanks(self) -> list[tuple[Strip, Missing]]:
        """Rows and what they lack, each sample once; one label may be of several recipes."""
        found: dict[tuple[Missing, str], Strip] = {}
        for strip in self.strips:
            for t, cell in strip.cells.items():
                if cell.pixels is None:
                    name = strip.choice.name if strip.choice else ""
                    found.setdefault((_missing(strip, t), name), strip)
            for cell in strip.fixed.values():
                if cell.pixels is None:
                    for t in strip.cells or [self._usual_level(strip.pair)]:
                        found.setdefault((_missing(replace(strip, choice=None), t), ""), strip)
        return [(strip, missing) for (missing, _), strip in found.items()]


def _missing(strip: Strip, t: int | float) -> Missing:
    label = strip.choice.label if strip.choice else "noise"
    return Missing(strip.pair.model, strip.pair.image, label, t, strip.seed)


def _image_names(pairs: list[Pair], fonts: Fonts) -> dict[tuple[str, str], str]:
    """(model, image) → stem; with digits of the digest where a model has two images of a stem."""
    stems: dict[tuple[str, str], set[str]] = {}
    for pair in pairs:
        stems.setdefault((pair.model, _stem(pair.image)), set()).add(pair.image)
    twice = {stem for (_, stem), images in stems.items() if len(images) > 1}
    names = {}
    for pair in pairs:
        stem, hexes = _stem(pair.image), split_folder(pair.image)[1]
        shown = stem if any(map(str.isalnum, drawable(stem, fonts))) else hexes[:8]
        names[pair.model, pair.image] = f"{shown} {hexes[:6]}" if stem in twice else shown
    return names


def _stem(folder: str) -> str:
    return split_folder(folder)[0] or folder
