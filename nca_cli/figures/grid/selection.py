"""What of a store a figure shows, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nca_cli.errors import NcaError
from nca_cli.figures.grid.levels import Columns, LogSnrs
from nca_cli.figures.grid.request import GridRequest
from nca_cli.recipe import Number, Recipe
from nca_cli.samplers import METHODS
from nca_cli.schedule import Schedule
from nca_cli.store import Artifact, Filters, Store
from nca_cli.store.layout import split_folder, split_label
from nca_cli.store.select import lacking
from nca_cli.store.unmet import unmet


@dataclass(frozen=True)
class Sampling:
    """A sampler with its settings, as a row; `name` is empty when nothing of it is stored."""

    label: str
    name: str = ""
    recipe: Recipe | None = None
    source: str = ""
    """Where the model comes from: a folder may hold the results of several of one name."""
    step: int | None = None
    """Of the training that its weights are a checkpoint of, if they are."""

    @property
    def sampler(self) -> str:
        """Without its steps."""
        return split_label(self.label)[0]

    @property
    def order(self) -> tuple:
        """One-step first, then chains, then by their steps, then by those of a training."""
        sampler, steps = split_label(self.label)
        return [*METHODS, sampler].index(sampler), steps or 0, self.step or 0, self.name

    @property
    def settings(self) -> tuple[str, Recipe | None]:
        """What all checkpoints of a training have in common."""
        return self.label, self.recipe and replace(self.recipe, weights="")


@dataclass(frozen=True, eq=False)
class Subject:
    """An image under a model; both are folder names, or what was asked for and is not stored."""

    model: str
    image: str
    noise: Artifact | None = None
    recipes: Mapping[str, Artifact] = field(default_factory=dict)
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
    def stem(self) -> str:
        """The image without its digest."""
        return split_folder(self.image)[0] or self.image

    @property
    def artifacts(self) -> list[Artifact]:
        """Noise and reconstructions."""
        return [*([self.noise] if self.noise else []), *self.recipes.values()]


@dataclass(frozen=True, eq=False)
class Strip:
    """One row: what it shows (`kind`) of a subject, by which sampler, from which seed."""

    kind: str
    subject: Subject
    name: str
    """The image as the figure calls it."""
    sampling: Sampling | None
    seed: int
    sources: tuple[Artifact, ...]
    """Where its samples may lie, in order of preference."""
    cells: Mapping[Number, Artifact | None] = field(default_factory=dict)
    """t → where that sample is stored; `None`: it could be, and is not."""
    fixed: tuple[str, ...] = ()
    """Of x0 and floor, what stands before it."""

    @property
    def model(self) -> str:
        """Folder of the model."""
        return self.subject.model

    @property
    def image(self) -> str:
        """Folder of the image."""
        return self.subject.image

    @property
    def step(self) -> int | None:
        """Of a training; nothing for x_t, which is the same at all of them."""
        return self.sampling.step if self.sampling else None

    @property
    def settings(self) -> tuple[str, Recipe | None] | None:
        """Of its sampler, whatever the step."""
        return self.sampling.settings if self.sampling else None


@dataclass(frozen=True, eq=False)
class Selection:
    """The samples that a figure shows: strips, and the levels in which they are cut."""

    store: Store
    request: GridRequest
    subjects: tuple[Subject, ...]
    samplings: Mapping[str, list[Sampling]]
    """Model → its samplers, in order."""
    spaces: Mapping[str, Mapping]
    """Model → what its description says of the space; nothing for a model that is not stored."""
    schedules: Mapping[str, Schedule | None]
    """Model → what t means for it, where its description says that."""
    strips: tuple[Strip, ...] = ()
    columns: Columns = field(default_factory=dict)
    """What a column is called (t or logSNR) → model → the t of it that stands there."""
    snr: Mapping[str, Mapping[Number, float]] = field(default_factory=dict)
    """Model → t → SNR, of the columns."""
    log_snrs: LogSnrs = field(default_factory=lambda: LogSnrs({}, {}))
    """Of levels, where columns are by logSNR."""
    noiseless: frozenset[Subject] = frozenset()
    """Those of imports alone, whose noise only their maker knows."""
    steps: tuple[int, ...] = ()
    """Of trainings, that are stored, where they are rows or columns: perhaps not all are shown."""
    batch_size: int | None = None
    """Of all trainings, where they agree: images seen are the step times this."""
    problems: tuple[NcaError, ...] = ()
    """Damaged artifacts."""

    @property
    def filters(self) -> Filters:
        """Which samples were asked for."""
        return self.request.filters

    @property
    def levels(self) -> list[Number]:
        """What the columns are called: t or logSNR."""
        return list(self.columns)

    @property
    def models(self) -> list[str]:
        """Folders of the models, each once."""
        return list(dict.fromkeys(subject.model for subject in self.subjects))

    @property
    def nothing(self) -> str:
        """What is wrong where none of it can be shown."""
        every = (artifact for each in self.subjects for artifact in each.artifacts)
        return lacking(every, self.filters) or unmet(self.store, self.filters)

    def noising(self, image: str) -> list[str]:
        """Models whose x_t of an image is stored, or could be."""
        some = (each for each in self.subjects if each.image == image)
        return [each.model for each in some if each not in self.noiseless]

    def ts(self, model: str) -> dict[Number, Number]:
        """Column → the t of a model that stands in it, where one does."""
        return {level: ts[model] for level, ts in self.columns.items() if model in ts}
