"""From a store and a request to what is shown: strips of samples. Reads no tensor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from nca_cli.errors import LIST_HINT, NothingStored, UsageError
from nca_cli.figures.grid import stock
from nca_cli.figures.grid.layouts import FIXED
from nca_cli.figures.grid.levels import Columns, LogSnrs
from nca_cli.figures.grid.request import GridRequest
from nca_cli.figures.grid.selection import Selection, Strip, Subject
from nca_cli.figures.grid.stock import Headers
from nca_cli.figures.grid.training import along
from nca_cli.figures.type.fonts import Fonts, drawable
from nca_cli.recipe import IMPORTED, Number, check_axis
from nca_cli.samplers import METHODS
from nca_cli.schedule import Schedule
from nca_cli.store import Artifact, Store
from nca_cli.store.layout import split_folder


def select(store: Store, request: GridRequest) -> Selection:
    """The samples that fit, as strips, in the order of the rows.

    Raises `NothingStored` where nothing fits, `UsageError` for samplers and levels that none of
    the models has.
    """
    filters, headers = request.wanted, Headers()
    check_axis(filters.t or None, request.log_snr or None)
    subjects = stock.subjects(store.require(), filters)
    samplings = stock.samplings(subjects, filters, headers)
    stock.check_recipes(store, filters, subjects)
    spaces = {
        each.model: store.model_info(each.model).get("space", {}) if each.stored else {}
        for each in subjects
    }
    described = {model: space.get("schedule") or {} for model, space in spaces.items()}
    schedules = {model: Schedule.from_description(each) for model, each in described.items()}
    chosen = Selection(store, request, subjects, samplings, spaces, schedules)
    chosen = along(chosen) if request.by_step else chosen
    if request.by_snr:
        chosen = replace(chosen, log_snrs=_log_snrs(chosen, headers))
    imports = (each for each in chosen.subjects if _noiseless(chosen, each, headers))
    chosen = replace(chosen, noiseless=frozenset(imports))
    chosen = replace(chosen, strips=tuple(_strips(chosen, headers)))
    if not chosen.strips:
        raise UsageError("imported reconstructions have no x_t", "use --show x0,x0_hat")
    if request.kinds:
        chosen = replace(chosen, columns=_columns(chosen, headers))
    chosen = replace(chosen, strips=tuple(_cut(chosen, strip, headers) for strip in chosen.strips))
    _check_levels(chosen)
    snr = {} if request.by_snr else {model: _snr(chosen, model, headers) for model in spaces}
    chosen = replace(chosen, snr=snr, problems=tuple(headers.problems))
    return replace(chosen, strips=_begun(chosen))


def _strips(chosen: Selection, headers: Headers) -> Iterator[Strip]:
    """All rows: by image, model and seed; x_t once for models that share it."""
    kinds, noised = chosen.request.kinds, set()
    names = _image_names(chosen.subjects, chosen.request.lenders)
    for subject in chosen.subjects:
        has_noise = "x_t" in kinds and subject.model in chosen.noising(subject.image)
        for seed in _seeds(chosen, subject, headers) if kinds else [0]:
            key = (subject.space, subject.image, seed)
            if (has_noise or not kinds) and key not in noised:
                noised.add(key)
                kind = "x_t" if kinds else ""
                sources = _noises(chosen, subject)
                yield Strip(kind, subject, names[subject.image], None, seed, sources)
            for sampling in chosen.samplings[subject.model]:
                source = subject.recipes.get(sampling.name)
                for kind in kinds:
                    if kind != "x_t":
                        sources = (source,) if source else ()
                        yield Strip(kind, subject, names[subject.image], sampling, seed, sources)


def _noiseless(chosen: Selection, subject: Subject, headers: Headers) -> bool:
    """Whether all that is stored of a subject was imported, x0 aside."""
    known = {each.name: each.recipe for each in chosen.samplings[subject.model]}
    made = [recipe for name in subject.recipes if (recipe := known.get(name))]
    noise = subject.noise and headers.keys(subject.noise)
    return bool(made) and not noise and all(recipe.weights == IMPORTED for recipe in made)


def _noises(chosen: Selection, subject: Subject) -> tuple[Artifact, ...]:
    """Where the x_t of a subject may lie: its own artifact first, then of models that share it."""
    key = (subject.space, subject.image)
    same = [subject, *(each for each in chosen.subjects if (each.space, each.image) == key)]
    return tuple(dict.fromkeys(each.noise for each in same if each.noise))


def _seeds(chosen: Selection, subject: Subject, headers: Headers) -> Collection[int]:
    """Those asked for, else those that are stored."""
    if chosen.filters.seeds:
        return list(dict.fromkeys(chosen.filters.seeds))
    noisy = "x_t" in chosen.request.kinds
    sources = subject.artifacts if noisy else subject.recipes.values()
    stored = [key for source in sources for key in headers.keys(source)]
    asked = {chosen.log_snrs.nearest(subject.model, each) for each in chosen.request.log_snr}
    ts: Collection[Number | None] = asked or chosen.filters.t
    return sorted({seed for t, seed in stored if not ts or t in ts}) or [0]


def _image_names(subjects: Sequence[Subject], fonts: Fonts) -> dict[str, str]:
    """Folder → stem; with digits of the digest where a model has two images of a stem."""
    stems = Counter((each.model, each.stem) for each in subjects)
    twice = {stem for (_, stem), count in stems.items() if count > 1}
    names = {}
    for each in subjects:
        hexes = split_folder(each.image)[1]
        written = any(map(str.isalnum, drawable(each.stem, fonts)))
        shown = each.stem if written else hexes[:8]
        names[each.image] = f"{shown} {hexes[:6]}" if each.stem in twice else shown
    return names


def _begun(chosen: Selection) -> tuple[Strip, ...]:
    """Strips with x0 and the floor before the first one of an image."""
    seen, begun = set(), []
    wanted = [kind for kind in FIXED if kind in chosen.request.shown]
    for strip in chosen.strips:
        key = (strip.subject.space, strip.image)
        latent = bool(chosen.spaces[strip.model].get("autoencoder"))
        fixed = [kind for kind in wanted if key not in seen and (kind == "x0" or latent)]
        begun.append(replace(strip, fixed=tuple(fixed)))
        seen.add(key)
    return tuple(begun)


def _columns(chosen: Selection, headers: Headers) -> Columns:
    """The levels that the layout shows, in its order."""
    request, layout = chosen.request, chosen.request.arrangement
    if request.log_snr:
        found = chosen.log_snrs.asked(request.log_snr)
    else:
        wanted = _wanted_levels(chosen, headers)
        found = chosen.log_snrs.gathered(wanted) if request.by_snr else _by_t(chosen, wanted)
    ascending = layout.noisiest_first == request.by_snr
    return {level: found[level] for level in layout.levels(sorted(found, reverse=not ascending))}


def _wanted_levels(chosen: Selection, headers: Headers) -> dict[str, set[Number]]:
    """Model → levels: those asked for, else those that its rows have. Raises `NothingStored`."""
    found = {model: set(chosen.filters.t) for model in chosen.models}
    if chosen.filters.t:
        return found
    for strip in chosen.strips:
        for source in strip.sources:
            found[strip.model] |= {t for t, seed in headers.keys(source) if seed == strip.seed}
    if not any(found.values()) and not headers.problems:
        raise NothingStored(chosen.nothing)
    return found


def _by_t(chosen: Selection, wanted: dict[str, set[Number]]) -> Columns:
    ts = set().union(*wanted.values())
    return {t: {model: t for model in chosen.models if _holds(chosen, model, t)} for t in ts}


def _holds(chosen: Selection, model: str, t: Number) -> bool:
    """Whether t is a level of a model, as far as its description says which it has."""
    schedule = chosen.schedules[model]
    described = chosen.spaces[model].get("schedule") or {}
    if schedule is None and "trained_betas" in described:  # as many levels, told by a digest
        schedule = Schedule(steps=int(described["steps"]))
    return schedule is None or schedule.holds(t)


def _cut(chosen: Selection, strip: Strip, headers: Headers) -> Strip:
    """A strip with its cells: of the levels that its model has, stored or possible."""
    if not strip.kind:
        return strip
    cells: dict[Number, Artifact | None] = {}
    for t in chosen.ts(strip.model).values():
        key = (t, strip.seed)
        source = next((each for each in strip.sources if key in headers.keys(each)), None)
        if source is not None or _can_be_made(chosen, strip, t):
            cells[t] = source
    return replace(strip, cells=cells)


def _can_be_made(chosen: Selection, strip: Strip, t: Number) -> bool:
    """Few samplers begin at pure noise."""
    sampler = strip.sampling.sampler if strip.sampling else ""
    schedule = chosen.schedules[strip.model]
    anywhere = not sampler or (sampler in METHODS and METHODS[sampler].from_pure_noise)
    return anywhere or schedule is None or schedule.level(t).a > 0


def _check_levels(chosen: Selection) -> None:
    """Raises `UsageError` for a level that none of the models has."""
    if not chosen.request.kinds:
        return
    known = [schedule for schedule in chosen.schedules.values() if schedule]
    for t in chosen.filters.t:
        if not any(t in strip.cells for strip in chosen.strips):
            for schedule in known:
                schedule.check(t)
    for log_snr in chosen.request.log_snr:
        if not chosen.columns.get(log_snr, True):
            for schedule in known:
                schedule.nearest(log_snr)
            raise UsageError(f"no stored level is near log SNR {log_snr:g}", LIST_HINT)


def _log_snrs(chosen: Selection, headers: Headers) -> LogSnrs:
    """Which logSNR levels have, stored or not."""
    stored: dict[str, dict[Number, float]] = {model: {} for model in chosen.models}
    for subject in chosen.subjects:
        for artifact in subject.artifacts:
            levels = headers.log_snr(artifact)
            stored[subject.model].update((t, each) for t, each in levels if not math.isnan(each))
    return LogSnrs(stored, chosen.schedules)


def _snr(chosen: Selection, model: str, headers: Headers) -> dict[Number, float]:
    """t → SNR of the columns: what is stored, else by the schedule."""
    levels, schedule = chosen.levels, chosen.schedules[model]
    known: dict[Number, float] = {}
    with suppress(UsageError, ZeroDivisionError):
        known = {t: schedule.snr(t) for t in levels if schedule and schedule.holds(t)}
    stored: dict[Number, float] = {}
    subjects = [each for each in chosen.subjects if each.model == model]
    for artifact in (artifact for each in subjects for artifact in each.artifacts):
        found = headers.log_snr(artifact)
        stored.update({t: math.exp(value) for t, value in found if t in levels})
        if set(levels) <= set(stored):
            break
    return known | stored
