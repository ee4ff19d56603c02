"""A bundle: everything a rig needs to decode one session, and nothing that can run code.

    bundle = Bundle.load(folder)         # verified: hashes, sizes, shapes, finite numbers
    decoder = StreamingDecoder(bundle)

On disk it is one folder (see `folder.py`): `bundle.json` for people and programs, and two
safetensors files, one with the signal chain's coefficients and statistics, one with the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from realm.signal import SignalChain
from realm.streaming.encoders import MAMBA2, sizes_of
from realm.streaming.folder import MANIFEST, Arrays, Content, read_folder, render, write_folder
from realm.streaming.reference import NAME as OUTPUTS
from realm.streaming.reference import Reference, read_reference
from realm.streaming.strict import entries, number, numbers, text, texts, whole
from realm.streaming.weights import Sizes, Weights, check_weights

FILTERS = "filter/"  # prefix of the coefficients among the arrays of the signal chain
MOST_CHANNELS = 10_000
MOST_DIMS = 1_000
MOST_BANDS = 64
LONGEST_LOOKAHEAD = 10_000  # bins
LONGEST_MS = 3.6e6
LARGEST_NEUTRAL = 1e30  # a float32, whatever is computed with it
# What a field of the chain's settings may be, so that building it takes little time and memory.
RANGES = {
    "bin_ms": (0.1, 60_000.0),
    "line_hz": (10.0, 1_000.0),
    "sampling_rate_hz": (1.0, 2e5),
    "smoothing_ms": (0.0, 60_000.0),
    "limit_scale": (1e-3, 1e6),
    "flat_ms": (0.0, LONGEST_MS),
    "saturated_ms": (1e-3, LONGEST_MS),
    "dead_ms": (1e-3, LONGEST_MS),
    "recovery_ms": (1e-3, LONGEST_MS),
    "decimate_to_hz": (0.0, 2e5),
}


@dataclass(frozen=True, eq=False)
class Bundle:
    """One session's decoder as it is deployed.

    Attributes:
        session_id, subject: whose electrodes it decodes.
        chain: raw samples in volts to normalized features; knows channel names, rate and bin.
        sizes, weights: the student, the session's adapter folded into one matrix; `sizes.kind` is
            its encoder's kind.
        lookahead_bins: future bins that an output waits for.
        behavior_names, behavior_unit: of the decoded dimensions.
        target: what of the behavior is decoded: as_stored, velocity or speed.
        neutral: the output, in units, where there is too little signal to decode.
        quorum: the least share of usable channels that must be good for an output.
        versions, provenance: what made it, for people.
        reference: what the trained decoder gave on a stated signal; None in bundles of earlier
            versions.

    Raises:
        ValueError: the parts do not fit together.
    """

    session_id: str
    subject: str
    chain: SignalChain
    sizes: Sizes
    weights: Weights
    lookahead_bins: int
    behavior_names: tuple[str, ...]
    behavior_unit: str
    target: str
    neutral: tuple[float, ...]
    quorum: float = 0.5
    versions: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference | None = None

    def __post_init__(self) -> None:
        check_weights(self.weights, self.sizes)
        features = self.chain.n_channels * self.chain.n_bands
        dims = len(self.behavior_names)
        if (features, dims) != (self.sizes.features, self.sizes.behavior):
            raise ValueError(
                f"bundle: expected a student of {features} features and {dims} dims of behavior, "
                f"got {self.sizes.features} and {self.sizes.behavior}; bundle chain and student of "
                "one session"
            )
        if self.chain.normalization is None or not (self.chain.limits.scale > 0).all():
            raise ValueError(
                "bundle: expected a signal chain that was fitted to its session, this one was not; "
                "bundle a trained decoder"
            )
        moderate = (np.abs(self.neutral) <= LARGEST_NEUTRAL).all()  # False for NaN
        if len(self.neutral) != dims or not moderate:
            raise ValueError(
                f"bundle: expected {dims} moderate neutral values, one for each dim, got "
                f"{list(self.neutral)}; correct them"
            )

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files of the bundle, by name."""
        return render(self._content())

    @property
    def sha256(self) -> str:
        """Hash of the manifest, which holds the hashes of the rest: the bundle's identity."""
        return hashlib.sha256(self.files[MANIFEST]).hexdigest()

    def save(self, folder: Path | str) -> None:
        """Write the bundle; one that is there is replaced in one instant.

        Raises:
            ValueError: the folder holds something else.
            OSError: the folder cannot be written, or the disk is full.
        """
        _assembled(self._content())  # what is written can be loaded
        write_folder(folder, self.files)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a bundle and verify all of it.

        Raises:
            ValueError: it is damaged, incomplete, hostile or of another schema; the message names
                the file, what was expected, what arrived and what to do.
        """
        content = read_folder(folder)
        try:
            return cls(**_assembled(content))
        except ValueError as error:
            raise ValueError(f"{Path(folder) / MANIFEST}: {error}") from error
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            raise ValueError(
                f"{Path(folder) / MANIFEST}: expected the values of a bundle, but they cannot be "
                f"used ({error!r}); make the bundle again"
            ) from error

    def _content(self) -> Content:
        settings, arrays = self.chain.save_state()
        kind = {} if self.sizes.kind == MAMBA2 else {"kind": self.sizes.kind}
        facts = {
            "session": {"session_id": self.session_id, "subject": self.subject},
            "channels": {
                "names": list(self.chain.channel_names),
                "unit": "V",
                "sampling_rate_hz": self.chain.sampling_rate_hz,
            },
            "bins": {"bin_ms": self.chain.bin_ms, "lookahead_bins": self.lookahead_bins},
            "behavior": {
                "names": list(self.behavior_names),
                "unit": self.behavior_unit,
                "target": self.target,
                "neutral": [float(value) for value in self.neutral],
            },
            "quorum": float(self.quorum),
            "student": kind | self.sizes.settings,
            "signal": settings,
            "versions": dict(self.versions),
            "provenance": dict(self.provenance),
        }
        told = self.reference
        facts |= {} if told is None else {"reference": told.facts}
        filters = {FILTERS + name: array for name, array in self.chain.coefficients().items()}
        outputs = None if told is None else {OUTPUTS: told.outputs}
        return Content(facts, arrays | filters, dict(self.weights), outputs)


def _assembled(content: Content) -> dict[str, Any]:
    """The fields of a bundle from verified files; every value is checked."""
    facts = entries(
        content.facts,
        "manifest",
        "session",
        "channels",
        "bins",
        "behavior",
        "quorum",
        "student",
        "signal",
        "versions",
        "provenance",
        *(["reference"] if content.reference is not None else []),
    )
    session = entries(facts["session"], "session", "session_id", "subject")
    behavior = entries(facts["behavior"], "behavior", "names", "unit", "target", "neutral")
    bins = entries(facts["bins"], "bins", "bin_ms", "lookahead_bins")
    names = texts(behavior["names"], "behavior.names", MOST_DIMS)
    chain = _chain(facts, content.signal)
    if bins["bin_ms"] != chain.bin_ms:
        raise ValueError(
            f"bins: expected bin_ms {chain.bin_ms:g}, got {bins['bin_ms']!r}; bundle it again"
        )
    versions, provenance = facts["versions"], facts["provenance"]
    if not isinstance(versions, dict) or not isinstance(provenance, dict):
        raise ValueError("versions, provenance: expected objects; make the bundle again")
    return {
        "session_id": text(session["session_id"], "session.session_id"),
        "subject": text(session["subject"], "session.subject"),
        "chain": chain,
        "sizes": _sizes(facts["student"], chain.n_channels * chain.n_bands, len(names)),
        "weights": content.student,
        "lookahead_bins": whole(bins["lookahead_bins"], "lookahead_bins", 0, LONGEST_LOOKAHEAD),
        "behavior_names": names,
        "behavior_unit": text(behavior["unit"], "behavior.unit"),
        "target": text(behavior["target"], "behavior.target"),
        "neutral": numbers(behavior["neutral"], "behavior.neutral", len(names)),
        "quorum": number(facts["quorum"], "quorum", 0.0, 1.0),
        "versions": {k: text(v, f"versions.{k}") for k, v in versions.items()},
        "provenance": provenance,
        "reference": _reference(facts, content, len(names)),
    }


def _reference(facts: dict[str, Any], content: Content, dims: int) -> Reference | None:
    arrays = content.reference
    return None if arrays is None else read_reference(facts["reference"], arrays, dims)


def _sizes(facts: object, features: int, behavior: int) -> Sizes:
    """The sizes of a student; without a kind, its encoder is a Mamba-2."""
    named = isinstance(facts, dict) and "kind" in facts
    kind = text(facts["kind"], "student.kind") if named else MAMBA2  # type: ignore[index]
    sizes = sizes_of(kind)
    settings = dict(entries(facts, "student", *["kind"] * named, *sizes.setting_names()))
    settings.pop("kind", None)
    return sizes(features, behavior, **settings)


def _chain(facts: dict[str, Any], arrays: Arrays) -> SignalChain:
    channels = entries(facts["channels"], "channels", "names", "unit", "sampling_rate_hz")
    names = texts(channels["names"], "channels.names", MOST_CHANNELS)
    settings = facts["signal"]
    told = (list(names), "V", channels["sampling_rate_hz"])
    if told != (settings["channel_names"], channels["unit"], settings["sampling_rate_hz"]):
        raise ValueError(
            "channels: expected names, rate and unit V as in the signal chain, got others; "
            "make the bundle again"
        )
    config = settings["config"]
    for name, (low, high) in RANGES.items():
        value = channels.get(name, config.get(name))
        if not (name in ("line_hz", "decimate_to_hz") and value is None):
            number(value, name, low, high)
    count = len(config["bands_hz"]) + len(config.get("features", ()))
    if count > MOST_BANDS:
        raise ValueError(
            f"bands_hz, features: expected at most {MOST_BANDS}, got {count}; make the bundle again"
        )
    filters = {k.removeprefix(FILTERS): a for k, a in arrays.items() if k.startswith(FILTERS)}
    rest = {name: array for name, array in arrays.items() if not name.startswith(FILTERS)}
    return SignalChain.load_state(settings, rest).with_coefficients(filters)
