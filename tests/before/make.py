"""The commands that made these stores, once: `BEFORE=/data/before python tests/before/make.py`.

What this early 0.1.0 computed must stay a full cache hit, whatever becomes of the program: recipes,
identities of images and weights, kept metrics. So this is never made again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(os.environ.get("BEFORE", Path(__file__).parent))
ROOT = Path(__file__).parents[2]
SAMPLERS = ("one-step", "ddim", "ddpm", "pndm", "plms", "heun", "dpmpp-2m")
STEPS = "6"
COMPUTED = {
    "demo": ["--model", "demo", "--t", "200,600", "--store-dtype", "float16"],
    "latent": ["--model", "./tiny-latent", "--t", "333,900", "--seed", "3"],
    "wiener": ["--model", "wiener", "--size", "32", "--t", "100,500"],
}
"""Store → what to ask of `nca reconstruct`; its samplers are those of `samplers_of`."""
IMAGE = "portrait-03.png"


def samplers_of(store: str) -> list[str]:
    """Options for the samplers: of `wiener` its only one, of the others all, ddim with two η."""
    if store == "wiener":
        return []
    return [option for name in SAMPLERS for option in ("--sampler", name)] + [
        "--steps", STEPS, "--eta", "0,0.5"]  # fmt: skip


def nca(*arguments: str) -> str:
    """The standard output of a command, run beside the stores."""
    command = [sys.executable, "-m", "nca_cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=HERE, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def reconstruct(store: str, root: str) -> list[str]:
    """Arguments of the command that filled a store."""
    return ["reconstruct", IMAGE, "--store", root, *COMPUTED[store], *samplers_of(store)]


def told(root: str) -> dict[str, object]:
    """What the listing commands say of a store, as JSON."""
    rows = json.loads(nca("ls", "--store", root, "--json"))
    artifacts = sorted(Path(HERE, root).rglob("*.h5"))
    texts = (nca("show", str(path.relative_to(HERE)), "--json") for path in artifacts)
    shown = [json.loads(text.replace(f"{HERE}/{root}/", f"{root}/")) for text in texts]
    return {"ls": rows, "show": shown}


def main() -> None:
    if (HERE / "demo").exists():
        sys.exit("this is made once")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from pipelines import tiny_latent

    from nca_cli.portraits import write_portraits

    write_portraits(HERE, range(3, 4))
    (HERE / "portrait-00003.png").rename(HERE / IMAGE)
    (HERE / "labels.csv").unlink()
    tiny_latent(HERE / "tiny-latent")
    for store in COMPUTED:
        nca(*reconstruct(store, store))
        nca("measure", "--store", store)
        shutil.rmtree(HERE / store / ".locks")
        (HERE / f"{store}.json").write_text(json.dumps(told(store), indent=1) + "\n")


if __name__ == "__main__":
    main()
