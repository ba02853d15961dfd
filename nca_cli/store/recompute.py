"""The command that computes a lost part again, as well as what is left of it can tell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from nca_cli.errors import NcaError
from nca_cli.store.artifact import Location
from nca_cli.store.check import Checked
from nca_cli.store.folder import Store
from nca_cli.store.layout import NOISE, split_folder
from nca_cli.store.samples import Key

IMPORTED = "imported"
"""Source of a model whose reconstructions came from elsewhere."""
Look = Callable[[Location], Checked]
"""Reads header and (t, seed) of a part, without its tensors."""


def command(store: Store, location: Location, checked: Checked, look: Look) -> str:
    """One line, `nca reconstruct 'astronaut.*' --model … --sampler … --steps … --t …`."""
    model, image, name = location.names
    others = {part: look(part) for part in store.parts(model, image) if part != location}
    sound = {part: found for part, found in others.items() if not found.reason}
    header = _headers([checked, *sound.values()])
    keys = checked.keys or _missing(location, sound)
    if _model(store, model, header) == IMPORTED:
        return f"nca import --model {shlex.quote(split_folder(model)[0])} --csv FILE"
    verb = "noise" if name == NOISE else "reconstruct"
    return " ".join([
        f"nca {verb} {shlex.quote(split_folder(image)[0])}.*",
        f"--model {shlex.quote(_model(store, model, header))}",
        *([] if name == NOISE else _sampler(name, checked.header)),
        *_keys(keys), *_fit(header), *_store(store),
    ])  # fmt: skip


def _headers(found: Iterable[Checked]) -> dict[str, str]:
    """Attributes that all artifacts of an image share, from the first that has them."""
    return next((checked.header for checked in found if "image" in checked.header), {})


def _missing(location: Location, others: dict[Location, Checked]) -> list[Key]:
    """What other artifacts of the image hold and the other parts of this one do not."""
    mine = [part for part in others if part.names == location.names]
    held = {key for part in mine for key in others[part].keys}
    stored = {key for found in others.values() for key in found.keys}
    return sorted(stored - held)


def _model(store: Store, folder: str, header: dict[str, str]) -> str:
    """Hub id or folder of a model; the stored name where it is built in or nothing else known."""
    try:
        info = json.loads(header["model"]) if header else store.model_info(folder)
        source = info.get("source", "built in")
        return info["name"] if source == "built in" else source
    except (NcaError, LookupError, ValueError, TypeError, AttributeError):
        return split_folder(folder)[0]


def _sampler(name: str, header: dict[str, str]) -> list[str]:
    """Options of a recipe; of its name where its text is lost."""
    label = split_folder(name)[0]
    match = re.fullmatch(r"(.*)-(\d+)", label)
    sampler, steps = match.groups() if match else (label, None)
    options = [f"--sampler {sampler}", *([f"--steps {steps}"] if steps else [])]
    try:
        recipe = json.loads(header["recipe"])
    except (LookupError, ValueError):
        return options
    if recipe.get("eta"):
        options.append(f"--eta {recipe['eta']:g}")
    if sampler in ("ddim", "ddpm"):
        options.append("--no-clip" if recipe.get("clip") is None else "--clip")
    if prompt := recipe.get("prompt"):
        options.append(f"--prompt {shlex.quote(str(prompt))}")
    for option, field in (("--label", "class_label"), ("--guidance", "guidance")):
        if recipe.get(field) is not None:
            options.append(f"{option} {recipe[field]:g}")
    if recipe.get("dtype", "float32") != "float32":
        options.append(f"--dtype {recipe['dtype']}")
    return options


def _keys(keys: list[Key]) -> list[str]:
    """`--t 100:1000:100 --seed 0,1`, or nothing where no key is known."""
    if not keys:
        return []
    ts, seeds = sorted({t for t, _ in keys}), sorted({seed for _, seed in keys})
    return [f"--t {_list(ts)}", *([] if seeds == [0] else [f"--seed {_list(seeds)}"])]


def _list(numbers: Sequence[int | float]) -> str:
    """`100,300`, and as a half-open range where there are many at even distances."""
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) > 3 and len(steps) == 1 and all(isinstance(n, int) for n in numbers):
        step = steps.pop()
        return f"{numbers[0]}:{numbers[-1] + step}:{step}"
    return ",".join(str(number) for number in numbers)


def _fit(header: dict[str, str]) -> list[str]:
    try:
        fit = json.loads(header["image"]).get("fit", "crop")
    except (LookupError, ValueError, AttributeError):
        return []
    return [] if fit == "crop" else [f"--fit {fit}"]


def _store(store: Store) -> list[str]:
    return [] if str(store.root) == "nca-store" else [f"--store {shlex.quote(str(store.root))}"]
