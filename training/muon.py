"""Muon (Jordan et al. 2024): momentum whose matrix is made orthogonal before it is applied.

For kernels and linear maps, seen as matrices (out, in·k·k); vectors and the first and last layers
take AdamW steps. On this network AdamW alone needs two to three times the steps.
"""

from __future__ import annotations

import torch


class Muon(torch.optim.Optimizer):
    """`lr` for matrices, `adam_lr` for the rest."""

    def __init__(self, model: torch.nn.Module, lr: float = 0.01, adam_lr: float = 1.5e-3) -> None:
        outer = ("conv_in", "conv_out", "embedding")
        named = list(model.named_parameters())
        matrices = [p for n, p in named if p.ndim > 1 and not any(o in n for o in outer)]
        chosen = {id(p) for p in matrices}
        vectors = [p for _, p in named if id(p) not in chosen]
        groups = [
            {"params": matrices, "lr": lr, "muon": True},
            {"params": vectors, "lr": adam_lr, "muon": False},
        ]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            update = self._orthogonal if group["muon"] else self._adam
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(update(p, self.state[p]), alpha=group["lr"])

    def _orthogonal(self, p: torch.Tensor, state: dict, momentum: float = 0.95) -> torch.Tensor:
        """Nesterov momentum, orthogonalised; scaled so that tall matrices move as wide ones."""
        m = state.setdefault("momentum", torch.zeros_like(p))
        m.lerp_(p.grad, 1 - momentum)
        matrix = p.grad.lerp(m, momentum).reshape(len(p), -1)
        rows, columns = matrix.shape
        return orthogonal(matrix).reshape(p.shape) * max(1, rows / columns) ** 0.5

    def _adam(self, p: torch.Tensor, state: dict, b1=0.9, b2=0.99) -> torch.Tensor:
        if not state:
            state.update(m=torch.zeros_like(p), v=torch.zeros_like(p), n=torch.zeros(()))
        state["n"] += 1
        state["m"].lerp_(p.grad, 1 - b1)
        state["v"].lerp_(p.grad.square(), 1 - b2)
        m, v = state["m"] / (1 - b1 ** state["n"]), state["v"] / (1 - b2 ** state["n"])
        return m / (v.sqrt() + 1e-8)


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Nearest (semi-)orthogonal matrix, roughly: Newton-Schulz with Jordan's coefficients."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
