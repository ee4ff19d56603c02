"""Modules that have moved: the old name still works for one release, with a warning.

`import realm` installs it. This file goes with the release after 0.2.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# The old name of a module, or of a package with all that is in it, and the new one.
MOVED = {
    "realm.benchmark.carry": "realm.benchmark.parts.carry",
    "realm.benchmark.complexity": "realm.methods.complexity",
    "realm.benchmark.labels": "realm.benchmark.parts.labels",
    "realm.benchmark.lookahead": "realm.benchmark.parts.lookahead",
    "realm.benchmark.main": "realm.benchmark.parts.main",
    "realm.benchmark.rows": "realm.benchmark.part",
    "realm.benchmark.search_space": "realm.benchmark.trials",
    "realm.benchmark.shuffled": "realm.benchmark.leaky_data",
    "realm.benchmark.spikes": "realm.benchmark.parts.spikes",
    "realm.benchmark.transfer": "realm.benchmark.parts.transfer",
    "realm.benchmark.tuning_table": "realm.benchmark.trials",
    "realm.benchmark.zero_phase": "realm.benchmark.leaky_data",
    "realm.bundling": "realm.decoder.bundling",
    "realm.calibration": "realm.decoder.calibration",
    "realm.certify.agreement": "realm.certify.check",
    "realm.certify.causality": "realm.certify.exactness",
    "realm.certify.chunking": "realm.certify.exactness",
    "realm.certify.dead_channels": "realm.certify.faults",
    "realm.certify.drawing": "realm.certify.page",
    "realm.certify.integrity": "realm.certify.files",
    "realm.certify.likeness": "realm.certify.signals",
    "realm.certify.machine": "realm.certify.environment",
    "realm.certify.pace": "realm.certify.timing",
    "realm.certify.precision": "realm.certify.trained",
    "realm.certify.process": "realm.certify.environment",
    "realm.certify.recovery": "realm.certify.faults",
    "realm.certify.registry": "realm.certify.certificate",
    "realm.certify.sockets": "realm.certify.network",
    "realm.certify.start": "realm.certify.timing",
    "realm.certify.step_times": "realm.certify.timing",
    "realm.certify.synthetic": "realm.certify.signals",
    "realm.certify.trial": "realm.certify.check",
    "realm.certify.truth": "realm.certify.signals",
    "realm.data.catalog": "realm.recordings.formats.nwb_contents",
    "realm.data.electrodes": "realm.recordings.formats.nwb_electrodes",
    "realm.data.fault": "realm.recordings.fault",
    "realm.data.formats": "realm.recordings",
    "realm.data.formats.arrays_file": "realm.recordings.formats.arrays",
    "realm.data.formats.axona": "realm.recordings.formats.axona",
    "realm.data.formats.bids": "realm.recordings.formats.bids",
    "realm.data.formats.brainvision": "realm.recordings.formats.brainvision",
    "realm.data.formats.edf": "realm.recordings.formats.edf",
    "realm.data.formats.identity": "realm.recordings.recording",
    "realm.data.formats.neo_recording": "realm.recordings.formats.neo",
    "realm.data.formats.open_ephys": "realm.recordings.formats.open_ephys",
    "realm.data.formats.plexon_blocks": "realm.recordings.formats.plexon",
    "realm.data.formats.recognize": "realm.recordings.open",
    "realm.data.formats.series": "realm.recordings.formats.arrays",
    "realm.data.formats.torch_brain_file": "realm.recordings.formats.torch_brain",
    "realm.data.formats.vendors": "realm.recordings.formats.neo",
    "realm.data.formats.volts": "realm.volts",
    "realm.data.hdf": "realm.recordings.hdf",
    "realm.data.nwb": "realm.recordings.formats.nwb",
    "realm.data.nwb_session": "realm.recordings.write",
    "realm.data.nwb_write": "realm.simulation.write",
    "realm.data.recording": "realm.recordings.recording",
    "realm.data.simulate": "realm.simulation.simulate",
    "realm.data.synthesis": "realm.simulation.synthesis",
    "realm.data.timeline": "realm.recordings.grid",
    "realm.datasets.settings": "realm.datasets.dataset",
    "realm.datasets.unpack": "realm.datasets.fetch",
    "realm.demo": "realm.simulation.write",
    "realm.evaluation.config": "realm.methods.registry",
    "realm.evaluation.experiment": "realm.methods.experiment",
    "realm.evaluation.figures": "realm.report.outcome",
    "realm.evaluation.kalman": "realm.methods.kalman",
    "realm.evaluation.kalman_fit": "realm.methods.kalman_fit",
    "realm.evaluation.lags": "realm.methods.lags",
    "realm.evaluation.learning_curves": "realm.report.learning_curves",
    "realm.evaluation.methods": "realm.methods.registry",
    "realm.evaluation.normal_equations": "realm.methods.lags",
    "realm.evaluation.outcome": "realm.report.outcome",
    "realm.evaluation.probes": "realm.methods.probes",
    "realm.evaluation.protocol": "realm.methods.protocol",
    "realm.evaluation.report": "realm.report.write",
    "realm.evaluation.ridge": "realm.methods.ridge",
    "realm.evaluation.session_scores": "realm.report.session_scores",
    "realm.evaluation.state_space": "realm.methods.state_space",
    "realm.evaluation.style": "realm.report.style",
    "realm.evaluation.tables": "realm.report.tables",
    "realm.evaluation.trajectories": "realm.report.trajectories",
    "realm.exporting": "realm.decoder.exporting",
    "realm.live.bins": "realm.live.clock",
    "realm.live.channels": "realm.live.check",
    "realm.live.csv_log": "realm.live.sinks.csv",
    "realm.live.dashboard.latency": "realm.live.dashboard.recent",
    "realm.live.dashboard.rows": "realm.live.dashboard.recent",
    "realm.live.dashboard.sink": "realm.live.dashboard",
    "realm.live.dashboard.viewers": "realm.live.dashboard.server",
    "realm.live.histogram": "realm.live.status",
    "realm.live.log_table": "realm.live.outputs",
    "realm.live.lsl_sink": "realm.live.sinks.lsl",
    "realm.live.lsl_source": "realm.live.sources.lsl",
    "realm.live.outlet": "realm.live.queues",
    "realm.live.parquet_log": "realm.live.sinks.parquet",
    "realm.live.queue": "realm.live.queues",
    "realm.live.recording_file": "realm.live.sources.recording_file",
    "realm.live.replay": "realm.live.sources.replay",
    "realm.live.rows": "realm.live.outputs",
    "realm.live.sink": "realm.live.sinks",
    "realm.live.source": "realm.live.sources",
    "realm.live.specs": "realm.live.registry",
    "realm.live.units": "realm.live.check",
    "realm.live.zmq_address": "realm.live.zmq_format",
    "realm.live.zmq_sink": "realm.live.sinks.zmq",
    "realm.live.zmq_source": "realm.live.sources.zmq",
    "realm.methods.config": "realm.methods.registry",
    "realm.methods.normal_equations": "realm.methods.lags",
    "realm.nn.behavior_head": "realm.nn.session_model",
    "realm.nn.blocks": "realm.nn.compiled.mixer",
    "realm.nn.causal_conv": "realm.nn.mamba2",
    "realm.nn.gated_norm": "realm.nn.norms",
    "realm.nn.gru": "realm.nn.recurrent",
    "realm.nn.lstm": "realm.nn.recurrent",
    "realm.nn.patches": "realm.nn.patch_transformer",
    "realm.nn.rms_norm": "realm.nn.norms",
    "realm.nn.ssd_blocked": "realm.nn.ssd",
    "realm.onnx_step": "realm.decoder.onnx_step",
    "realm.run": "realm.runs.run",
    "realm.signal.coefficients": "realm.signal.storage",
    "realm.signal.engine": "realm.signal.chain",
    "realm.signal.limits": "realm.signal.guard",
    "realm.signal.runs": "realm.signal.guard",
    "realm.signal.transfer": "realm.signal.filters",
    "realm.training.bidirectional": "realm.methods.bidirectional",
    "realm.training.calibrate": "realm.training.distill",
    "realm.training.masked_transformer": "realm.methods.masked_transformer",
    "realm.training.validation": "realm.training.decode",
}


class MovedFinder(MetaPathFinder, Loader):
    """Finds a module under its old name and gives the one that took its place."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A specification for a module that has moved; None for every other."""
        return ModuleSpec(name, self) if new_name(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module under its new name."""
        new = new_name(spec.name)
        assert new is not None
        warnings.warn(
            f"{spec.name} has moved to {new}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        module = importlib.import_module(new)
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own specification back; it was run under its new name."""
        assert module.__spec__ is not None
        module.__spec__ = self._specs.pop(module.__spec__.name)


def new_name(name: str) -> str | None:
    """The new name of a module, None if it has not moved."""
    for old in (name, *(name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1))):
        if old in MOVED:
            return MOVED[old] + name.removeprefix(old)
    return None


def install() -> None:
    """Let old names be found; harmless when done before."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedFinder())  # before the one that finds files below a package
