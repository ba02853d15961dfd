"""What a report is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nca_cli.store import Filters

MAX_MB = 20.0
"""Of a page, with all its pictures."""


@dataclass(frozen=True)
class ReportRequest:
    """Which part of a store is reported, with what knowledge, and into which files."""

    filters: Filters = Filters()  # noqa: RUF009
    path: Path | None = Path("report.html")
    """Of the page. None of the three files need be written."""
    csv: Path | None = None
    json: Path | None = None
    max_mb: float = MAX_MB
    """Of the page: its pictures are made smaller, and in the end only some drawn, until it fits."""
    assets: Path | None = None
    """A folder for the pictures; without one they are in the page."""
    labels: Path | None = None
    """A CSV of what is truly in the images; the bundled portraits need none."""
    probe: str | None = None
    """What reads it: `module:function`, or a file; the bundled portraits need none."""

    @property
    def options(self) -> dict[str, str]:
        """What but filters shapes the page: option → its value, where it is not the usual one."""
        asked = {"labels": self.labels, "probe": self.probe, "assets": self.assets,
                 "max-mb": None if self.max_mb == MAX_MB else f"{self.max_mb:g}"}  # fmt: skip
        return {name: str(value) for name, value in asked.items() if value is not None}


def selection(filters: Filters) -> dict[str, list[str]]:
    """The filters that are set, as text, by the name of their option."""
    samplers = [*filters.samplers, *(model.sampler for model in filters.models if model.sampler)]
    wanted = {
        "t": filters.t, "seed": filters.seeds, "image": filters.images,
        "model": dict.fromkeys(model.name for model in filters.models),
        "sampler": samplers, "recipe": filters.recipes,
    }  # fmt: skip
    return {name: [str(value) for value in values] for name, values in wanted.items() if values}
