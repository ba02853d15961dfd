"""`nca noise`, `nca reconstruct` and `nca measure`: whatever computes, and is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nca_cli.cli import complete, computing
from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import Output, complain, plural, size
from nca_cli.cli.filters import FilterOptions
from nca_cli.cli.groups import grouped, option_group
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.cli.together import Together
from nca_cli.errors import LIST_HINT, NcaError, NothingStored, StoreError, UsageError
from nca_cli.shard import Shard

if TYPE_CHECKING:
    from nca_cli.engine import Plan, Request, Work
    from nca_cli.metrics.measuring import Measuring
    from nca_cli.metrics.tidy import TidyTable
    from nca_cli.store import Store

DryRun = Annotated[bool, opt.option("--dry-run", help="Say what would be computed, and stop.")]
Stamp = Annotated[
    Path | None,
    opt.option("--stamp", metavar="FILE", help="Touch FILE when everything is stored, for make."),
]


@app.command()
@grouped
def noise(
    *, samples: computing.SampleOptions, runs: computing.RunOptions, inputs: computing.ImageOptions,
    store_dtype: opt.StoreDtype = "float32", device: opt.Device = "auto",
    access: computing.AccessOptions,
    store: opt.StoreDir = opt.DEFAULT_STORE, dry_run: DryRun = False, stamp: Stamp = None,
    output: Output,
) -> None:  # fmt: skip
    """Perturb images to x_t at the given noise levels. Pixel models need no weights for this."""
    from nca_cli.engine import noisings

    together = Together.with_share(access.shard)
    share = {"store_dtype": store_dtype, "shard": together.shard(access.shard)}
    request = computing.requested(samples, runs, inputs, access, **share)
    job = Job(opt.opened(store), output, request, dry_run, stamp, together)
    job.carry_out(noisings(request, job.store, together.device(device), job.failed))
    job.end()


@app.command()
@grouped
def reconstruct(
    *, samples: computing.SampleOptions, runs: computing.RunOptions, chain: computing.ChainOptions,
    inputs: computing.ImageOptions, network: computing.NetworkOptions,
    access: computing.AccessOptions,
    follow: Annotated[bool, opt.run_option(
        "--follow", help="Wait for further checkpoints while a training writes them. Stops at the "
        "last step that run.toml names (steps = N), or with Ctrl-C.")] = False,
    store: opt.StoreDir = opt.DEFAULT_STORE, dry_run: DryRun = False, stamp: Stamp = None,
    output: Output,
) -> None:  # fmt: skip
    """Reconstruct x̂0 from x_t at exactly the given noise levels. Computes only what is missing."""
    from nca_cli.engine import followed, reconstructions

    if follow and (dry_run or not runs.runs):
        raise UsageError("--follow waits for the checkpoints of a training", "add --run PATH")
    together = Together.with_share(access.shard)
    share = together.shard(access.shard)
    request = computing.requested(samples, runs, chain, inputs, network, access, shard=share)
    job = Job(opt.opened(store), output, request, dry_run, stamp, together)
    computed = followed if follow else reconstructions
    job.carry_out(computed(request, job.store, together.device(network.device), job.failed))
    job.end()


@option_group
class MeasureOptions:
    """What to measure with."""

    # fmt: off
    name: Annotated[list[str] | None, opt.measure_option(
        "--measure", metavar="NAME", show_default="all that are possible",
        autocompletion=complete.metrics,
        help="Metric: psnr, ssim, kept, colour, lpips, features, … Repeatable.")] = None
    lpips_weights: Annotated[list[Path] | None, opt.measure_option(
        "--lpips-weights", metavar="FILE", show_default="none",
        help="Weights for LPIPS: torchvision's network and the lpips package's linear layers. "
        "Repeatable.")] = None
    lpips: Annotated[str | None, opt.measure_option(
        "--lpips", metavar="NAME", show_default="none",
        help="stlpips: shift-tolerant LPIPS, with the weights of the installed stlpips-pytorch.",
        )] = None
    backbone: Annotated[str | None, opt.measure_option(
        "--backbone", metavar="ID", show_default="none",
        help="Vision model for deep features, of the transformers library: hub id or folder."
    )] = None
    # fmt: on


@app.command()
@grouped
def measure(
    *, filters: FilterOptions,
    wanted: MeasureOptions,
    workers: Annotated[int | None, opt.measure_option(
        "--workers", metavar="N", min=1, show_default="one per processor",
        help="Number of processes that measure.")] = None,
    device: Annotated[str, opt.measure_option(
        "--device", metavar="DEVICE",
        help="Device for networks: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    shard: opt.ShardOption = None, offline: opt.Offline = False,
    store: opt.StoreDir = opt.DEFAULT_STORE, output: Output,
) -> None:  # fmt: skip
    """Measure how far reconstructions are from their images. Values are kept for later commands."""
    from nca_cli.metrics import REFERENCES, Measuring, Settings
    from nca_cli.store import unmet

    together, place = Together.with_share(shard), opt.opened(store)
    output = together.output(output)
    chosen = filters.of(place, output, made=True)
    if place.packed:
        raise StoreError(place.root, "values cannot be kept in a packed store",
                         "nca report --csv measures without keeping them, or unpack it: "
                         "nca pack --unpack")  # fmt: skip
    together.note(output)
    networks = together.device(device)
    weights = tuple(wanted.lpips_weights or ())
    settings = Settings(weights, wanted.backbone, networks, offline, wanted.lpips)
    work = Measuring(place, chosen, wanted.name, settings=settings, references=tuple(REFERENCES),
                     shard=together.shard(shard))  # fmt: skip
    if work.empty:
        raise NothingStored(unmet(place, chosen, "no reconstruction"), LIST_HINT, place.named)
    computed = len(work)
    with together.bar(place, output, "measure", computed, "samples") as advance:
        values = work.run(workers or together.workers, advance)
    together.end()
    if _measured(work, values, computed, output):
        together.hold(place)
        raise typer.Exit(1)


def _measured(work: Measuring, values: TidyTable, computed: int, output: Output) -> list[NcaError]:
    """Say what was measured; what went wrong."""
    output.note(*work.notes)
    problems = [*work.problems, *([work.unsaved] if work.unsaved and not work.saved else [])]
    for problem in problems:
        complain(problem)
    output.note(f"{plural(len(values), 'value')}, {plural(computed, 'sample')} measured now")
    output.results(work.files, values=len(values), computed=computed,
                   measures=sorted(name for name, in values.distinct("measure")),
                   errors=[problem.what for problem in problems])  # fmt: skip
    return problems


@dataclass
class Job:
    """Plans that are carried out one after another, into one store."""

    store: Store
    output: Output
    request: Request
    dry_run: bool = False
    stamp: Path | None = None
    """Touched when all is there."""
    together: Together = field(default_factory=Together)
    errors: list[NcaError] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    computed: int = 0

    def __post_init__(self) -> None:
        self.output = self.together.output(self.output)
        self.together.note(self.output)
        self.output.begins(self.store)
        if self.stamp:
            from nca_cli.outputs import STAMP, Outputs

            Outputs(self.store).check(self.stamp, STAMP)

    def failed(self, error: NcaError) -> None:
        """One image could not be used; the others go on.

        Unless an interrupt is behind it: what it hits in a decoder looks like a damaged picture.
        """
        stop_if_interrupted()
        if str(error) not in map(str, self.errors):
            self.errors.append(error)
            complain(error)

    def carry_out(self, works: Iterable[Work]) -> None:
        """Announce each plan, run it under a bar, and say what it noticed."""
        try:
            for work in works:
                self._announce(work.plan)
                if not (self.dry_run or work.plan.empty):
                    self._run(work)
        finally:
            self.together.end()

    def _announce(self, plan: Plan) -> None:
        self.plans.append(plan)
        away = self.request.distance(plan.model)
        self.output.distance(f"{plan.model.name}: levels", away, "those of --log-snr")
        if plan.images:
            self.output.note(_announcement(plan, self.request.store_dtype))
        self.output.note(*plan.notes)

    def _run(self, work: Work) -> None:
        bar = self.together.bar(self.store, self.output, work.plan.title, work.total, work.unit)
        with bar as work.tick:
            for _ in work:
                self.computed += 1
        self.output.note(*_counted(work.notes, {str(image.source) for image in work.plan.images}))

    def end(self) -> None:
        """Print the results; fail if an image failed or nothing was usable."""
        stop_if_interrupted()
        parts = [part for plan in self.plans for each in plan.artifacts() for part in each.parts]
        self.output.results(
            [part.path for part in parts],
            computed=self.computed,
            cached=sum(plan.wanted - plan.missing for plan in self.plans),
            errors=[error.what for error in self.errors],
            **(self._planned() if self.dry_run else {}),
        )
        if self.errors:
            if parts:
                left_out = plural(len(self.errors), "input")
                self.output.note(f"{left_out} left out, the others are done")
            self.together.hold(self.store)
            raise typer.Exit(1)
        if self.stamp and not self.dry_run and self._all_is_there():
            from nca_cli.outputs import Outputs

            Outputs(self.store).stamp(self.stamp)

    def _all_is_there(self) -> bool:
        """Whether other processes of the job have done their shares too."""
        if self.together.launch is None:
            return True
        from nca_cli.engine import noise_plans, reconstruction_plans

        errors: list[NcaError] = []
        whole, noise = replace(self.request, shard=Shard()), not any(p.recipes for p in self.plans)
        plans = (noise_plans if noise else reconstruction_plans)(whole, self.store, errors.append)
        return not errors and all(plan.empty for plan in plans)

    def _planned(self) -> dict[str, int]:
        return {
            "missing": sum(plan.missing for plan in self.plans),
            "evaluations": sum(plan.evaluations for plan in self.plans),
            "saved": sum(plan.saved for plan in self.plans),
            "bytes": sum(plan.bytes(self.request.store_dtype) for plan in self.plans),
        }


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
    text = f"{plan.title} · {labels} · {plural(len(plan.images), 'image')}: "
    if plan.empty:
        return text + f"all {plural(plan.wanted, 'sample')} cached"
    parts = [f"{plan.missing:,} of {plan.wanted:,} to compute"]
    if plan.evaluations:
        saved = f" ({plan.saved:,} saved)" if plan.saved else ""
        parts.append(plural(plan.evaluations, "evaluation") + saved)
    return text + ", ".join([*parts, f"about {size(plan.bytes(store_dtype))}"])
