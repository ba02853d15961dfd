"""A real browser for the tests of pages: Chromium without a window, its network cut.

Playwright drives the Chromium of the system and downloads none; axe-core, which knows the rules
of accessibility, is put into `.axe` by `.ci/run`.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from nca_cli.analysis import Curve
from nca_cli.metrics.tidy import CodedColumn, TidyTable
from nca_cli.report import Report
from nca_cli.report.data import ReportedImage, ReportedModel, Series

NAMED = (Report, Series, ReportedModel, ReportedImage, Curve, TidyTable, CodedColumn)
"""What names are written in."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
AXE = Path(__file__).parent.parent / ".axe/node_modules/axe-core/axe.min.js"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
    "--no-first-run", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator:
    """A running Chromium with a fresh profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page that is open, and whatever it did that a report must not do."""

    def __init__(self, browser, file: Path, **settings) -> None:
        self.context = browser.new_context(offline=True, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", self._asked)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        if settings.get("java_script_enabled", True):
            self.page.wait_for_selector("html[data-ready]")

    def _said(self, message) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @property
    def asked_for(self) -> list[str]:
        """Every request but for what a `data:` address holds already."""
        return [url for url in self.requests if not url.startswith("data:")]

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression holds (Playwright's own way needs `eval`)."""
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never: {condition}")

    def settle(self) -> None:
        """Wait until what was asked for is painted."""
        twice = "requestAnimationFrame(() => requestAnimationFrame(done))"
        self.page.evaluate(f"new Promise((done) => {twice})")

    def pixels(self, selector: str) -> np.ndarray:
        """What an element looks like on the screen: uint8 (H, W, 3)."""
        return decoded(self.page.locator(selector).first.screenshot())

    def violations(self, within: str = "html") -> list[str]:
        """What axe-core finds, a line for each rule: `color-contrast (serious): <p class=…`."""
        self.page.evaluate(AXE.read_text("utf-8"))
        run = "(within) => axe.run(within, {resultTypes: ['violations']})"
        found = self.page.evaluate(run, within)["violations"]
        return [f"{each['id']} ({each['impact']}): {[node['html'] for node in each['nodes']][:3]}"
                for each in found]  # fmt: skip

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    def close(self) -> None:
        self.context.close()


def decoded(picture: bytes) -> np.ndarray:
    """A PNG or WebP as uint8 (H, W, 3)."""
    with Picture.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


def renamed(report: Report, names: Mapping[str, str]) -> Report:
    """The same report with other names, which may be ones that no folder could have."""
    return _renamed(report, names)


def _renamed(thing, names: Mapping[str, str]):
    if isinstance(thing, str):
        return names.get(thing, thing)
    if isinstance(thing, tuple):
        parts = [_renamed(part, names) for part in thing]
        return type(thing)(*parts) if hasattr(thing, "_fields") else tuple(parts)
    if isinstance(thing, dict):
        return {key: _renamed(value, names) for key, value in thing.items()}
    if isinstance(thing, NAMED):
        fields = [field.name for field in dataclasses.fields(thing)]
        made = {field: _renamed(getattr(thing, field), names) for field in fields}
        return dataclasses.replace(thing, **made)
    return thing


@contextmanager
def pages_of(browser, file: Path) -> Iterator:
    """Opens a report at a fragment; each page must have been silent and asked for nothing else."""
    opened = []

    def open_page(fragment: str = "", **settings) -> Watched:
        size = {"viewport": {"width": 1200, "height": 900}}
        watched = Watched(browser, file, **(size | settings))
        opened.append(watched)
        if fragment:
            watched.page.goto(f"{file.as_uri()}#{fragment}")
            watched.page.reload()
            watched.page.wait_for_selector("html[data-ready]")
        watched.settle()
        return watched

    yield open_page
    for watched in opened:
        watched.close()
        assert watched.faults == []
        assert {url.partition("#")[0] for url in watched.asked_for} == {file.as_uri()}
