"""Which rows and columns a figure has, and which of its cells the store can fill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from nca_cli.errors import DamagedArtifact, NcaError, NothingStored, UsageError
from nca_cli.grid import text
from nca_cli.grid.table import Cell, Column, Group, Missing, Row, Table
from nca_cli.grid.text import Label, Run
from nca_cli.recipe import SAMPLERS, Recipe
from nca_cli.schedule import Schedule
from nca_cli.store import Artifact, Filters, Key, Store
from nca_cli.store.layout import split_folder

SHOW = ("x0", "floor", "x_t", "x0_hat", "diff", "error")
FIXED = ("x0", "floor")
ROWS = ("images", "models", "seeds")
COLUMNS = ("t", "seeds")
LAYOUTS = {"strips": ("x0", "x_t", "x0_hat"), "p2": ("x0", "x0_hat")}
"""What each arrangement shows. `strips`, of the research repository: x0, the x_t as a strip, and
below it a strip of x̂0 for each sampler, from low to high noise. `p2`, of P2 weighting's Fig. 3
(Choi et al., 2204.00227): the input, and beside it x̂0 from low to high SNR, under P2's stages."""
SYMBOLS = {
    "x0": text.X0,
    "floor": text.FLOOR,
    "x_t": text.X_T,
    "x0_hat": text.X0_HAT,
    "diff": text.DIFF,
    "error": text.ERROR,
}


@dataclass(frozen=True)
class Choices:
    """How a figure is arranged. Raises `UsageError` for what is unknown."""

    show: tuple[str, ...]
    rows: str = "images"
    columns: str = "t"
    layout: str = "strips"

    def __post_init__(self) -> None:
        for what, known in (("rows", ROWS), ("columns", COLUMNS), ("layout", tuple(LAYOUTS))):
            if (given := getattr(self, what)) not in known:
                raise UsageError(f"--{what} {given!r} is unknown", f"one of: {', '.join(known)}")
        if self.rows == self.columns == "seeds":
            raise UsageError("--rows seeds --columns seeds", "seeds are either rows or columns")

    @property
    def noisiest_first(self) -> bool:
        """Whether levels run from low to high SNR."""
        return self.layout == "p2"


@dataclass(frozen=True)
class Choice:
    """A sampler with its settings, as a row; `name` is empty when nothing of it is stored."""

    label: str
    name: str = ""
    recipe: Recipe | None = None

    @property
    def order(self) -> tuple:
        """One-step first, then chains, then by steps."""
        sampler, _, steps = (
            self.label.rpartition("-") if self.label not in SAMPLERS else (self.label, "", "0")
        )
        rank = SAMPLERS.index(sampler) if sampler in SAMPLERS else len(SAMPLERS)
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
        self.store, self.filters, self.chosen = store.require(), filters, chosen
        self.show, self.rows = chosen.show, chosen.rows
        self.problems: list[NcaError] = []
        self._keys: dict[int, frozenset[Key]] = {}
        self.pairs = self._pairs()
        self.choices = {pair.model: self._choices(pair.model) for pair in self.pairs}
        self.image_names = _image_names(self.pairs)
        self.strips = list(self._strips())
        self.levels = self._levels()
        for strip in self.strips:
            self._place_cells(strip)

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
                        stored[name] = Choice(artifact.label, name, recipe)
        found = sorted(stored.values(), key=lambda choice: choice.order)
        names = {choice.label for choice in found} | {
            choice.recipe.sampler for choice in found if choice.recipe
        }
        lacking = [Choice(sampler) for sampler in self._samplers(model) if sampler not in names]
        if not found and not lacking:
            lacking = [Choice("")]
        return [*found, *lacking]

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
        return sorted(
            {seed for t, seed in wanted if not self.filters.t or t in self.filters.t}
        ) or [0]

    def _levels(self) -> list[int | float]:
        if not self.kinds:
            return []
        return sorted(self._wanted_levels(), reverse=self.chosen.noisiest_first)

    def _wanted_levels(self) -> set[int | float]:
        if self.filters.t:
            return set(self.filters.t)
        stored = {
            t for strip in self.strips for source in strip.sources
            for t, seed in self.keys(source) if seed == strip.seed
        }  # fmt: skip
        if not stored and not self.problems:
            raise NothingStored(f"{self.store.root} holds nothing that fits")
        return stored

    def _place_cells(self, strip: Strip) -> None:
        if strip.kind:
            strip.cells = {t: Cell(strip.kind) for t in self.levels}

    # -- names -----------------------------------------------------------------------------------

    @cached_property
    def _several(self) -> dict[str, bool]:
        """Which properties differ over the figure, and so must be said."""
        return {
            "model": len({pair.model for pair in self.pairs}) > 1,
            "image": True,
            "seed": self.chosen.columns != "seeds"
            and (len({strip.seed for strip in self.strips}) > 1 or self.rows == "seeds"),
        }

    @cached_property
    def model_names(self) -> dict[str, str]:
        """Folder → the shortest name that tells models apart."""
        named = {pair.model: pair.model_name for pair in self.pairs}
        short = list(named.values())
        return {folder: folder if short.count(name) > 1 else name for folder, name in named.items()}

    def _words(self, strip: Strip, what: str) -> list[Label]:
        """One property of a row in words; none where it says nothing new."""
        if what in ("symbol", "sampler") and self._alone:
            return []
        if what == "symbol":
            return [SYMBOLS[strip.kind]] if strip.kind else []
        if what == "sampler":
            return [text.words(part) for part in self._sampler_words(strip)]
        if not self._several[what]:
            return []
        if what == "model":
            return [text.words(name) for name in self._model_words(strip)]
        name = {
            "model": self.model_names[strip.pair.model],
            "image": strip.image,
            "seed": f"seed {strip.seed}",
        }
        return [text.words(name[what])]

    def _model_words(self, strip: Strip) -> list[str]:
        """The model of a row; of x_t all that share it, or none where all models do."""
        if strip.kind != "x_t":
            return [self.model_names[strip.pair.model]]
        same = [pair.model for pair in self.pairs if pair.space == strip.pair.space]
        if {*same} == {pair.model for pair in self.pairs}:
            return []
        return [", ".join(self.model_names[model] for model in dict.fromkeys(same))]

    def _sampler_words(self, strip: Strip) -> list[str]:
        """`ddim-50`, and what tells it from another recipe of that name: η, prompt, … or digest."""
        if strip.choice is None or not strip.choice.label:
            return []
        label, recipe = strip.choice.label, strip.choice.recipe
        same = (each for each in self.choices[strip.pair.model] if each.label == label)
        twins = [each.recipe for each in same if each.recipe]
        if len(twins) < 2 or recipe is None:
            return [label]
        words = _telling(recipe)
        told = [name for name in words if len({getattr(twin, name) for twin in twins}) > 1]
        settings = {name: getattr(recipe, name) for name in told}
        if all(replace(twin, **settings) == recipe for twin in twins):
            return [label, *(words[name] for name in told)]
        return [label, split_folder(strip.choice.name)[1]]

    def _split_names(self, strip: Strip) -> tuple[list[Label], list[Label]]:
        """Names of the group that a row is in, and of the row in it."""
        whole, own = {
            "images": (["image"], ["symbol", "sampler", "model", "seed"]),
            "models": (["model", "sampler"], ["image", "seed"]),
            "seeds": (["image", "model", "sampler"], ["seed"]),
        }[self.rows]
        if self.rows != "images":
            alone = strip.kind == "x_t" or len({*self.kinds} - {"x_t"}) == 1
            whole.insert(len(whole) - 1, "symbol") if alone else own.append("symbol")
        outer = [label for what in whole for label in self._words(strip, what)]
        return outer, [label for what in own for label in self._words(strip, what)]

    # -- the table -------------------------------------------------------------------------------

    def table(self, title: str | None = None, caption: str | None = None) -> Table:
        """Rows in their groups, columns with their headers."""
        kinds = self._fixed()
        self._place_fixed(kinds)
        fixed = [Column([(SYMBOLS[kind],)], fixed=True) for kind in kinds]
        by_seeds = self.chosen.columns == "seeds" and self.kinds
        groups, columns, names = self._by_seeds(kinds) if by_seeds else self._by_levels(kinds)
        several = len(self.schedules) > 1 and not by_seeds
        return Table(
            fixed + columns, groups, names, several,
            notes=self._notes(),
            title=text.words(title, "bold") if title else (),
            caption=text.words(caption) if caption else (),
        )  # fmt: skip

    @cached_property
    def _alone(self) -> bool:
        """Whether P2's figure has one sampler: it is said once, below, and rows are images."""
        labels = {str(self._sampler_words(strip)) for strip in self.strips}
        return self.chosen.layout == "p2" and self.kinds == ["x0_hat"] and len(labels) == 1

    def _notes(self) -> list[Label]:
        names = " ".join(self._sampler_words(self.strips[0])) if self._alone else ""
        if not names:
            return []
        return [(*text.X0_HAT, Run(" from "), *text.X_T, Run(f" by {text.drawable(names)}"))]

    def _place_fixed(self, kinds: Sequence[str]) -> None:
        """x0 and the floor stand in the first row of an image in its group."""
        seen: set[tuple[str, str, str]] = set()
        for strip in self.strips:
            key = (str(self._split_names(strip)[0]), strip.pair.space, strip.pair.image)
            if key not in seen:
                strip.fixed = {kind: Cell(kind) for kind in kinds if self._has(strip.pair, kind)}
            seen.add(key)

    def _by_levels(self, kinds: Sequence[str]) -> Arranged:
        """A row per strip, a column per level."""
        groups: dict[str, Group] = {}
        for strip in self.strips:
            outer, own = self._split_names(strip)
            group = groups.setdefault(str(outer), Group(_heading(outer), []))
            cells = [strip.fixed.get(kind) for kind in kinds] + list(strip.cells.values())
            group.rows.append(Row(own, cells))
        columns = [Column(self._header(t), t, stage=self._stage(t)) for t in self.levels]
        return list(groups.values()), columns, self._header_names()

    def _by_seeds(self, kinds: Sequence[str]) -> Arranged:
        """A row per strip and level, a column per seed."""
        seeds = sorted({strip.seed for strip in self.strips})
        groups: dict[str, Group] = {}
        for strips in self._alike():
            outer, own = self._split_names(strips[0])
            group = groups.setdefault(str(outer), Group(_heading(outer), []))
            by_seed = {strip.seed: strip.cells for strip in strips}
            for number, t in enumerate(self.levels):
                held = strips[0].fixed if number == 0 else {}
                row = [by_seed[seed].get(t) if seed in by_seed else None for seed in seeds]
                cells = [*map(held.get, kinds), *row]
                group.rows.append(Row([*own, *self._level_words(t)], cells))
        columns = [Column([(text.words(f"seed {seed}"), text.words(str(seed)))]) for seed in seeds]
        return list(groups.values()), columns, [text.words("seed")]

    def _level_words(self, t: int | float) -> list[Label]:
        """t and its SNR, where all models agree on it, as the name of a row."""
        lines = self._header(t)
        return [line[0] for line in (lines if len(self.schedules) == 1 else lines[:1])]

    def _alike(self) -> list[list[Strip]]:
        """Strips that differ in their seed alone, together."""
        found: dict[tuple, list[Strip]] = {}
        for strip in self.strips:
            key = (strip.kind, strip.pair.model, strip.pair.image, strip.choice)
            found.setdefault(key, []).append(strip)
        return list(found.values())

    def _stage(self, t: int | float) -> str:
        """P2's stage of a level, in P2's figure, where all models agree on its SNR."""
        if self.chosen.layout != "p2" or len(self.schedules) != 1:
            return ""
        from nca_cli.analysis.stages import stage

        snr = self.schedules[0][1].get(t)
        return "" if snr is None else stage(snr)

    def _fixed(self) -> list[str]:
        """Columns before the levels; the floor only where a model has one."""
        wanted = [kind for kind in FIXED if kind in self.show]
        return [kind for kind in wanted if any(self._has(pair, kind) for pair in self.pairs)]

    def _has(self, pair: Pair, kind: str) -> bool:
        return kind == "x0" or bool(self.space_info(pair).get("autoencoder"))

    def space_info(self, pair: Pair) -> dict:
        """What `model.json` says of the space; nothing for a model that is not stored."""
        return self.store.model_info(pair.model).get("space", {}) if pair.stored else {}

    def _header(self, t: int | float) -> list[tuple[Label, ...]]:
        """Lines of a column's header, each from long to short: t, then SNR for each schedule."""
        lines: list[tuple[Label, ...]] = [((*text.T, Run(f" = {t:g}")), (Run(f"{t:g}"),))]
        for _, table in self.schedules:
            snr = table.get(t)
            long = (Run("SNR "), *text.number(snr))
            lines.append((long, text.number(snr), text.rough(snr), text.terse(snr)))
        return lines

    def _header_names(self) -> list[Label]:
        if len(self.schedules) == 1:
            return [text.T, (Run("SNR"),)]
        return [text.T, *((Run("SNR "), *text.words(names)) for names, _ in self.schedules)]

    @cached_property
    def schedules(self) -> list[tuple[str, dict[int | float, float]]]:
        """(names of models, t → SNR) for each schedule in the figure: the same t may differ."""
        tables: list[tuple[list[str], dict]] = []
        for model in dict.fromkeys(pair.model for pair in self.pairs if pair.stored):
            snr = self._snr([pair for pair in self.pairs if pair.model == model])
            same = next((names for names, other in tables if _agree(other, snr)), None)
            if same is None:
                tables.append(([self.model_names[model]], snr))
            else:
                same.append(self.model_names[model])
                next(other for names, other in tables if names is same).update(snr)
        return [(", ".join(names), snr) for names, snr in tables]

    def _snr(self, pairs: list[Pair]) -> dict[int | float, float]:
        stored: dict[int | float, float] = {}
        for artifact in (artifact for pair in pairs for artifact in pair.artifacts):
            if self.keys(artifact):
                log_snr = zip(artifact.t.tolist(), artifact.log_snr.tolist(), strict=True)
                stored.update({t: math.exp(value) for t, value in log_snr if t in self.levels})
            if set(self.levels) <= set(stored):
                return stored
        return {**_snr_of_schedule(self.space_info(pairs[0]), self.levels), **stored}

    # -- blanks ----------------------------------------------------------------------------------

    @property
    def blanks(self) -> list[tuple[Strip, Missing]]:
        """Rows and what they lack, each sample once."""
        found: dict[Missing, Strip] = {}
        for strip in self.strips:
            for t, cell in strip.cells.items():
                if cell.pixels is None:
                    found.setdefault(_missing(strip, t), strip)
            for cell in strip.fixed.values():
                if cell.pixels is None:
                    for t in self.levels or [0]:
                        found.setdefault(_missing(replace(strip, choice=None), t), strip)
        return [(strip, missing) for missing, strip in found.items()]


Arranged = tuple[list[Group], list[Column], list[Label]]
"""Groups of rows, columns after the fixed ones, what the header's lines are."""


def check_show(show: str | Iterable[str]) -> tuple[str, ...]:
    """`show` as known names, each once. Raises `UsageError`."""
    items = (
        show.split(",")
        if isinstance(show, str)
        else [part for item in show for part in item.split(",")]
    )
    names = list(dict.fromkeys(item.strip() for item in items if item.strip()))
    for name in names:
        if name not in SHOW:
            raise UsageError(f"--show {name!r} is unknown", f"of: {', '.join(SHOW)}")
    if not names:
        raise UsageError("--show names nothing", f"of: {', '.join(SHOW)}")
    return tuple(names)


def _missing(strip: Strip, t: int | float) -> Missing:
    label = strip.choice.label if strip.choice else "noise"
    return Missing(strip.pair.model, strip.pair.image, label, t, strip.seed)


def _heading(labels: list[Label]) -> list[Label]:
    """Names of a group: the first one bold, a symbol and its sampler as one."""
    if not labels:
        return []
    bold = tuple(Run(run.text, "bold") if run.style == "text" else run for run in labels[0])
    names = [bold]
    for label in labels[1:]:
        if names[-1] in SYMBOLS.values():
            names[-1] = text.join([names[-1], label], " ")
        else:
            names.append(label)
    return names


def _telling(recipe: Recipe) -> dict[str, str]:
    """Fields that may tell two recipes of one name apart, in the words of a row's name."""
    return {
        "eta": f"η = {recipe.eta or 0:g}",
        "prompt": f"“{recipe.prompt}”" if recipe.prompt else "no prompt",
        "class_label": "no label" if recipe.class_label is None else f"label {recipe.class_label}",
        "guidance": f"guidance {1 if recipe.guidance is None else recipe.guidance:g}",
    }


def _image_names(pairs: list[Pair]) -> dict[tuple[str, str], str]:
    """(model, image) → stem; with digits of the digest where a model has two images of a stem."""
    stems: dict[tuple[str, str], set[str]] = {}
    for pair in pairs:
        stems.setdefault((pair.model, _stem(pair.image)), set()).add(pair.image)
    twice = {stem for (_, stem), images in stems.items() if len(images) > 1}
    names = {}
    for pair in pairs:
        stem, hexes = _stem(pair.image), split_folder(pair.image)[1]
        shown = stem if any(character.isalnum() for character in text.drawable(stem)) else hexes[:8]
        names[pair.model, pair.image] = f"{shown} {hexes[:6]}" if stem in twice else shown
    return names


def _stem(folder: str) -> str:
    return split_folder(folder)[0] or folder


def _agree(one: dict, other: dict) -> bool:
    return all(math.isclose(one[t], other[t], rel_tol=1e-6) for t in one.keys() & other.keys())


def _snr_of_schedule(space: dict, levels: Sequence[int | float]) -> dict[int | float, float]:
    """SNR of the levels by the schedule that a model's description gives, where it gives it."""
    schedule = Schedule.from_description(space.get("schedule") or {})
    if schedule is None:
        return {}
    try:
        return {t: schedule.snr(t) for t in levels if schedule.holds(t)}
    except (UsageError, ZeroDivisionError):
        return {}
