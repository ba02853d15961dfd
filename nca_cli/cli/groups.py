"""Options that belong together, defined once as a frozen dataclass and taken as one value.

    @option_group
    class Output:
        json: Annotated[bool, option("--json")] = False
        quiet: Annotated[bool, option("--quiet", "-q")] = False

    @app.command()
    @grouped
    def pack(*, store: StoreDir = DEFAULT_STORE, output: Output) -> None: ...

Typer sees `--json` and `--quiet` where `output` stands; the function is given an `Output`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter
from typing import Any, TypeVar, dataclass_transform, get_type_hints

Group = TypeVar("Group")


@dataclass_transform(frozen_default=True)
def option_group(group: type[Group]) -> type[Group]:
    """A frozen dataclass without what no group is asked for: methods are made at every start."""
    return dataclass(frozen=True, eq=False, repr=False)(group)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the fields of its dataclasses in their place, for Typer to read.

    Its parameters are keyword-only, so that groups may stand among options with defaults.
    """
    wanted = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        each.name: each.annotation for each in wanted if is_dataclass(each.annotation)
    }
    options = [option for each in wanted for option in _options(each)]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        made = {name: group(**{each.name: values.pop(each.name) for each in fields(group)})
                for name, group in groups.items()}  # fmt: skip
        command(**values, **made)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run


def _options(parameter: Parameter) -> Sequence[Parameter]:
    """The parameter itself, or one for each field of its dataclass."""
    group: Any = parameter.annotation
    return _fields(group) if is_dataclass(group) else [parameter]  # type: ignore[arg-type]


@functools.cache
def _fields(group: Any) -> tuple[Parameter, ...]:
    """Read once, however many commands take the group: it is a good part of a start."""
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        Parameter(
            each.name, Parameter.KEYWORD_ONLY, annotation=hints[each.name],
            default=Parameter.empty if each.default is MISSING else each.default,
        )
        for each in fields(group)
    )  # fmt: skip
