"""The Typer app: global options, and the one place where errors become text and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nca_cli import __version__
from nca_cli.cli.console import Output, complain
from nca_cli.cli.interrupt import ignore_interrupts, interrupted, interruptible
from nca_cli.cli.options import CHECKED, QUIET, option
from nca_cli.cli.streams import spoken
from nca_cli.errors import NcaError

if TYPE_CHECKING:
    # as TyperGroup declares them; typer.Context is a subclass
    from typer._click import Context, Parameter


class Commands(TyperGroup):
    """Commands in the order of the work, and errors as one line with the next step."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As Typer's, with streams that take whatever is written."""
        try:
            with spoken():
                return super().main(*args, **kwargs)
        except NcaError as error:
            complain(error)
            sys.exit(error.exit_code)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Options before the command; without any words at all, the help."""
        bare = not args  # before they are taken from the list
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if bare:
                raise
            if not self._misplaced(error, ctx):
                _one_line(error)
            raise typer.Exit(error.exit_code) from error

    def _misplaced(self, error: typer.TyperException, ctx: Context) -> bool:
        """Say so where an option of a command comes before its name; whether that is so."""
        name = getattr(error, "option_name", None)
        owners = [
            owner for owner, command in self.commands.items()
            if any(name in param.opts for param in command.get_params(ctx))
        ]  # fmt: skip
        if not owners:
            return False
        what = f"{name} comes after the name of the command"
        complain(NcaError(what, f"nca {owners[0]} {name} …"))
        return True

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Its own options. A flag takes no value, so no help names one, nor that of a command."""
        own = super().get_params(ctx)
        for param in chain(own, *(command.get_params(ctx) for command in self.commands.values())):
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return own

    def invoke(self, ctx: Context) -> Any:
        """Run the command; `NcaError` → one line, interrupts → 130, bugs → traceback on request."""
        with interruptible():
            try:
                return super().invoke(ctx)
            except typer.Exit as end:
                if end.exit_code and interrupted():
                    raise typer.Exit(_stopped(ctx)) from end
                raise
            except (typer.Abort, BrokenPipeError):
                raise
            except typer.TyperException as error:
                _one_line(error, ctx.invoked_subcommand)
                raise typer.Exit(error.exit_code) from error
            except (Exception, KeyboardInterrupt) as error:
                stopped = interrupted() or isinstance(error, KeyboardInterrupt)
                if ctx.params.get("debug") and not stopped:
                    raise
                raise typer.Exit(_stopped(ctx) if stopped else _failed(error)) from error


def _stopped(ctx: Context) -> int:
    """Tell people that what they stopped is not lost; the exit code."""
    ignore_interrupts()
    output = Output(quiet=ctx.meta.get(QUIET, False))
    output.note("interrupted; finished samples are stored, and the same command continues")
    return 130


def _failed(error: BaseException) -> int:
    """Tell people about the error that ended a command; its exit code."""
    if isinstance(error, NcaError):
        complain(error)
        return error.exit_code
    if isinstance(error, MemoryError):
        complain(NcaError("not enough memory", "use a smaller --batch or fewer images at a time"))
        return 1
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which need not be loaded to know it
        complain(NcaError("not enough memory on the device",
                          "use --dtype float16, a smaller --batch or --device cpu"))  # fmt: skip
        return 1
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        complain(NcaError(f"{os.fspath(error.filename)}: {error.strerror}"))
        return 1
    text = " ".join(str(error).split()) or type(error).__name__
    hint = "see the traceback: nca --debug, then the same command"
    complain(NcaError(f"unexpected {type(error).__name__}: {text}", hint))
    return 1


def _one_line(error: typer.TyperException, command: str | None = None) -> None:
    """What the parser has to say, in the form of all other errors."""
    context = getattr(error, "ctx", None)
    if context and (swallowed := _option_as_value(context)):
        complain(NcaError(*swallowed))
        return
    path = context.command_path if context else " ".join(filter(None, ("nca", command)))
    help_ = f"see: {path} --help"
    message = _plain(error.format_message().rstrip("."))
    extra = re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    complain(NcaError(f"unexpected argument: {extra[1]}" if extra else message, help_))


BOUNDS = {
    r"greater than or equal to (.+)": r"must be at least \1",
    r"less than or equal to (.+)": r"must be at most \1",
    r"a valid integer.*": "must be a whole number",
    r"a valid number.*": "must be a number",
}
"""What the parser wishes of a value, and how it is said."""


def _plain(message: str) -> str:
    """`--limit must be at least 1`, of what the parser says in words of its own."""
    wrong = re.fullmatch(r"Invalid value for '(.+)': Input should be (.+)", message)
    for wish, said in BOUNDS.items() if wrong else ():
        if wrong and (found := re.fullmatch(wish, wrong[2])):
            return f"{wrong[1]} {found.expand(said)}"
    return message


def _option_as_value(context: Context) -> tuple[str, str] | None:
    """What is wrong, and what to do, where an option has the next one for its value: only then is
    there a word too many. `nca plot --half-levels -o half.pdf`"""
    params = context.command.params
    options = {name for param in params for name in param.opts}
    for param in params:
        value = context.params.get(param.name or "")
        if param.param_type_name == "option" and value is not None and str(value) in options:
            what = param.metavar or "VALUE"
            return (
                f"{param.opts[0]} has no value: {value} is an option",
                f"give {param.opts[0]} {what}",
            )
    return None


app = typer.Typer(
    cls=Commands,
    name="nca",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""What does a diffusion model know at each noise level?

    Noise images to chosen levels, reconstruct them with any model and sampler, and keep \
every tensor in an HDF5 store, so that nothing is computed twice and figures are recombined \
freely.

    Start with: [bold]nca demo[/bold]""",
    epilog="Every option has an environment variable: NCA_STORE for --store, and so on.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nca {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
]


@app.callback()
def main(
    version: Version = False,
    debug: Annotated[bool, option("--debug", help="Show tracebacks.")] = False,
    no_check: Annotated[
        bool,
        option("--no-check", help="Read stored files without checking first that they are intact."),
    ] = False,
) -> None:
    """Options before the command."""
    CHECKED.set(not no_check)
    # torch's threads that wait leave their core to others: alone as fast, on a busy machine twice
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
