"""What is done with a trained decoder: calibrate it, decode a recording, bundle it for a rig."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realm.commands.options import ModelOption, SetOption, ThreadsOption, use_threads
from realm.commands.terminal import Bars, figure


def calibrate(
    file: Annotated[Path, typer.Argument(help="An NWB recording of the new session.")],
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the calibrated decoder.")],
    label_s: Annotated[
        float | None, typer.Option(help="Seconds of labels to use.", show_default="all")
    ] = None,
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: ThreadsOption = 1,
) -> None:
    """Adapt a decoder to a session it has not seen."""
    use_threads(threads)
    from realm.calibration import calibrate_decoder

    with Bars() as bars:
        outcome = calibrate_decoder(
            file, model, out, label_s=label_s, overrides=overrides or [], seed=seed,
            progress=bars.progress,
        )  # fmt: skip
    typer.echo(f"{outcome.session_id}: R² on validation {figure(outcome.validation_r2)}")
    typer.echo(f"decoder: {out}")


def decode(
    file: Annotated[Path, typer.Argument(help="An NWB recording.")],
    model: ModelOption,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV to write.", show_default="FILE.decoded.csv")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="Whose adapter to use.", show_default="the file's session")
    ] = None,
    threads: ThreadsOption = 1,
) -> None:
    """Decode a recording bin by bin, as it would run live, into a CSV."""
    use_threads(threads)
    from realm.decoder import Decoder, write_decoded

    out = out or file.with_suffix(".decoded.csv")
    decoder = Decoder.from_pretrained(str(model))
    bins = write_decoded(decoder, file, out, session)
    typer.echo(f"{bins} bins of {decoder.bin_ms:g} ms: {out}")


def bundle(
    model: Annotated[Path, typer.Argument(help="Folder of a saved decoder, or of its run.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")],
    session: Annotated[
        str | None, typer.Option(help="Which session.", show_default="the only one")
    ] = None,
    quorum: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of good channels for an output.")
    ] = 0.5,
) -> None:
    """Put one session's decoder into a folder that decodes without torch."""
    use_threads(1)
    from realm.bundling import bundle_model

    made = bundle_model(model, out, session, quorum)
    size = sum(map(len, made.files.values())) / 1e6
    typer.echo(f"{made.session_id}: {len(made.chain.channel_names)} channels, {size:.1f} MB")
    typer.echo(f"bundle: {out}")
