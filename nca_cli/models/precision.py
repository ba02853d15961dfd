"""TF32 on or off for one call, whatever the process has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def matmul_precision(tf32: bool) -> Iterator[None]:
    """Within it, CUDA's matrix products and convolutions use TF32 or full float32.

    Convolutions use TF32 by default in PyTorch, which changes a reconstruction by about 1e-3.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = tf32, tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
