"""The report: one HTML page about what a store holds, and its numbers as CSV and JSON.

`data` is what it says, built once; `page` is how that looks, rendered from it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from nca_cli.outputs import Outputs
from nca_cli.report.data import (
    MAX_MB,
    Gallery,
    Progress,
    Report,
    ReportRequest,
    collect,
    csv_text,
    gallery,
    json_text,
    no_progress,
    training_csv_text,
)
from nca_cli.report.page.render import page_of, render
from nca_cli.store import Filters, Store
from nca_cli.store.snapshot import Snapshot

MEGABYTE = 1e6
PATHS = ("csv", "json", "training_csv", "assets", "labels")
"""Settings that are paths."""


def build_report(
    store: Store, path: str | Path | None = "report.html", filters: Filters = Filters(),  # noqa: B008
    *, progress: Progress = no_progress, **settings: Any,
) -> Report:  # fmt: skip
    """Collect a report and write its files, each as a whole or not at all: HTML to `path`.

    `settings` are those of `ReportRequest`: `csv`, `json`, `training_csv`, `max_mb`, `assets`,
    `labels`, `probe`, `train_images`, `batch_size`; files may be text. `progress` is as in
    `collect`. Raises `NothingStored` where the store has no fitting reconstruction, `UsageError`
    for labels or a probe that do not fit and for files that may not be replaced, and `NcaError`
    where a file cannot be written.
    """
    store = Snapshot(store)
    files = {name: Path(settings[name]) for name in PATHS if settings.get(name) is not None}
    request = ReportRequest(filters, None if path is None else Path(path), **settings | files)
    outputs = Outputs(store, tuple(filter(None, (request.labels, _probe_file(request)))))
    named = (request.path, request.csv, request.json, request.training_csv, request.assets)
    for file in filter(None, named):
        outputs.check(file)
    report = collect(store, request, progress)
    texts = ((request.csv, csv_text), (request.json, json_text),
             (request.training_csv, training_csv_text))  # fmt: skip
    ready = [(file, make(report)) for file, make in texts if file is not None]
    if request.path is not None:
        ready.append((request.path, _page(store, report, request.path, outputs)))
    for file, text in ready:
        outputs.check(file, text.encode())
    for file, text in ready:
        outputs.write(file, text)
    return report


def _probe_file(request: ReportRequest) -> Path | None:
    """The file of the probe, where it is one."""
    return Path(request.probe) if request.probe and os.path.isfile(request.probe) else None


def _page(store: Store, report: Report, path: Path, outputs: Outputs) -> str:
    """The page with as many pictures as it may hold, or with its pictures beside it."""
    folder, page = report.request.assets, page_of(report)
    if folder is None:
        room = report.request.max_mb * MEGABYTE - len(page(Gallery()).encode())
        return page(gallery(store, report, room))
    shown = gallery(store, report)
    for name, content in shown.files.items():
        outputs.write(folder / name, content)
    home = os.path.relpath(folder.resolve(), path.resolve().parent)
    return page(replace(shown, folder=home))
