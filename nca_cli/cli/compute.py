"""`nca noise` and `nca reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from nca_cli.cli import options as opt
from nca_cli.cli.app import app
from nca_cli.cli.computing import (
    AccessOptions,
    ChainOptions,
    ImageOptions,
    NetworkOptions,
    SampleOptions,
)
from nca_cli.cli.console import Output
from nca_cli.cli.groups import grouped
from nca_cli.cli.job import Job
from nca_cli.cli.stores import DEFAULT_STORE, opened

DryRun = Annotated[bool, opt.option("--dry-run", help="Say what would be computed, and stop.")]
Stamp = Annotated[
    Path | None,
    opt.option("--stamp", metavar="FILE", help="Touch FILE when all is there, for make."),
]
BY_LOG_SNR = "those of --log-snr"


@app.command()
@grouped
def noise(
    *, samples: SampleOptions, inputs: ImageOptions, store_dtype: opt.StoreDtype = "float32",
    device: opt.Device = "auto", access: AccessOptions,
    store: opt.StoreDir = DEFAULT_STORE, dry_run: DryRun = False, stamp: Stamp = None,
    output: Output,
) -> None:  # fmt: skip
    """Perturb images to x_t at chosen noise levels. Pixel models need no weights for it."""
    from nca_cli.engine import Noising, Request, noise_plans

    request = Request(
        **samples.parsed(), **vars(inputs), store_dtype=store_dtype, **access.parsed()
    )
    job = Job(opened(store), output, store_dtype, dry_run, stamp)
    for plan in noise_plans(request, job.store, job.failed):
        output.distance(f"{plan.model.name}: levels", request.distance(plan.model), BY_LOG_SNR)
        work = Noising(plan, device, store_dtype, job.failed)
        job.carry_out(plan, work, plan.missing, "x_t")
    job.end()


@app.command()
@grouped
def reconstruct(
    *, samples: SampleOptions, chain: ChainOptions, inputs: ImageOptions, network: NetworkOptions,
    access: AccessOptions,
    store: opt.StoreDir = DEFAULT_STORE, dry_run: DryRun = False, stamp: Stamp = None,
    output: Output,
) -> None:  # fmt: skip
    """Reconstruct x̂0 from x_t, from exactly the levels asked for. Computes only what is missing."""
    from nca_cli.engine import Reconstruction, Request, reconstruction_plans

    request = Request(
        **samples.parsed(), **chain.parsed(), **vars(inputs), **network.parsed(),
        **access.parsed(),
    )  # fmt: skip
    job = Job(opened(store), output, request.store_dtype, dry_run, stamp)
    for plan in reconstruction_plans(request, job.store, job.failed):
        output.distance(f"{plan.model.name}: levels", request.distance(plan.model), BY_LOG_SNR)
        work = Reconstruction(
            plan, network.device, store_dtype=request.store_dtype, batch=request.batch,
            on_error=job.failed,
        )  # fmt: skip
        job.carry_out(plan, work, plan.evaluations, "evaluations")
    job.end()
