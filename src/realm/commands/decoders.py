"""`realm calibrate`, `decode`, `import-published`, `bundle` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realm.commands.options import (
    JsonOption,
    ModelOption,
    SetOption,
    ThreadsOption,
    use_threads,
)
from realm.commands.terminal import Bars, answer, answering, figure, working


def calibrate(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A recording of the new session, in any format."),
    ],
    model: ModelOption,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder for the calibrated decoder.")
    ],
    label_s: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds of labels (known behavior) to use, from the start; 0 for none.",
            show_default="all",
        ),
    ] = None,
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all random numbers.")] = 0,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Adapt a decoder to a new session with few labels.

    Examples:
      realm calibrate day8.nwb --model runs/my_task/seed0/model --out runs/day8
      realm calibrate day8.nwb --model runs/a/seed0/model --out d8 --label-s 60
    """
    with answering(as_json):
        use_threads(threads)
        from realm.decoder.calibration import calibrate_decoder

        with Bars() as bars:
            outcome = calibrate_decoder(
                file,
                model,
                out,
                label_s=label_s,
                overrides=overrides or [],
                seed=seed,
                progress=bars.progress,
            )
    values = outcome._asdict() | {"model": out, "label_s": "all" if label_s is None else label_s}
    said = f"{outcome.session_id}: R² on validation {figure(outcome.validation_r2)}"
    chosen = f"readout: {outcome.readout}; {outcome.reason}"
    answer(as_json, values, [said, chosen, f"decoder: {out}"])


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, in any format.")],
    model: ModelOption,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="CSV file to write.",
            show_default="FILE.decoded.csv",
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Session of the decoder whose weights are used.",
            show_default="that of the recording",
        ),
    ] = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Decode a recording, bin by bin as in a live stream, into a CSV file.

    Examples:
      realm decode day7.nwb --model runs/my_task/seed0/model --out day7.csv
    """
    out = out or file.with_suffix(".decoded.csv")
    with answering(as_json), working(f"decoding {file}"):
        use_threads(threads)
        from realm.decoder.decoder import Decoder, write_decoded

        decoder = Decoder.from_pretrained(str(model))
        bins = write_decoded(decoder, file, out, session)
    values = {
        "file": file,
        "out": out,
        "bins": bins,
        "bin_ms": decoder.bin_ms,
        "behavior": decoder.behavior_names_,
        "unit": decoder.behavior_unit_,
    }
    answer(as_json, values, [f"{bins} bins of {decoder.bin_ms:g} ms: {out}"])


def import_published(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A released checkpoint, a file of torch.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the decoder.")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a decoder of the released weights of the published system.

    Nothing in the file is run, and every name and shape in it is checked. The decoder has no
    session yet: calibrate it to one. --set takes keys of the section signal.

    Examples:
      realm import-published realm_makin.pt --out models/published
      realm import-published realm_makin.pt --out eu --set signal.line_hz=50
    """
    with answering(as_json), working(f"importing {file}"):
        use_threads(1)
        from realm.decoder.published import import_published as read

        made = read(file, out, overrides or [])
    said = f"{made.parameters:,} parameters, {made.layers} layers, up to {made.channels} channels"
    answer(as_json, made._asdict(), [said, f"decoder: {out} (no session yet: realm calibrate)"])


def bundle(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder of a saved decoder, or of its run.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the bundle.")],
    session: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Session to decode on the rig.", show_default="the only one"
        ),
    ] = None,
    quorum: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="With a smaller share of good channels (0 to 1), the output is neutral.",
        ),
    ] = 0.5,
    onnx: Annotated[
        bool,
        typer.Option("--onnx", help="Also write one step of the student as FOLDER.onnx."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a folder that decodes one session on a rig, without torch.

    The ONNX graph holds the student alone: features of one bin and state in, behavior and state
    out. The signal chain, which makes the features, is in the bundle, not in the graph.

    Examples:
      realm bundle runs/my_task/seed0/model --session day7 --out bundles/day7
      realm bundle runs/my_task --session day7 --out bundles/day7 --onnx
    """
    graph = out.with_name(out.name + ".onnx")
    with answering(as_json), working(f"bundling {model}"):
        use_threads(1)
        from realm.decoder.bundling import bundle_model
        from realm.decoder.onnx_step import onnx_libraries, write_step

        if onnx:
            onnx_libraries()  # a missing one is said before anything is written
        made = bundle_model(model, out, session, quorum)
        checked = write_step(made, graph) if onnx else None
    size, channels = sum(map(len, made.files.values())), len(made.chain.channel_names)
    values = {"bundle": out, "session_id": made.session_id, "channels": channels, "bytes": size}
    lines = [f"{made.session_id}: {channels} channels, {size / 1e6:.1f} MB", f"bundle: {out}"]
    if checked is not None:
        values |= {"onnx": graph, "onnx_check": checked._asdict()}
        lines += [
            f"onnx: {graph} (the signal chain is not in it)",
            f"onnx check: {checked.bins} random bins, largest error {checked.behavior_error:.1e} "
            f"of the behavior's deviation, {checked.state_error:.1e} of the state",
        ]
    answer(as_json, values, lines)


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, in any format.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="File to write.", show_default="FILE.safetensors"
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="FOLDER",
            help="Bundle, decoder or run; the true behavior is stored as this one decodes it.",
            show_default="none",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="RECIPE", help="A recipe, instead of --model.", show_default="none"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a recording into a file that a rig can replay.

    With --model or --recipe the file also holds the true behavior, so that a replay can show it
    beside the decoded one.

    Examples:
      realm export recordings/day7.nwb --model bundles/day7 --out day7.safetensors
      realm live bundles/day7 --source replay:day7.safetensors --sink dashboard
    """
    out = out or file.with_suffix(".safetensors")
    with answering(as_json), working(f"exporting {file}"):
        from realm.decoder.exporting import choose_recipe, export_recording

        made = export_recording(file, out, choose_recipe(model, recipe))
    known = "no behavior"
    if made.behavior_names:
        known = f"{', '.join(made.behavior_names)} known in {made.known_share:.1%} of the bins"
    said = f"{made.session_id}: {made.n_samples} samples of {made.n_channels} channels, {known}"
    answer(as_json, made._asdict() | {"out": out}, [said, f"recording: {out}"])
