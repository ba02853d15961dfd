"""The published DDIM reconstructions of CelebA-HQ faces, through `nca import` and the measures.

    python -m bench published [FOLDER]

Prints the mean PSNR, SSIM and MSE of four faces at each of nine levels. FOLDER holds
`reference/published-ddim-celebahq/ddim_<image>_<strength>.png` and `images/CelebA-HQ/`; `../shared`
unless told. The pictures were drawn with 50 DDIM steps: strength 0.1 starts at t = 80, 0.9 at 880.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.table import say

SHARED = Path(__file__).resolve().parents[2] / "shared"
LEVELS = range(80, 881, 100)
METRICS = ("psnr", "ssim", "mse")


def level(strength: str) -> int:
    """`0.1` → 80: diffusers' grid of 50 steps has the levels 0, 20, …, 980."""
    return round(1000 * float(strength)) - 20


def pairs_csv(path: Path, shared: Path = SHARED) -> Path:
    """A CSV file for `nca import` of all published reconstructions."""
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["t", "original", "reconstruction"])
        for recon in sorted(shared.glob("reference/published-ddim-celebahq/ddim_*.png")):
            _, image, strength = recon.stem.split("_")
            rows.writerow([level(strength), shared / f"images/CelebA-HQ/{image}.jpeg", recon])
    return path


def measured(store: Path) -> dict[int, dict[str, float]]:
    """t → mean over images of each measure, and the number of images."""
    from nca_cli.metrics import measure
    from nca_cli.store import Place, Store

    found: dict[int, list[dict[str, float]]] = {t: [] for t in LEVELS}
    for artifact in (each for each in Store(store).select() if not each.is_noise):
        x0 = Store(store).artifact(Place(artifact.model, artifact.image), "noise").fixed("x0")
        for t, seed in sorted(artifact.keys):
            found[t].append(measure(x0, artifact.read("x0_hat", [(t, seed)])[0], METRICS))
    return {
        t: {name: float(np.mean([each[name] for each in values])) for name in METRICS}
        | {"n": len(values)}
        for t, values in found.items()
    }


def main(arguments: Sequence[str] = ()) -> None:
    """Import all 36 pairs with the command, and print the means."""
    from typer.testing import CliRunner

    import nca_cli.cli.imports  # noqa: F401
    from nca_cli.cli import app

    shared = Path(arguments[0]) if arguments else SHARED
    if not (shared / "reference" / "published-ddim-celebahq").is_dir():
        print(f"published: skipped, {shared} holds no published reconstructions")
        return
    with tempfile.TemporaryDirectory() as name:
        table, store = pairs_csv(Path(name) / "pairs.csv", shared), Path(name) / "store"
        command = ["import", "--model", "published-ddim", "--csv", table, "--store", store]
        result = CliRunner().invoke(app, [str(word) for word in command])
        assert result.exit_code == 0, result.output
        for t, mean in measured(store).items():
            for metric in METRICS:
                unit = "dB" if metric == "psnr" else ""
                say(f"{metric} at t {t}, mean of {mean['n']} images", [mean[metric]], unit)
