"""The engine: plan what is missing, run it in continuous batches, commit as it finishes.

`noise_images` and `reconstruct` are the Python twins of `nca noise` and `nca reconstruct`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nca_cli
from nca_cli.engine.batching import Engine
from nca_cli.engine.plan import ImagePlan, Plan, Shard, make_plan
from nca_cli.engine.request import Request, noise_plans, recipes_of, reconstruction_plans
from nca_cli.engine.run import Done, Noising, Reconstruction
from nca_cli.errors import NcaError
from nca_cli.store import Store

__all__ = [
    "Done",
    "Engine",
    "ImagePlan",
    "Noising",
    "Plan",
    "Reconstruction",
    "Request",
    "Shard",
    "Summary",
    "make_plan",
    "noise_images",
    "noise_plans",
    "recipes_of",
    "reconstruct",
    "reconstruction_plans",
]


@dataclass
class Summary:
    """What a call did: samples computed now, samples that were cached, images that failed."""

    store: Store
    computed: int = 0
    cached: int = 0
    errors: list[NcaError] = field(default_factory=list)


def _opened(root: str | Path) -> Store:
    """The store as the Python API has it, with its views for notebooks."""
    opened: Any = nca_cli.Store
    return opened(root)


def noise_images(
    *images: str | Path,
    store: str | Path = "nca-store",
    device: str = "auto",
    **request: Any,
) -> Summary:
    """Store x_t of `images`; keywords as in `Request` (`models=["ddim"]`, `t=[100, 300]`, …)."""
    summary = Summary(_opened(store))
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
    summary = Summary(_opened(store))
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
