"""Make the pictures of the README and the docs: `make pictures`.

Everything is computed into a store beside the pictures' sources and reused on the next run.
"""

from __future__ import annotations

from pathlib import Path

import nca_cli
from nca_cli.images import sample_images

HERE = Path(__file__).parent
STORE = HERE.parent / "nca-demo" / "pictures"
SHOWN = ("portrait-00", "portrait-02", "portrait-05")


def main() -> None:
    """Three portraits at nine levels, by the posterior mean and by a chain."""
    portraits = [path for path in sample_images("portraits") if path.stem in SHOWN]
    nca_cli.reconstruct(*portraits, models=["demo"], samplers=["one-step", "ddim"], store=STORE)
    grid = nca_cli.compose_grid(
        nca_cli.Store(STORE), nca_cli.Filters(samplers=["one-step", "ddim"])
    )
    print(grid.save(HERE / "images" / "grid.png"))


if __name__ == "__main__":
    main()
