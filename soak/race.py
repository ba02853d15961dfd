"""Eight writers and four readers of one store at once, for five minutes.

Writers compute, noise, import and measure what others do too; readers list, draw, report, export
and verify. Nobody is refused, nothing is lost, and the store is in the end the one that a single
process makes of the same requests.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from soak.children import Child, import_all, nca, run
from soak.material import STORE, WIENER, damaged, differing, lost, prepare, temporaries, tensors

SECONDS = 300.0
WRITERS, READERS = 8, 4
LEVELS = range(10, 1000, 10)
Words = tuple[str, ...]


def writing(chance: random.Random) -> Words:
    """What a writer does next."""
    levels = ",".join(map(str, chance.sample(LEVELS, 3)))
    return chance.choice((
        ("reconstruct", "faces", *WIENER, "--t", levels),
        ("reconstruct", "faces", *WIENER, "--t", levels),
        ("noise", "faces", *WIENER, "--t", levels),
        ("import", "--model", "theirs", "--csv", "pairs.csv"),
        ("measure", "--measure", "psnr"),
    ))  # fmt: skip


def reading(chance: random.Random, number: int) -> Words:
    """What a reader does next."""
    return chance.choice((
        ("ls", "--json"),
        ("grid", "-o", f"grid-{number}.png", "--t", "300,500"),
        ("report", "-o", f"report-{number}.html", "--t", "300,500"),
        ("export", "-o", f"tensors-{number}", "--t", "500"),
        ("verify",),
    ))  # fmt: skip


def _turns(seconds: float, chance: random.Random, folder: Path) -> Iterator[tuple[Words, str]]:
    """Keep all busy until the time is over; what each command was, and what was wrong with it."""
    start: list[Callable[[], Words]] = [lambda: writing(chance)] * WRITERS
    start += [lambda n=n: reading(chance, n) for n in range(READERS)]
    until, running = time.monotonic() + seconds, {}
    while running or time.monotonic() < until:
        for seat, next_words in enumerate(start):
            if seat not in running and time.monotonic() < until:
                words = next_words()
                running[seat] = words, Child(nca(words), folder)
            if seat in running and (done := running[seat][1].poll()):
                words = running.pop(seat)[0]
                yield words, f"{' '.join(words)}: {done.code}: {done.text}" if done.code else ""
        time.sleep(0.005)


def compete(seconds: float, seed: int = 0) -> list[str]:
    """Writers and readers for so many seconds; prints what they did, and returns what was wrong."""
    import_all()
    chance, faults = random.Random(seed), []
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, alone = (prepare(Path(name) / place) for place in ("shared", "alone"))
        before, asked = tensors(folder / STORE), set()
        for words, fault in _turns(seconds, chance, folder):
            count[words[0]] += 1
            faults += [fault] if fault else []
            if words[0] not in ("ls", "grid", "report", "export", "verify", "measure"):
                asked.add(words)
        for words in sorted(asked):
            done = run(alone, *words)
            assert done.code == 0, done.text
        shared, one = tensors(folder / STORE), tensors(alone / STORE)
        faults += [f"{key} is lost" for key in lost(before, shared)] + damaged(folder / STORE)
        if shared.keys() != one.keys():
            faults.append(f"{len(shared)} tensors, and {len(one)} of one process")
        faults += [f"{key} differs" for key in differing(shared, one)]
        faults += [f"{path.name} is left" for path in temporaries(folder)]
    told = ", ".join(f"{number} {what}" for what, number in sorted(count.items()))
    print(f"race: {WRITERS} writers and {READERS} readers for {seconds:.0f} s: {told}; "
          f"{len(shared)} tensors as of one process; {len(faults)} faults", flush=True)  # fmt: skip
    return faults


def main(scale: float = 1.0, seed: int = 0) -> None:
    """The long form: five minutes."""
    if faults := compete(SECONDS * scale, seed):
        raise SystemExit("\n".join(faults))
