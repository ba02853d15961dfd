"""`noise_images` and `reconstruct`, the Python twins of `nca noise` and `nca reconstruct`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nca_cli.engine import Noising, Reconstruction, Request, noise_plans, reconstruction_plans
from nca_cli.errors import NcaError
from nca_cli.notebook import Store


@dataclass
class Summary:
    """What a call did: samples computed now, samples that were cached, images that failed."""

    store: Store
    computed: int = 0
    cached: int = 0
    errors: list[NcaError] = field(default_factory=list)


def noise_images(
    *images: str | Path,
    store: str | Path = "nca-store",
    device: str = "auto",
    **request: Any,
) -> Summary:
    """Store x_t of `images`; keywords as in `Request` (`models=["ddim"]`, `t=[100, 300]`, …)."""
    summary = Summary(Store(store))
    wanted = Request(images, **request)
    for plan in noise_plans(wanted, summary.store, summary.errors.append):
        work = Noising(plan, device, wanted.store_dtype, summary.errors.append)
        summary.computed += sum(1 for _ in work)
        summary.cached += plan.wanted - plan.missing
    return summary


def reconstruct(
    *images: str | Path,
    store: str | Path = "nca-store",
    device: str = "auto",
    **request: Any,
) -> Summary:
    """Store x̂0 of `images`; keywords as in `Request` (`samplers=["one-step"]`, `steps=20`, …)."""
    summary = Summary(Store(store))
    wanted = Request(images, **request)
    for plan in reconstruction_plans(wanted, summary.store, summary.errors.append):
        work = Reconstruction(
            plan,
            device=device,
            store_dtype=wanted.store_dtype,
            batch=wanted.batch,
            on_error=summary.errors.append,
        )
        summary.computed += sum(1 for _ in work)
        summary.cached += plan.wanted - plan.missing
    return summary
