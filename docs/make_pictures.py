"""Make the pictures of the README and the docs: `make pictures`.

Everything is computed by the demo model into stores below `nca-demo/pictures`, minutes the first
time and reused on the next run. Pictures are drawn at one screen pixel for one of the model, so
that they stay small.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import drawings
from PIL import Image

import nca_cli
from nca_cli.figures.curves import Page, plot_curves, plot_emergence
from nca_cli.images import sample_images
from nca_cli.portraits import HELD_OUT_SEEDS, write_portraits
from nca_cli.store import Filters, ModelFilter, Store

HERE = Path(__file__).parent
IMAGES = HERE / "images"
WORK = HERE.parent / "nca-demo" / "pictures"
FEW, MANY, FACES = Store(WORK / "few"), Store(WORK / "study"), WORK / "portraits"
TRAINING = Store(WORK / "training")
SEEDS = HELD_OUT_SEEDS[4_000:4_064]
"""Portraits of the figures with intervals; the model saw none of them."""
CHAINED = 32
CHAINED_LEVELS = (100, 300, 500, 700, 900)
"""Of these, how many are reconstructed by a chain as well, which costs most of the time."""
DEMO = ModelFilter("demo")


def compute() -> None:
    """All reconstructions that the pictures show; what is there already costs nothing."""
    portraits = sample_images("portraits")
    few = partial(nca_cli.reconstruct, *portraits, store=FEW.root)
    few(models=["demo"], samplers=["one-step", "ddim"])
    few(models=["wiener"], size=64, samplers=["one-step"])
    few(models=["demo"], samplers=["ddim"], steps=[5, 10], t=[300, 500, 700])
    nca_cli.reconstruct(portraits[6], models=["demo"], samplers=["ddim"], t=[300, 700],
                        seeds=range(5), store=FEW.root)  # fmt: skip
    write_portraits(FACES, SEEDS)
    faces = sorted(FACES.glob("*.png"))
    many = partial(nca_cli.reconstruct, models=["demo"], store=MANY.root)
    many(*faces, samplers=["one-step"], t=[0, 10, 25, *range(50, 1000, 50)])
    many(*faces[:CHAINED], samplers=["ddim"], t=CHAINED_LEVELS)


def grids() -> None:
    """Figures of `nca grid`, each with the options of its caption."""
    chains = Filters(models=(DEMO,), samplers=("one-step", "ddim-50"), seeds=(0,))
    grid("grid", chains, images=["portrait-02"])
    grid("strip", chains, images=["portrait-05"], layout="p2", show="x0,x_t,x0_hat")
    grid("steps", Filters(models=(DEMO,), t=(300, 500, 700), seeds=(0,)), images=["portrait-00"],
         cell=80, show="x0,x0_hat")  # fmt: skip
    grid("wiener", Filters(samplers=("one-step",), t=(100, 300, 500, 700), seeds=(0,)),
         images=["portrait-06"], show="x0,x_t,x0_hat,error")  # fmt: skip
    grid("seeds", Filters(models=(DEMO,), samplers=("ddim-50",), t=(300, 700)),
         images=["portrait-06"], columns="seeds", show="x0,x0_hat")  # fmt: skip


def grid(name: str, filters: Filters, images: list[str], cell: int = 64, **options: Any) -> None:
    """One figure, which must have no blank cell."""
    wanted = Filters(**{**vars(filters), "images": tuple(images)})
    figure = nca_cli.compose_grid(FEW, wanted, cell=cell, **options)
    assert not figure.missing, figure.command
    small(figure.save(IMAGES / f"{name}.png"))


def curves() -> None:
    """Figures of `nca plot`, and one of our own."""
    faces = tuple(path.stem for path in sorted(FACES.glob("*.png"))[:CHAINED])
    chained = Filters(images=faces, t=CHAINED_LEVELS)
    page = Page(dpi=180)
    drawn = plot_curves(MANY, chained, references=True, page=page)
    small(drawn.save(IMAGES / "curves.png"), colours=256)
    drawings.schedules(IMAGES / "schedules.png")
    one_step, labels = Filters(samplers=("one-step",)), FACES / "labels.csv"
    beside = Page(dpi=180, columns=2)
    lost = nca_cli.plot_half_levels(MANY, one_step, labels=labels, page=beside)
    small(lost.save(IMAGES / "half-levels.png"), colours=256)


def training() -> None:
    """Figures of the run that ships: what is learned when."""
    faces = sorted(FACES.glob("*.png"))[:CHAINED]
    nca_cli.reconstruct(*faces, runs=["demo-run"], samplers=["one-step"], store=TRAINING.root)
    one = Filters(images=(faces[2].stem,), t=(100, 400, 700))
    figure = nca_cli.compose_grid(TRAINING, one, columns="step", rows="t", cell=48)
    small(figure.save(IMAGES / "training.png"), colours=256)
    bands = ["coherence/0", "coherence/1", "coherence/2", "coherence/3"]
    found = nca_cli.when_learned(TRAINING, metrics=bands)
    small(plot_emergence(found, page=Page(dpi=180)).save(IMAGES / "learned.png"), colours=128)


def tour() -> None:
    """The pictures of the tour are what its own commands make."""
    folder = WORK / "tour"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    text = (HERE / "tour.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        subprocess.run(["bash", "-euc", block], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "PATH": path, "NCA_QUIET": "1"})  # fmt: skip
    for name in re.findall(r"images/tour-(\S+\.png)", text):
        shutil.copy(folder / name, IMAGES / f"tour-{name}")
        small(IMAGES / f"tour-{name}", colours=256 if name == "curves.png" else None)


def samples() -> None:
    """Sheets of portraits, and of samples of both demo models; `training` knows how."""
    training = HERE.parent / "training"
    paths = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    for script, work in (("make_portraits", "contact_sheet()"), ("sample_demo", "main()")):
        code = f"import {script}; {script}.{work}"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=training, env=paths)


def small(path: Path, colours: int | None = None) -> None:
    """The same pixels in fewer bytes; in so many colours where that is told."""
    with Image.open(path) as image:
        plain = image.convert("RGB")
        (plain.quantize(colours) if colours else plain).save(path, optimize=True)
    print(f"{path.relative_to(HERE.parent)}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """All of them; or the parts that are named."""
    parts = {each.__name__: each for each in (compute, grids, curves, training, tour, samples)}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
