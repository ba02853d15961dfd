"""Python twins of commands whose parts lie in several rooms: they do what the command does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nca_cli.commands import fill
from nca_cli.engine import Request, Work, noisings, reconstructions
from nca_cli.errors import NcaError
from nca_cli.notebook import NotebookStore
from nca_cli.recipe import DEFAULT_STORE
from nca_cli.store import Store
from nca_cli.store.verify import TIME_LIMIT, Verification, verify


@dataclass
class Summary:
    """What a call did: samples computed now, samples that were cached, images that failed."""

    store: NotebookStore
    computed: int = 0
    cached: int = 0
    errors: list[NcaError] = field(default_factory=list)

    def carry_out(self, works: Iterable[Work]) -> None:
        """Do the work, and count it."""
        for work in works:
            self.computed += sum(1 for _ in work)
            self.cached += work.plan.wanted - work.plan.missing


def noise_images(
    *images: str | Path, store: str | Path = DEFAULT_STORE, device: str = "auto", **request: Any
) -> Summary:
    """Store x_t of `images`; keywords as in `Request` (`models=["ddim"]`, `t=[100, 300]`, …)."""
    summary, wanted = Summary(NotebookStore(store)), Request(images, **request)
    summary.carry_out(noisings(wanted, summary.store, device, summary.errors.append))
    return summary


def reconstruct(
    *images: str | Path, store: str | Path = DEFAULT_STORE, device: str = "auto", **request: Any
) -> Summary:
    """Store x̂0 of `images`; keywords as in `Request` (`samplers=["one-step"]`, `steps=20`, …)."""
    summary, wanted = Summary(NotebookStore(store)), Request(images, **request)
    summary.carry_out(reconstructions(wanted, summary.store, device, summary.errors.append))
    return summary


def verify_store(
    store: Store, *, repair: bool = False, time_limit: float = TIME_LIMIT
) -> Verification:
    """Check every file of a store (see `store.verify`); a finding says what computes it again."""
    return verify(store, repair=repair, time_limit=time_limit, command=fill)
