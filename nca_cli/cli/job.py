"""One call of a computing command: what it was told to do, its errors, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nca_cli.cli.console import Output, complain, plural, size
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.errors import NcaError

if TYPE_CHECKING:
    from nca_cli.engine import Plan
    from nca_cli.store import Store


@dataclass
class Job:
    """Plans that are carried out one after another, into one store."""

    store: Store
    output: Output
    store_dtype: str = "float32"
    dry_run: bool = False
    stamp: Path | None = None
    """Touched when all is there."""
    errors: list[NcaError] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    computed: int = 0

    def failed(self, error: NcaError) -> None:
        """One image could not be used; the others go on.

        Unless an interrupt is behind it: what it hits in a decoder looks like a damaged picture.
        """
        stop_if_interrupted()
        if str(error) not in map(str, self.errors):
            self.errors.append(error)
            complain(error)

    def carry_out(self, plan: Plan, work: Any, total: int, unit: str) -> None:
        """Announce a plan, run it under a bar, and say what it noticed."""
        self.plans.append(plan)
        if plan.images:
            self.output.note(_announcement(plan, self.store_dtype))
        for text in plan.notes:
            self.output.note(text)
        if self.dry_run or plan.empty:
            return
        with self.output.bar(plan.model.name, total, unit) as advance:
            if hasattr(work, "tick"):
                work.tick = advance
            for _ in work:
                self.computed += 1
                if not hasattr(work, "tick"):
                    advance(1)
        for text in _counted(work.notes, {str(image.source) for image in plan.images}):
            self.output.note(text)

    def end(self) -> None:
        """Print the results; fail if an image failed or nothing was usable."""
        stop_if_interrupted()
        cached = sum(plan.wanted - plan.missing for plan in self.plans)
        self.output.results(
            self._files(),
            computed=self.computed,
            cached=cached,
            errors=[error.what for error in self.errors],
            **self._dry(),
        )
        if self.errors:
            self.output.note(f"{plural(len(self.errors), 'input')} left out, the others are done")
            raise typer.Exit(1)
        if self.stamp and not self.dry_run:
            self.stamp.parent.mkdir(parents=True, exist_ok=True)
            self.stamp.touch()

    def _dry(self) -> dict[str, int]:
        if not self.dry_run:
            return {}
        return {
            "missing": sum(plan.missing for plan in self.plans),
            "evaluations": sum(plan.evaluations for plan in self.plans),
            "bytes": sum(plan.bytes(self.store_dtype) for plan in self.plans),
        }

    def _files(self) -> list[Path]:
        """The artifacts that hold what was asked for."""
        return [
            part.path
            for plan in self.plans
            for artifact in plan.artifacts()
            for part in artifact.parts
        ]


def _counted(notes: Sequence[str], images: set[str]) -> list[str]:
    """Each note once, with the number of others that say the same of another image."""
    same: dict[str, list[str]] = {}
    for text in notes:
        about, _, said = text.rpartition(": ")
        same.setdefault(said if about in images else text, []).append(text)
    return [
        some[0] + (f" (and {plural(len(some) - 1, 'more image')})" if some[1:] else "")
        for some in same.values()
    ]


def _announcement(plan: Plan, store_dtype: str) -> str:
    """`demo · ddim-50 · 3 images: 27 of 27 to compute, 675 evaluations, about 1.3 MB`."""
    labels = ", ".join(recipe.label for recipe in plan.recipes.values()) or "noise"
    text = f"{plan.model.name} · {labels} · {plural(len(plan.images), 'image')}: "
    if plan.empty:
        return text + f"all {plural(plan.wanted, 'sample')} cached"
    parts = [f"{plan.missing:,} of {plan.wanted:,} to compute"]
    if plan.evaluations:
        parts.append(plural(plan.evaluations, "evaluation"))
    return text + ", ".join([*parts, f"about {size(plan.bytes(store_dtype))}"])
