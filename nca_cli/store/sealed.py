"""JSON that carries its own digest: where a letter changed by chance, it is not read as another
number. What was written without a digest, by an earlier nca, is taken as it is.

    {"format": …, "samples": […], "sha256": "<of all bytes before that comma>"}
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_SEAL = re.compile(rb',\s+"sha256": "([^"]*)"\s*\}\s*\Z')


class NotAsWritten(ValueError):
    """A text whose digest is another."""


def sealed(text: str) -> bytes:
    """The text of a JSON object with one more member, its digest: on a line of its own where the
    others have lines."""
    body = text.rstrip().removesuffix("}").rstrip()
    before, after = (",\n  ", "\n}") if "\n" in body else (", ", "}")
    seal = f'"sha256": "{hashlib.sha256(body.encode()).hexdigest()}"'
    return f"{body}{before}{seal}{after}\n".encode()


def unsealed(content: bytes) -> Any:
    """What JSON holds. Raises `NotAsWritten` for another text than was written, and `ValueError`
    for one that is no JSON."""
    seal = _SEAL.search(content, max(0, len(content) - 200))
    if seal and hashlib.sha256(content[: seal.start()]).hexdigest().encode() != seal[1]:
        raise NotAsWritten("is not what was written")
    return json.loads(content)
