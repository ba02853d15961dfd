"""Files of a store that change by chance: found by `verify`, or without effect on what is read.

Bits flip, sectors become zero, files are cut, grow or change places, in a store as a folder and as
a packed file. What `verify` calls sound must read as before; what it calls damaged no reader may
serve.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nca_cli.errors import NcaError
from nca_cli.metrics import REFERENCES
from nca_cli.metrics.sources import Survey
from nca_cli.recipe import digest
from nca_cli.store import Artifact, Filters, Key, Store
from nca_cli.store.verify import verify
from soak.children import import_all, run
from soak.material import PACKED, STORE, prepare

CHANGES = ("flip", "zeros", "cut", "append", "swap")
TRIALS = 1000
"""Of each store, folder and packed file."""
SECTOR = 512
READ = ("*/*/*.h5", "*/*/*.metrics.json", "*/model.json", "nca-store.json")
"""Files of a folder that readers read."""


def changed(content: bytes, how: str, chance: random.Random, others: list[bytes]) -> bytes:
    """A file after an accident."""
    at = chance.randrange(len(content))
    if how == "flip":
        flipped = content[at] ^ 1 << chance.randrange(8)
        return content[:at] + bytes([flipped]) + content[at + 1 :]
    if how == "zeros":
        start = at - at % SECTOR
        length = len(content[start : start + SECTOR])
        return content[:start] + bytes(length) + content[start + length :]
    if how == "cut":
        return content[:at]
    if how == "append":
        return content + chance.randbytes(chance.choice((1, 100, SECTOR, 5000)))
    return chance.choice(others)


def readings(root: Path) -> dict[str, Any]:
    """All that readers are given of a store, by where it lies; an error where one is raised."""
    store, found = Store(root), {}
    for artifact in store.select():
        found[str(artifact)] = _or_error(lambda each=artifact: _of(each))
    for model in store.models():
        found[model] = _or_error(lambda name=model: store.model_info(name))
    return found | _measured(store)


def _measured(store: Store) -> dict[str, dict[Key, str]]:
    """What was measured and is told without measuring again: of samples with that digest."""
    made = [artifact for artifact in store.select() if not artifact.is_noise]
    return {
        f"{source.artifact} {source.dataset} measured": {
            key: repr(dict(entry.values))
            for key, entry in source.kept.entries.items()
            if source.trusted and entry.content == source.contents.get(key)
        }
        for source in Survey(store, Filters()).sources(made, tuple(REFERENCES))
    }


def _of(artifact: Artifact) -> str:
    dataset = "x_t" if artifact.is_noise else "x0_hat"
    keys = sorted(artifact.keys)
    fixed = [artifact.fixed(name).tolist() for name in ("x0",) if name in artifact.datasets]
    values = [artifact.read(each, keys).tolist() for each in (dataset, "preview")]
    return digest([keys, artifact.log_snr.tolist(), artifact.header, values, fixed])


def _or_error(reading: Any) -> Any:
    try:
        return reading()
    except NcaError as error:
        return error


def consequence(root: Path, whole: dict[str, Any]) -> tuple[str, list[str]]:
    """What an accident came to (`found`, `refused` or `without effect`), and what is wrong then."""
    try:
        store = Store(root)
        bad = {str(finding.path) for finding in verify(store) if not finding.ok}
        now = readings(root)
    except NcaError:
        return "refused", []
    served = {name: value for name, value in now.items() if not isinstance(value, NcaError)}
    faults = [f"{name} is read and is another" for name, value in served.items()
              if _another(value, whole.get(name))]  # fmt: skip
    if bad:
        faults = [each for each in faults if "model" not in each]
        return "found", faults
    gone = [name for name in whole if name not in now or isinstance(now[name], NcaError)]
    return "without effect", faults + [f"{name} is gone unnoticed" for name in gone]


def _another(now: Any, before: Any) -> bool:
    """Whether a reading is not the one of before; what must be measured again is none."""
    if before is None or now == before:
        return False
    measured = isinstance(before, dict) and all(isinstance(key, tuple) for key in before)
    return not (measured and now.items() <= before.items())


def accidents(root: Path, trials: int, chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """Have one accident after another; its kind, its file, what it came to and what was wrong."""
    files = [root] if root.is_file() else sorted(p for each in READ for p in root.glob(each))
    contents = {path: path.read_bytes() for path in files}
    whole = readings(root)
    for number in range(trials):
        how = CHANGES[number % len(CHANGES)]
        path = chance.choice(files)
        others = [each for other, each in contents.items() if each != contents[path]]
        if how == "swap" and not others:
            how = "flip"
        path.write_bytes(changed(contents[path], how, chance, others))
        came_to, faults = consequence(root, whole)
        yield how, came_to, "; ".join(f"{how} in {path.name}: {fault}" for fault in faults)
        path.write_bytes(contents[path])


def damage_at_random(trials: int, seed: int = 0) -> list[str]:
    """So many accidents to a folder and to a packed file; prints what they came to."""
    import_all()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = prepare(Path(name) / "work", pictures=2)
        for words in (("measure",), ("pack", "-o", PACKED)):
            done = run(folder, *words)
            assert done.code == 0, done.text
        for place in (STORE, PACKED):
            count: Counter[tuple[str, str]] = Counter()
            for how, came_to, wrong in accidents(folder / place, trials, random.Random(seed)):
                count[how, came_to] += 1
                faults += [f"{place}: {wrong}"] if wrong else []
            told = "; ".join(f"{how}: " + ", ".join(
                f"{n} {came_to}" for (each, came_to), n in sorted(count.items()) if each == how)
                for how in CHANGES)  # fmt: skip
            print(f"damage: {place}: {trials} accidents; {told}", flush=True)
    print(f"damage: {len(faults)} of them read as another value, or hidden")
    return faults


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form: 1,000 accidents each."""
    if faults := damage_at_random(max(len(CHANGES), round(TRIALS * scale)), seed):
        raise SystemExit("\n".join(faults))
