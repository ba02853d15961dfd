"""Inputs as an accident or an enemy changes them: bytes, numbers, blocks, values of JSON."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Sequence
from typing import Any

NUMBERS = (
    0,
    1,
    -1,
    127,
    255,
    2**15 - 1,
    2**16 - 1,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**63 - 1,
    -(2**63),
)
WORDS = ("1e400", "-1", "NaN", "999999999999999999999", "null", "[]", "{}", '""', "../../x", "\0",
         "true", "[[[[[[[[", "x" * 5000, "0x7fffffff", "a:b", "é\ud7ff", "1e-320")  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 10**30, 1e308, -1e308, 0.5, float("nan"), float("inf"), "",
    "x", "../..", "x" * 3000, [], {}, [0], [None], [[]], {"a": 1}, [1] * 3000, {"": {}},
)  # fmt: skip


def mutated(content: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """`content` after one to four changes; `others` are contents that parts may come from."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if _is_json(content) and chance.random() < 0.6:
            content = _other_json(content, chance)
        elif _is_text(content) and chance.random() < 0.6:
            content = _other_text(content, chance)
        elif content:
            content = chance.choice(CHANGES)(content, chance, others)
    return content


def _place(content: bytes, chance: random.Random) -> int:
    """Most that decides lies at the start or at the end of a file."""
    near = min(len(content), 64)
    return chance.choice((chance.randrange(len(content)), chance.randrange(near),
                          len(content) - 1 - chance.randrange(near)))  # fmt: skip


def _length(content: bytes, chance: random.Random) -> int:
    return chance.choice((1, 2, 4, 16, 512, 1 + chance.randrange(len(content))))


def _flip(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _each in range(chance.choice((1, 1, 3, 16))):
        changed[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _number(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    at, width = _place(content, chance), chance.choice((1, 2, 4, 8))
    number = chance.choice(NUMBERS) % (1 << 8 * width)
    return _put(content, at, width, number.to_bytes(width, chance.choice(("little", "big"))))


def _zeros(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    length = _length(content, chance)
    return _put(content, _place(content, chance), length, bytes(length))


def _noise(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    length = _length(content, chance)
    return _put(content, _place(content, chance), length, chance.randbytes(length))


def _cut(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    return content[: _place(content, chance)]


def _removed(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    return _put(content, _place(content, chance), _length(content, chance), b"")


def _repeated(content: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    at, length = _place(content, chance), _length(content, chance)
    times = chance.choice((1, 2, 20)) if length < 1000 else 1
    return content[:at] + content[at : at + length] * times + content[at:]


def _spliced(content: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others) if others else content
    return content[: _place(content, chance)] + other[_place(other, chance) if other else 0 :]


CHANGES = (_flip, _flip, _number, _number, _zeros, _noise, _cut, _removed, _repeated, _spliced)


def _put(content: bytes, at: int, length: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + length :]


def _is_text(content: bytes) -> bool:
    head = content[:2000]
    return b"\0" not in head and sum(byte > 127 for byte in head) * 10 <= len(head)


def _is_json(content: bytes) -> bool:
    return content[:1] in (b"{", b"[") and _is_text(content)


def _other_text(content: bytes, chance: random.Random) -> bytes:
    """A number, word or mark becomes another one."""
    tokens = list(re.finditer(rb"[\w.+-]+|\"[^\"]*\"|[^\w\s]", content))
    if not tokens:
        return content
    token, word = chance.choice(tokens), chance.choice(WORDS).encode("utf-8", "surrogatepass")
    return content[: token.start()] + word + content[token.end() :]


def _other_json(content: bytes, chance: random.Random) -> bytes:
    """A value somewhere in it becomes another one, goes, or is nested deeply."""
    try:
        value = json.loads(content)
        changed = _with_another(copy.deepcopy(value), chance)
        return json.dumps(changed).encode()
    except (ValueError, RecursionError, MemoryError):
        return content[: len(content) // 2] + b"[" * 100_000


def _with_another(value: Any, chance: random.Random) -> Any:
    inner = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    if not inner or chance.random() < 0.1:
        return chance.choice(VALUES)
    key = chance.choice(list(inner))
    if chance.random() < 0.1:
        del value[key]
    else:
        value[key] = _with_another(value[key], chance)
    return value
