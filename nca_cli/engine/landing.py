"""Finished samples on their way from the device to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nca_cli.devices import to_device

if TYPE_CHECKING:
    import torch


@dataclass
class Landing:
    """x̂0 of the flights that ended with one call, in one copy that holds up neither side."""

    keys: list[Any]
    values: np.ndarray
    """`(N, C, H, W)`."""
    event: Any = None
    """Comes when the values are there; `None`: they are."""

    @classmethod
    def of(
        cls, keys: list[Any], x: torch.Tensor, rows: list[int], shape: tuple[int, ...]
    ) -> Landing:
        """Begin the copy of some rows of x `(B, C·H·W)`."""
        import torch

        chosen, cuda, event = to_device(np.array(rows), x.device), x.device.type == "cuda", None
        values, host = _on_host((len(rows), x.shape[1]), pinned=cuda)
        if x.device.type == "cpu":
            torch.index_select(x, 0, chosen, out=host)
        else:
            host.copy_(x.index_select(0, chosen), non_blocking=cuda)
        if cuda:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(x.device))
        return cls(keys, values.reshape(-1, *shape), event)

    @property
    def over(self) -> bool:
        """Whether the values are there."""
        return self.event is None or self.event.query()

    def fetch(self) -> list[tuple[Any, np.ndarray | None]]:
        """Each key with its x̂0 `(C, H, W)`, once it is there; `None` for what is not finite."""
        if self.event is not None:
            self.event.synchronize()
        finite = np.isfinite(self.values.reshape(len(self.keys), -1)).all(axis=1)
        return [
            (key, x0_hat if good else None)
            for key, x0_hat, good in zip(self.keys, self.values, finite, strict=True)
        ]


def _on_host(size: tuple[int, ...], pinned: bool) -> tuple[np.ndarray, torch.Tensor]:
    """Memory for float32 numbers, as an array and as a tensor."""
    import torch

    if pinned:
        tensor = torch.empty(size, pin_memory=True)
        return tensor.numpy(), tensor
    values = np.empty(size, np.float32)
    return values, torch.from_numpy(values)
