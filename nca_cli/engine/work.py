"""A request as work to iterate over, one model after another: what commands and Python share."""

from __future__ import annotations

from collections.abc import Iterator

from nca_cli.engine.noise import Noising
from nca_cli.engine.request import Request, noise_plans, reconstruction_plans
from nca_cli.engine.run import Reconstruction
from nca_cli.errors import Complain
from nca_cli.store import Store

Work = Noising | Reconstruction


def noisings(
    request: Request, store: Store, device: str = "auto", on_error: Complain | None = None
) -> Iterator[Noising]:
    """The x_t that a request takes; of each model when the one before is done."""
    for plan in noise_plans(request, store, on_error):
        yield Noising(plan, device, request.store_dtype, on_error)


def reconstructions(
    request: Request, store: Store, device: str = "auto", on_error: Complain | None = None
) -> Iterator[Reconstruction]:
    """The x̂0 that a request takes; of each model when the one before is done."""
    for plan in reconstruction_plans(request, store, on_error):
        yield Reconstruction(plan, device, store_dtype=request.store_dtype, batch=request.batch,
                             on_error=on_error)  # fmt: skip
