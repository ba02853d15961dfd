"""The program `nca`, and `python -m nca_cli`."""

import signal


def main() -> None:
    """Run the command line.

    Before and after a command, while Python loads and ends, an interrupt just ends the process:
    Python's own handler would print a traceback there. Signals that are ignored stay so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nca_cli.cli import app

    app(prog_name="nca")


if __name__ == "__main__":
    main()
