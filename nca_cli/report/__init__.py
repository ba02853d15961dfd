"""The report: one HTML page about what a store holds, and its numbers as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path

from nca_cli.analysis import Value
from nca_cli.outputs import write_result
from nca_cli.report.concepts import with_concepts
from nca_cli.report.content import Progress, Report, collect, no_progress, selection
from nca_cli.report.findings import analysed
from nca_cli.report.page import render
from nca_cli.report.pictures import Gallery, gallery
from nca_cli.report.words import headlines, title
from nca_cli.store import Filters, Store

__all__ = [
    "MAX_MB",
    "Gallery",
    "Report",
    "build_report",
    "collect",
    "gallery",
    "render",
    "write_csv",
    "write_json",
]

COLUMNS = Value._fields
"""Of the CSV; a contract."""
JSON_VERSION = 1
MAX_MB = 20.0
"""Of a page, with all its pictures."""
MEGABYTE = 1e6


def build_report(
    store: Store, path: str | Path | None = "report.html", filters: Filters = Filters(),  # noqa: B008
    *, csv: str | Path | None = None, json: str | Path | None = None,
    max_mb: float = MAX_MB, assets: str | Path | None = None, progress: Progress = no_progress,
    labels: str | Path | None = None, probe: str | None = None,
) -> Report:  # fmt: skip
    """Collect a report and write it: HTML to `path`, its numbers to `csv` and `json`.

    Any of them may be `None`. The page has at most `max_mb` megabytes: its pictures are made
    smaller, and in the end only a sample of them drawn, until it fits; with `assets`, they are
    files in that folder instead. `progress` is as in `collect`. `labels`
    is a CSV of what is truly in the images and `probe` what reads it (`module:function`, or a
    file); the bundled portraits need neither. Each file is replaced as a whole or not at all.
    Raises `NothingStored` where the store has no fitting reconstruction, `UsageError` for labels
    or a probe that do not fit, and `NcaError` where a file
    cannot be written.
    """
    report = analysed(collect(store, filters, progress=progress), store)
    report = with_concepts(report, store, labels, probe)
    asked = {"labels": labels, "probe": probe, "assets": assets}
    asked["max-mb"] = None if max_mb == MAX_MB else f"{max_mb:g}"
    options = tuple((name, str(value)) for name, value in asked.items() if value is not None)
    report = replace(report, options=options)
    texts = [(csv, csv_text), (json, json_text)]
    ready = [(Path(file), make(report)) for file, make in texts if file is not None]
    if path is not None:
        ready.append((Path(path), _page(store, report, Path(path), max_mb, assets)))
    for file, text in ready:
        write_result(file, text)
    return report


def _page(
    store: Store, report: Report, path: Path, max_mb: float, assets: str | Path | None
) -> str:
    """The page with as many pictures as it may hold, or with its pictures beside it."""
    if assets is None:
        room = max_mb * MEGABYTE - len(render(report).encode())
        return render(report, gallery(store, report, room))
    folder = Path(assets)
    shown = gallery(store, report)
    for name, content in shown.files.items():
        write_result(folder / name, content)
    home = os.path.relpath(folder.resolve(), path.resolve().parent)
    return render(report, replace(shown, folder=home))


def write_csv(report: Report, path: str | Path) -> None:
    """The tidy table: a row per sample and measure, columns `COLUMNS`."""
    write_result(Path(path), csv_text(report))


def write_json(report: Report, path: str | Path) -> None:
    """Settings, values and curves as strict JSON: NaN is null, what is infinite "inf" or "-inf"."""
    write_result(Path(path), json_text(report))


def csv_text(report: Report) -> str:
    """Floats in full; NaN is an empty cell, the PSNR of equal pictures is `inf`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(cell) for cell in value] for value in _values(report))
    return file.getvalue()


def _values(report: Report) -> tuple[Value, ...]:
    """What was measured, what references reach, then what was read of concepts."""
    read = report.concepts.values if report.concepts else ()
    return (*report.values, *report.reference_values, *read)


def _cell(cell: str | float) -> str:
    """Shortest text that reads back as the same number."""
    return "" if cell != cell else str(cell)


def json_text(report: Report) -> str:
    """See `write_json`."""
    content = {
        "format": "nca-report",
        "version": JSON_VERSION,
        "title": title(report),
        "findings": list(report.findings),
        "headlines": headlines(report),
        "store": report.store,
        "selection": selection(report.filters),
        "models": [asdict(model) for model in report.models],
        "images": [asdict(image) for image in report.images],
        "series": [{"model": series.model, "sampler": series.sampler, "artifact": series.artifact,
                    "recipe": series.recipe} for series in report.series],
        "stamps": report.stamps,
        "curves": [asdict(curve) for curve in (*report.curves, *report.references)],
        "analysis": _analysis(report),
        "concepts": _concepts(report),
        "values": [value._asdict() for value in _values(report)],
        "files": report.files,
        "notes": report.notes,
    }  # fmt: skip
    return json.dumps(_strict(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _analysis(report: Report) -> dict:
    """Everything but what is in the content already."""
    found = report.analysis.as_dict() if report.analysis else {}
    return {key: item for key, item in found.items() if key not in ("curves", "reference_values")}


def _concepts(report: Report) -> dict | None:
    """Curves, half-levels and orders; nothing where no concept is known."""
    found = asdict(report.concepts) if report.concepts else {}
    return {key: item for key, item in found.items() if key != "values"} or None


def _strict(value: object) -> object:
    """The same without floats that JSON has no word for: `None` for NaN, "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(float(value))
