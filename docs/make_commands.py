"""Write docs/commands.md from the program itself: `make docs`; a test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from nca_cli.cli import app

PAGE = Path(__file__).with_name("commands.md")
VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
"""What stands for a value whose option names none."""
HEAD = """\
# Commands

<!-- written by docs/make_commands.py from the program's own help: make docs -->

{contents}

Results go to stdout: paths, one per line, or JSON with `--json`. Progress, notes and errors go to
stderr; progress and colours appear only in a terminal. Lists (`LIST`) are numbers and half-open
ranges, `100,300` or `0:1000:100`; options that take one are repeatable.

| exit code | |
|---|---|
| 0 | done; for `grid`, also with blank cells, unless `--strict` |
| 1 | failed, or done except for inputs that an error names |
| 2 | wrong usage |
| 130 | interrupted by Ctrl-C or SIGTERM; finished results are in the store |

An error is one line that says what is wrong and which command to run next. If it is a bug, run the
command again as `nca --debug COMMAND …` to see the traceback.

Every option has an environment variable, given in its row. The variable applies to all commands
that have the option, and the command line takes precedence. Separate several values of a repeatable
option by spaces; flags take `1` or `0`. Other variables:

| variable | |
|---|---|
| `NCA_CACHE` | folder for digests of weights and converted checkpoints |
| `NCA_MODELS` | short names for models ([own-model.md](own-model.md)); default `models.toml` |
| `HF_HOME`, `HF_HUB_OFFLINE`, … | as for every hub client: where models are kept, no network |
| `NO_COLOR`, `COLUMNS` | no colours; width of tables |
"""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    contents = "\n".join(
        f"- [`nca {name}`](#nca-{name}): {plain(command.help)}"
        for name, command in group.commands.items()
    )
    parts = [HEAD.format(contents=contents), *section("nca", "", group)]
    for name, command in group.commands.items():
        parts += section(f"nca {name}", usage(name, command), command)
    return "\n".join(parts)


def usage(name: str, command: Any) -> str:
    """`nca noise [OPTIONS] [IMAGES]...`"""
    pieces = command.collect_usage_pieces(typer.Context(command, info_name=name))
    return " ".join(["nca", name, *pieces])


def section(title: str, line: str, command: Any) -> Iterator[str]:
    """A heading, what the command does, its arguments and its options."""
    yield f"## `{title}`\n"
    if line:
        yield f"    {line}\n\n{plain(command.help)}\n"
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if arguments:
        yield "| argument | |\n|---|---|"
        yield from (f"| `{each.metavar}` | {plain(each.help)} |" for each in arguments)
        yield ""
    options = [each for each in command.params if each.param_type_name == "option"]
    panels = dict.fromkeys(["", *(each.rich_help_panel or "" for each in options)])
    yield "| option | default | variable | |\n|---|---|---|---|"
    for panel in panels:
        if panel:
            yield f"| **{panel}** | | | |"
        yield from (row(each) for each in options if (each.rich_help_panel or "") == panel)
    yield ""


def row(option: Any) -> str:
    """One option as a row of the table."""
    names = "/".join([*option.opts[:1], *option.secondary_opts])
    short = "".join(f", `{name}`" for name in option.opts[1:])
    written = f"`{names}`{short}{value(option)}"
    variable = f"`{option.envvar}`" if option.envvar else ""
    return f"| {written} | {default(option)} | {variable} | {plain(option.help or '')} |"


def value(option: Any) -> str:
    """What follows the option's name: nothing for a flag."""
    if getattr(option, "is_flag", False):
        return ""
    kind = option.type_descriptor.annotation
    name = option.metavar or VALUES.get(kind, "TEXT")
    return " `" + name.replace("|", "\\|") + "`"


def default(option: Any) -> str:
    """What holds without it: in words, where the program says so in words."""
    if isinstance(option.show_default, str):
        return plain(option.show_default)
    if option.default in (None, False) or not option.show_default:
        return ""
    return f"`{option.default}`"


def plain(text: str) -> str:
    """Help as Markdown that shows it letter by letter."""
    text = " ".join(text.split())
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
