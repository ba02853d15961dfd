"""The Typer app: global options, and the one place where errors become text and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from nca_cli import __version__
from nca_cli.errors import NcaError

if TYPE_CHECKING:
    from typer._click import Context  # as TyperGroup declares it; typer.Context is a subclass


class Group(TyperGroup):
    """Commands in the order of the work, and errors as one line with the next step."""

    def _invoked(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if _interrupted(error):
                raise KeyboardInterrupt from error
            raise

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Options before the command; without any words at all, the help."""
        bare = not args  # before they are taken from the list
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if bare:
                raise
            _one_line(error)
            raise typer.Exit(error.exit_code) from error

    def invoke(self, ctx: Context) -> Any:
        """Run the command; `NcaError` → one line, interrupts → 130, bugs → traceback on request."""
        try:
            return self._invoked(ctx)
        except typer.TyperException as error:
            _one_line(error)
            raise typer.Exit(error.exit_code) from error
        except NcaError as error:
            if ctx.params.get("debug"):
                raise
            from nca_cli.cli.console import complain

            complain(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            from nca_cli.cli.console import note

            note("interrupted; what was finished is in the store, the same command goes on")
            raise typer.Exit(130) from error
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            from nca_cli.cli.console import complain

            text = " ".join(str(error).split()) or type(error).__name__
            complain(
                NcaError(
                    f"unexpected {type(error).__name__}: {text}",
                    "see the traceback: nca --debug, then the same command",
                )
            )
            raise typer.Exit(1) from error


def _one_line(error: typer.TyperException) -> None:
    """What the parser has to say, in the form of all other errors."""
    from nca_cli.cli.console import complain

    context = getattr(error, "ctx", None)
    help_ = f"see: {context.command_path if context else 'nca'} --help"
    complain(NcaError(error.format_message().rstrip("."), help_))


def _interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt stands behind an error: a library that it hit may raise its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


app = typer.Typer(
    cls=Group,
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


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="NCA_DEBUG", show_envvar=False, help="Show tracebacks."),
    ] = False,
) -> None:
    """Options before the command."""
