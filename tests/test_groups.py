"""Groups of options: defined once, seen by Typer one by one, given to a command as one value."""

from dataclasses import FrozenInstanceError, dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from nca_cli.cli.groups import grouped


@dataclass(frozen=True)
class Paper:
    width: Annotated[float | None, typer.Option("--width", envvar="TEST_WIDTH")] = None
    fonts: Annotated[list[str] | None, typer.Option("--font")] = None


def run(*words, **environment):
    """What a command with a group between two options was given."""
    given = {}
    app = typer.Typer()

    @app.command()
    @grouped
    def draw(
        *,
        out: Annotated[str, typer.Option("--out")] = "grid.png",
        width: Paper,
        strict: Annotated[bool, typer.Option("--strict")] = False,
    ) -> None:
        """Draw."""
        given.update(out=out, paper=width, strict=strict)

    result = CliRunner().invoke(app, words, env=environment)
    assert result.exit_code == 0, result.output
    return given, result.output


def test_a_group_is_one_value_with_the_defaults_of_its_class():
    assert run()[0] == {"out": "grid.png", "paper": Paper(), "strict": False}


def test_its_options_are_read_like_any_others():
    given, _ = run("--font", "a", "--strict", "--font", "b", TEST_WIDTH="84")
    assert given == {"out": "grid.png", "paper": Paper(84.0, ["a", "b"]), "strict": True}


def test_its_options_stand_in_its_place_in_the_help():
    help_ = run("--help")[1]
    places = [help_.index(name) for name in ("--out", "--width", "--font", "--strict")]
    assert places == sorted(places)


def test_what_a_command_was_told_does_not_change():
    with pytest.raises(FrozenInstanceError):
        run()[0]["paper"].width = 1.0
