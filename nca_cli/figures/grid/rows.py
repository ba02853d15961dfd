"""Content and its words as a table: rows in their groups, columns with their headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nca_cli.figures.grid import text
from nca_cli.figures.grid.choices import FIXED
from nca_cli.figures.grid.content import Content, Pair, Strip
from nca_cli.figures.grid.table import Cell, Column, Group, Row, Table
from nca_cli.figures.grid.text import Label
from nca_cli.figures.grid.wording import SYMBOLS, Wording, heading

Arranged = tuple[list[Group], list[Column], list[Label]]
"""Groups of rows, columns after the fixed ones, what the header's lines are."""


def tabulate(content: Content, title: str | None = None, caption: str | None = None) -> Table:
    """The figure as a table; its cells are those of the content's strips, still without pixels."""
    words, kinds = Wording(content), _fixed(content)
    _place_fixed(content, words, kinds)
    fixed = [Column([(SYMBOLS[kind],)], fixed=True) for kind in kinds]
    by_seeds = content.chosen.columns == "seeds" and content.kinds
    arrange = _by_seeds if by_seeds else _by_levels
    groups, columns, names = arrange(content, words, kinds)
    fonts = content.chosen.fonts
    several = len(words.schedules) > 1 and not by_seeds
    return Table(
        fixed + columns, groups, names, several,
        notes=words.notes,
        title=text.words(title, "bold", fonts) if title else (),
        caption=text.words(caption, fonts=fonts) if caption else (),
    )  # fmt: skip


def _fixed(content: Content) -> list[str]:
    """Columns before the levels; the floor only where a model has one."""
    wanted = [kind for kind in FIXED if kind in content.show]
    return [kind for kind in wanted if any(_has(content, pair, kind) for pair in content.pairs)]


def _has(content: Content, pair: Pair, kind: str) -> bool:
    return kind == "x0" or bool(content.space_info(pair).get("autoencoder"))


def _place_fixed(content: Content, words: Wording, kinds: Sequence[str]) -> None:
    """x0 and the floor stand in the first row of an image in its group."""
    seen: set[tuple[str, str, str]] = set()
    for strip in content.strips:
        pair = strip.pair
        key = (str(words.of_row(strip)[0]), pair.space, pair.image)
        if key not in seen:
            strip.fixed = {kind: Cell(kind) for kind in kinds if _has(content, pair, kind)}
        seen.add(key)


def _by_levels(content: Content, words: Wording, kinds: Sequence[str]) -> Arranged:
    """A row per strip, a column per level."""
    groups: dict[str, Group] = {}
    for strip in content.strips:
        outer, own = words.of_row(strip)
        group = groups.setdefault(str(outer), Group(heading(outer), []))
        ts = content.ts(strip.pair.model)
        held = [strip.cells.get(ts[level]) if level in ts else None for level in content.levels]
        cells = [*map(strip.fixed.get, kinds), *held]
        group.rows.append(Row(own, cells))
    columns = [
        Column(words.header(level), level, stage=words.stage_of(level)) for level in content.levels
    ]
    return list(groups.values()), columns, words.header_names


def _by_seeds(content: Content, words: Wording, kinds: Sequence[str]) -> Arranged:
    """A row per strip and level, a column per seed."""
    seeds = sorted({strip.seed for strip in content.strips})
    groups: dict[str, Group] = {}
    for strips in _alike(content.strips):
        outer, own = words.of_row(strips[0])
        group = groups.setdefault(str(outer), Group(heading(outer), []))
        by_seed = {strip.seed: strip.cells for strip in strips}
        for number, (level, t) in enumerate(content.ts(strips[0].pair.model).items()):
            held = strips[0].fixed if number == 0 else {}
            row = [by_seed[seed].get(t) if seed in by_seed else None for seed in seeds]
            cells = [*map(held.get, kinds), *row]
            group.rows.append(Row([*own, *words.of_level(level)], cells))
    columns = [Column([(text.words(f"seed {seed}"), text.words(str(seed)))]) for seed in seeds]
    return list(groups.values()), columns, [text.words("seed")]


def _alike(strips: Iterable[Strip]) -> list[list[Strip]]:
    """Strips that differ in their seed alone, together."""
    found: dict[tuple, list[Strip]] = {}
    for strip in strips:
        key = (strip.kind, strip.pair.model, strip.pair.image, strip.choice)
        found.setdefault(key, []).append(strip)
    return list(found.values())
