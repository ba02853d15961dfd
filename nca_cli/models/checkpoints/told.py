"""What a checkpoint that reveals its network tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SelfDescribed:
    """A network by its class, and how it was trained."""

    network: str
    """The class, as `FAMILIES` has it."""
    config: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    """By the names of the class."""
    scheduler: Mapping[str, Any]
    """As a configuration of diffusers' scheduler."""
    note: str | None = None
