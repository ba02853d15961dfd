"""`nca noise` and `nca reconstruct`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.console import bar, be_quiet, complain, note, note_distance, plural, results, size
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.errors import NcaError
from nca_cli.recipe import DEFAULT_SEEDS, parse_list, parse_steps

if TYPE_CHECKING:
    from nca_cli.engine import Plan, Request


@app.command()
def noise(
    images: opt.Images = None,
    model: opt.Models = None,
    t: opt.Levels = None,
    log_snr: opt.LogSnr = None,
    seed: opt.Seeds = None,
    limit: opt.Limit = None,
    sample: opt.Sample = None,
    sample_seed: opt.SampleSeed = None,
    fit: opt.Fit = "crop",
    size: opt.Size = 256,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    store_dtype: opt.StoreDtype = "float32",
    device: opt.Device = "auto",
    shard: opt.ShardText = None,
    offline: opt.Offline = False,
    refresh: opt.Refresh = False,
    dry_run: opt.DryRun = False,
    stamp: opt.Stamp = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Perturb images to x_t at chosen noise levels. Pixel models need no weights for it."""
    from nca_cli.engine import Noising, noise_plans

    be_quiet(quiet)
    request = _request(
        images,
        model,
        t,
        log_snr,
        seed,
        limit=limit,
        sample=sample,
        sample_seed=sample_seed,
        fit=fit,
        size=size,
        store_dtype=store_dtype,
        shard=shard,
        offline=offline,
        refresh=refresh,
    )
    run = Run(store, store_dtype, dry_run, stamp, json)
    for plan in noise_plans(request, run.store, run.failed):
        name = plan.model.name
        note_distance(f"{name}: levels", request.distance(plan.model), "those of --log-snr")
        work = Noising(plan, device, store_dtype, run.failed)
        run.carry_out(plan, work, plan.missing, "x_t")
    run.end()


@app.command()
def reconstruct(
    images: opt.Images = None,
    model: opt.Models = None,
    t: opt.Levels = None,
    log_snr: opt.LogSnr = None,
    seed: opt.Seeds = None,
    sampler: opt.Samplers = None,
    steps: opt.Steps = None,
    eta: opt.Eta = None,
    clip: opt.Clip = None,
    label: opt.Label = None,
    prompt: opt.Prompt = None,
    guidance: opt.Guidance = None,
    limit: opt.Limit = None,
    sample: opt.Sample = None,
    sample_seed: opt.SampleSeed = None,
    fit: opt.Fit = "crop",
    size: opt.Size = 256,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "float32",
    tf32: opt.Tf32 = False,
    store: opt.StoreDir = opt.DEFAULT_STORE,
    store_dtype: opt.StoreDtype = "float32",
    batch: opt.Batch = "auto",
    shard: opt.ShardText = None,
    offline: opt.Offline = False,
    refresh: opt.Refresh = False,
    dry_run: opt.DryRun = False,
    stamp: opt.Stamp = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Reconstruct x̂0 from x_t, from exactly the levels asked for. Computes only what is missing."""
    from nca_cli.engine import Reconstruction, reconstruction_plans

    be_quiet(quiet)
    request = _request(
        images,
        model,
        t,
        log_snr,
        seed,
        samplers=tuple(sampler or ()),
        steps=parse_steps(steps) if steps else None,
        eta=parse_list(eta, "eta") if eta else None,
        clip=clip,
        label=label,
        prompt=prompt,
        guidance=guidance,
        limit=limit,
        sample=sample,
        sample_seed=sample_seed,
        fit=fit,
        size=size,
        dtype=dtype,
        tf32=tf32,
        store_dtype=store_dtype,
        batch=_batch(batch),
        shard=shard,
        offline=offline,
        refresh=refresh,
    )
    run = Run(store, store_dtype, dry_run, stamp, json)
    for plan in reconstruction_plans(request, run.store, run.failed):
        name = plan.model.name
        note_distance(f"{name}: levels", request.distance(plan.model), "those of --log-snr")
        work = Reconstruction(
            plan, device, store_dtype=store_dtype, batch=request.batch, on_error=run.failed
        )
        run.carry_out(plan, work, plan.evaluations, "evaluations")
    run.end()


def _request(
    images: Sequence[str] | None,
    models: Sequence[str] | None,
    t: Sequence[str] | None,
    log_snr: Sequence[str] | None,
    seeds: Sequence[str] | None,
    *,
    shard: str | None,
    **settings: Any,
) -> Request:
    from nca_cli.engine import Request, Shard

    numbers: Any = parse_list(seeds, "seed") if seeds else DEFAULT_SEEDS
    return Request(
        images=tuple(images or ()),
        models=tuple(models or ("demo",)),
        t=parse_list(t) if t else None,
        log_snr=parse_list(log_snr, "log-snr") if log_snr else None,
        seeds=numbers,  # `Request` refuses those that are not whole
        shard=Shard.parse(shard) if shard else Shard(),
        **settings,
    )


def _batch(text: str) -> int | str | None:
    """A number, or `None` for auto; what is neither is left to `Request` to refuse."""
    if text == "auto":
        return None
    return int(text) if text.isdecimal() else text


class Run:
    """One call of a computing command: its errors, its files, and how it ends."""

    def __init__(
        self,
        store: Path,
        store_dtype: str = "float32",
        dry_run: bool = False,
        stamp: Path | None = None,
        json: bool = False,
    ):
        from nca_cli.store import Store

        self.store, self.store_dtype = Store(store), store_dtype
        self.dry_run, self.stamp, self.json = dry_run, stamp, json
        self.errors: list[NcaError] = []
        self.plans: list[Plan] = []
        self.computed = 0

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
            note(_announcement(plan, self.store_dtype))
        for text in plan.notes:
            note(text)
        if self.dry_run or plan.empty:
            return
        with bar(plan.model.name, total, unit) as advance:
            if hasattr(work, "tick"):
                work.tick = advance
            for _ in work:
                self.computed += 1
                if not hasattr(work, "tick"):
                    advance(1)
        for text in _counted(work.notes, {str(image.source) for image in plan.images}):
            note(text)

    def end(self) -> None:
        """Print the results; fail if an image failed or nothing was usable."""
        stop_if_interrupted()
        cached = sum(plan.wanted - plan.missing for plan in self.plans)
        results(
            self._files(),
            self.json,
            computed=self.computed,
            cached=cached,
            errors=[error.what for error in self.errors],
            **self._dry(),
        )
        if self.errors:
            note(f"{plural(len(self.errors), 'input')} left out, the others are done")
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
