"""A report as CSV and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain

from nca_cli.analysis import Value
from nca_cli.csv_files import as_csv
from nca_cli.report.data.findings import findings, headlines, title
from nca_cli.report.data.report import Report
from nca_cli.report.data.training_rows import TrainingRow, training_rows

COLUMNS = Value._fields
"""Of the CSV; a contract."""
JSON_VERSION = 1


def csv_text(report: Report) -> str:
    """The tidy table: a row per sample and measure, columns `COLUMNS`.

    Floats in full; NaN is an empty cell, the PSNR of equal pictures is `inf`.
    """
    return as_csv(COLUMNS, _values(report))


def training_csv_text(report: Report) -> str:
    """The numbers about trainings, a row each, of the columns of a `TrainingRow`; see there.

    The header alone where the store holds no training.
    """
    rows = training_rows(report.training) if report.training else ()
    return as_csv(TrainingRow._fields, rows)


def _values(report: Report) -> Iterable[Value]:
    """What was measured, what references reach, then what was read of concepts."""
    read = report.concepts.values if report.concepts else ()
    return chain(report.values, report.reference_values, read)


def json_text(report: Report) -> str:
    """Settings, values and curves as strict JSON: NaN is null, what is infinite "inf" or "-inf"."""
    content = {
        "format": "nca-report",
        "version": JSON_VERSION,
        "title": title(report),
        "findings": findings(report),
        "headlines": headlines(report),
        "store": report.store,
        "selection": report.request.selection,
        "models": [asdict(model) for model in report.models],
        "images": [asdict(image) for image in report.images],
        "series": [{"model": series.model, "sampler": series.sampler, "artifact": series.artifact,
                    "recipe": series.recipe} for series in report.series],
        "stamps": report.stamps,
        "curves": [asdict(curve) for curve in (*report.curves, *report.references)],
        "analysis": _without(report.analysis.as_dict(), "curves", "reference_values"),
        "concepts": _without(asdict(report.concepts) if report.concepts else {}, "values") or None,
        "training": report.training.as_dict() if report.training else None,
        "values": [value._asdict() for value in _values(report)],
        "files": report.files,
        "notes": report.notes,
    }  # fmt: skip
    return json.dumps(_strict(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _without(found: dict, *told: str) -> dict:
    """What is not told elsewhere in the file."""
    return {key: item for key, item in found.items() if key not in told}


def _strict(value: object) -> object:
    """The same without floats that JSON has no word for: `None` for NaN, "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(float(value))
