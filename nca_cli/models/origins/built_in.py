"""Models that the installation brings: folders of its assets, and the one without weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nca_cli.errors import ModelError, UsageError
from nca_cli.models.load import Running
from nca_cli.models.origins.origin import Origin, StoredAs, Wanted, complete_pipeline
from nca_cli.models.space import Model, Space
from nca_cli.models.wiener import WIENER_VERSION
from nca_cli.recipe import BUILT_IN
from nca_cli.schedule import Schedule

if TYPE_CHECKING:
    from nca_cli.models.aliases import Alias
    from nca_cli.models.wiener import WienerDenoiser

ASSETS = Path(__file__).resolve().parents[2] / "assets"
WIENER_SIZES = (2, 4096)


@dataclass(frozen=True)
class BuiltIn(Origin):
    """A pipeline among the assets."""

    alias: Alias

    def find(self, wanted: Wanted) -> Model:
        """From the assets."""
        name, folder = self.alias.name, ASSETS / self.alias.name
        if not folder.is_dir():
            hint = "reinstall nca from a complete source or wheel"
            raise ModelError(name, f"its files are not in this installation ({folder})", hint)
        pipeline = complete_pipeline(folder, name, wanted.weights)
        return self._model(pipeline, name, BUILT_IN, self.alias)

    def stored_as(self) -> StoredAs:
        """By its name."""
        return StoredAs(self.alias.name)

    def look(self) -> tuple[bool, int | None]:
        """Whether the installation is complete."""
        try:
            pipeline = complete_pipeline(ASSETS / self.alias.name, self.alias.name, weights=True)
        except ModelError:
            return False, None
        return True, pipeline.resolution


@dataclass(frozen=True)
class Wiener(Origin):
    """The spectral prior, which has no files and any size."""

    alias: Alias

    def find(self, wanted: Wanted) -> Model:
        """At the size that is wanted."""
        (low, high), size = WIENER_SIZES, wanted.size
        if not low <= size <= high:
            raise UsageError(f"--size {size} is outside {low} … {high}")
        return Model(
            name=self.alias.name,
            source=BUILT_IN,
            space=Space(Schedule(), (3, size, size), size, 3),
            origin=self,
            sampler=self.alias.sampler,
            alias=self.alias.name,
            licence=self.alias.licence,
            scheduler={"_class_name": "DDPMScheduler", "clip_sample": False},
        )

    def stored_as(self) -> StoredAs:
        """By its name."""
        return StoredAs(self.alias.name)

    def look(self) -> tuple[bool, int | None]:
        """It is always here."""
        return True, None

    def identity(self, model: Model) -> str:
        """By its version and size."""
        return f"{model.name}-{WIENER_VERSION}:{model.space.resolution}"

    def denoiser(self, model: Model, running: Running) -> WienerDenoiser:
        """In float32, whatever is asked."""
        from nca_cli.models.wiener import WienerDenoiser

        return WienerDenoiser(model.space.resolution, model.space.schedule, running.device)
