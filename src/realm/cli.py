"""The command line: the list of its commands, and one line for an error."""

from __future__ import annotations

import os
import sys

# Spinning OpenMP threads slow a shared machine many times; this must stand before numpy or torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import typer

from realm.commands import decoders, measure, stages
from realm.commands.terminal import console, plain

app = typer.Typer(
    name="realm",
    help="Causal decoding of behavior from local field potentials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# In the order of `realm --help`. A command loads what it needs when it runs, not here: those for
# the rig must work without torch.
for command in (
    stages.run,
    stages.prepare,
    stages.pretrain,
    stages.distill,
    stages.evaluate,
    decoders.calibrate,
    measure.benchmark,
    decoders.decode,
    decoders.bundle,
    measure.tune,
    measure.paper_protocol,
    stages.simulate,
    stages.demo,
):
    app.command()(command)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    try:
        app()
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("REALM_DEBUG"):
            raise
        console.print(f"[bold red]error:[/] {plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)
