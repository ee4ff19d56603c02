"""The command line: the list of its commands, and one line for an error.

Exit codes: 0 done, 1 a check failed, 2 wrong input, 130 stopped with Ctrl-C. A fault of the
program itself ends with a traceback and 1.
"""

from __future__ import annotations

import os
import sys

# Spinning OpenMP threads slow a shared machine many times; this must stand before numpy or torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import typer

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
from realm.commands.examples import help_text
from realm.commands.terminal import console, plain

app = typer.Typer(
    name="realm",
    help=(
        "Causal decoding of behavior from local field potentials.\n\n"
        "Exit codes: 0 done, 1 a check failed, 2 wrong input, 130 stopped with Ctrl-C."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# In the order of `realm --help`. A command loads what it needs when it runs, not here: those for
# the rig must work without torch.
for command in (
    recordings.inspect,
    stages.run,
    stages.prepare,
    stages.pretrain,
    stages.distill,
    stages.evaluate,
    reports.report,
    reports.compare,
    decoders.calibrate,
    measure.benchmark,
    decoders.decode,
    decoders.bundle,
    decoders.export,
    rig.live,
    certification.certify,
    measure.tune,
    measure.paper_protocol,
    stages.simulate,
    stages.demo,
):
    app.command(help=help_text(command))(command)
app.add_typer(datasets.app)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    try:
        app()
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        own_fault = isinstance(error, ModuleNotFoundError) and str(error.name).startswith("realm")
        if os.environ.get("REALM_DEBUG") or own_fault:
            raise
        console.print(f"[bold red]error:[/] {plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            console.print("stopped: what was finished is kept, nothing is left half-written")
        raise


INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
