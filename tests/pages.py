"""The pages that people read: their code blocks, run as they stand, and their links.

A block in `sh` or `python` is run by a test; `shell`, `text` and the like are only shown.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def environment(**more):
    """A shell in which `nca` is this checkout's, whose tables are as wide as the pages."""
    here = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "100",
        **more,
    }


def fenced(page):
    """(language, text) of every code block, in order."""
    return FENCED.findall(page.read_text(encoding="utf-8"))


def blocks(page, language):
    """The code blocks in one language."""
    return [text for name, text in fenced(page) if name == language]


def run_shell(block, folder, **more):
    """Run a block of shell commands; its output and errors as they would stand in a terminal."""
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}"
    return done.stdout


def run_python(block, folder):
    """Run a block of Python; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, env=environment(), text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stderr}"
    return done.stdout


def links(page):
    """(target, anchor) of every link and picture of a page that leads to a file of the project."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path if path else page).resolve(), anchor


def anchors(page):
    """The anchors of a page's headings, as code hosts make them."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
