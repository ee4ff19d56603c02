"""The command line: the list of its commands, and one line for an error.

Exit codes: 0 done, 1 a check failed, 2 wrong input, 70 a fault of the program itself, which ends
with a traceback, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, NoReturn

# Spinning OpenMP threads slow a shared machine many times; this must stand before numpy or torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import typer

from realm import __version__
from realm.commands import (
    certification,
    datasets,
    decoders,
    measure,
    recordings,
    reports,
    rig,
    stages,
)
from realm.commands.help import Command, Group, help_text
from realm.commands.terminal import console, plain
from realm.systems import show_any_text

# Both in the order of `realm --help`. A command loads what it needs when it runs, not here: those
# for the rig must work without torch.
COMMANDS = {
    "Recordings": (recordings.inspect, stages.simulate, datasets.app),
    "Train and decode": (
        stages.demo,
        stages.run,
        decoders.calibrate,
        decoders.decode,
        decoders.import_published,
    ),
    "Results": (
        reports.report,
        reports.compare,
        measure.benchmark,
        measure.tune,
        measure.paper_protocol,
    ),
    "On the rig": (decoders.bundle, decoders.export, rig.live, certification.certify),
}

app = typer.Typer(
    name="realm",
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"realm {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Causal decoding of behavior from local field potentials.

    Type `realm COMMAND --help` for the options and examples of a command.

    Exit codes: 0 done, 1 check failed, 2 wrong input, 70 own fault, 130 Ctrl-C.
    """


for panel, commands in COMMANDS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=panel)
        else:
            app.command(cls=Command, help=help_text(command), rich_help_panel=panel)(command)
for former in stages.FORMER:
    app.command(former.__name__, cls=Command, hidden=True)(former)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    show_any_text()
    try:
        app()
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        if os.environ.get("REALM_DEBUG"):
            raise
        if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("realm"):
            _own_fault()
        console.print(f"[bold red]error:[/] {plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            console.print("stopped: finished work is kept; no file is half-written")
        raise
    except Exception:
        _own_fault()


def _own_fault() -> NoReturn:
    """Say that the program is at fault, not its input; 1 would say that a check failed."""
    traceback.print_exc()
    console.print("error: this is a fault of the program; please report what stands above")
    sys.exit(OWN_FAULT)


OWN_FAULT = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
