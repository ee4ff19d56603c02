"""What to compute from a recording: one frozen, checked description of the signal chain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

Preset = Literal["slow", "multiband", "custom"]
Reference = Literal["none", "common_average"]

SLOW_NAME = "slow"
SLOW_HZ = (0.3, 45.0)
MULTIBAND_HZ: dict[str, tuple[float, float]] = {
    "beta": (12.0, 30.0),
    "low_gamma": (30.0, 60.0),
    "high_gamma": (70.0, 170.0),
}
USABLE_SHARE = 0.45  # of the sampling rate: above it a causal filter has too little room
NARROWEST_HZ = 4.0  # a preset band cut narrower than this by the sampling rate is dropped
LOWEST_HZ = 100.0  # to decimate to


@dataclass(frozen=True)
class SignalConfig:
    """Settings of the causal signal chain; the defaults suit LFP of 250 Hz and more.

    Attributes:
        bin_ms: width of one output bin.
        preset: "slow" (amplitude only), "multiband" (amplitude and log power of beta, low gamma
            and high gamma, as far as the sampling rate allows) or "custom" (amplitude and the log
            power of `bands_hz`).
        slow_hz: band of the slow potential, kept as an amplitude; a lower edge of 0 makes it a
            plain low-pass, None or (0, 0) leaves it out.
        bands_hz: name to (low, high) of log-power bands; only with the preset "custom".
        smoothing_ms: time constant of the one-pole smoothing of power; 0 for none.
        line_hz: mains frequency; a notch is put there and at its harmonics. None for none.
        reference: "common_average" subtracts the mean of the good channels; it needs at least
            four of them and is left out otherwise. "none" keeps the signal as it is.
        limit_scale: a sample further from its channel's centre than this many of its robust
            standard deviations is replaced.
        flat_ms: from this long on, identical samples count as flat and are replaced. 0 never
            calls a signal flat (for counts, where a long zero is ordinary).
        saturated_ms: the same for identical samples more than three robust standard deviations
            from the centre, which an amplifier at its rail gives.
        dead_ms: a channel that was bad for this long in a row is masked.
        recovery_ms: a masked channel is trusted again after this long without a bad sample.
        features: further features by name: each has a `kind` of `realm.signal.features.KINDS` or of
            another package, the band `band_hz` that it looks at, and what its kind takes.
        decimate_to_hz: rate at which the filters run, as nearly as a whole factor allows. None
            decimates recordings above 5 kHz, to 1 kHz or three times the highest band edge; 0
            never decimates.

    Raises:
        ValueError: a value makes no sense; the message says what was expected.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    bin_ms: float = 10.0
    preset: Preset = "multiband"
    slow_hz: tuple[float, float] | None = SLOW_HZ
    bands_hz: dict[str, tuple[float, float]] = field(default_factory=dict)
    smoothing_ms: float = 50.0
    line_hz: float | None = None
    reference: Reference = "common_average"
    limit_scale: float = 20.0
    flat_ms: float = 200.0
    saturated_ms: float = 20.0
    dead_ms: float = 2000.0
    recovery_ms: float = 500.0
    decimate_to_hz: float | None = None
    features: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("preset", self.preset, get_args(Preset))
        _one_of("reference", self.reference, get_args(Reference))
        for name in ("bin_ms", "limit_scale", "saturated_ms", "dead_ms", "recovery_ms"):
            _number(name, getattr(self, name))
        for name in ("smoothing_ms", "flat_ms"):
            _number(name, getattr(self, name), zero=True)
        if self.line_hz is not None:
            _number("line_hz", self.line_hz)
        if self.decimate_to_hz is not None:
            _number("decimate_to_hz", self.decimate_to_hz, zero=True)
            if 0 < self.decimate_to_hz < LOWEST_HZ:
                raise ValueError(
                    f"decimate_to_hz: expected 0 (never) or {LOWEST_HZ:g} Hz and more, got "
                    f"{self.decimate_to_hz!r}; field potentials need it"
                )
        edges: object = self.slow_hz
        if edges in ((0, 0), [0, 0]):  # how a format without a null, as TOML, writes None
            object.__setattr__(self, "slow_hz", None)
        if self.slow_hz is not None:
            object.__setattr__(self, "slow_hz", _band("slow_hz", self.slow_hz, zero=True))
        self._check_bands()
        self._check_features()

    def _check_features(self) -> None:
        if not isinstance(self.features, Mapping):
            raise ValueError(f"features: expected a table for each name, got {self.features!r}")
        taken = {SLOW_NAME, *(MULTIBAND_HZ if self.preset == "multiband" else self.bands_hz)}
        checked = {}
        for name, settings in self.features.items():
            where = f"features.{name}"
            if not isinstance(settings, Mapping) or not isinstance(settings.get("kind"), str):
                raise ValueError(
                    f"{where}: expected kind and band_hz with the settings of that kind, got "
                    f'{settings!r}; write for example {{kind = "band_power", band_hz = [4, 10]}}'
                )
            if name in taken:
                raise ValueError(
                    f"{where}: expected a name that no band has, got {name!r}; choose another"
                )
            band = _band(f"{where}.band_hz", settings.get("band_hz"), zero=True)
            checked[name] = {**settings, "band_hz": band}
            for key, value in settings.items():
                if not _plain(value):
                    raise ValueError(
                        f"{where}.{key}: expected text, a finite number, true, false or a list of "
                        f"them, got {value!r}"
                    )
        object.__setattr__(self, "features", checked)

    def _check_bands(self) -> None:
        if not isinstance(self.bands_hz, Mapping):
            raise ValueError(
                f"bands_hz: expected names with (low, high) in Hz, got {self.bands_hz!r}; "
                'write for example {"theta": (4, 10)}'
            )
        bands = {name: _band(f"bands_hz[{name!r}]", edges) for name, edges in self.bands_hz.items()}
        object.__setattr__(self, "bands_hz", bands)
        if bands and self.preset != "custom":
            raise ValueError(
                f"bands_hz: expected none with preset {self.preset!r}, got {sorted(bands)}; "
                'use preset "custom" for bands of your own'
            )
        if SLOW_NAME in bands:
            raise ValueError(
                f"bands_hz: the name {SLOW_NAME!r} belongs to the slow potential; "
                "choose another name for the power band"
            )
        none = self.slow_hz is None and not bands and not self.features
        if none and self.preset != "multiband":
            raise ValueError(
                f"slow_hz: expected (low, high) in Hz, got None, and preset {self.preset!r} "
                'has no other feature; give slow_hz, features, or bands_hz with preset "custom"'
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SignalConfig:
        """Build a configuration from plain values, as JSON or TOML give them."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"signal configuration: unknown key {', '.join(map(repr, unknown))}; "
                f"valid keys are {', '.join(sorted(known))}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values; `from_dict` gives it back.

        Without features of one's own there is no such key, as in files from before there were any.
        """
        values = asdict(self)
        return (
            values if values["features"] else {k: v for k, v in values.items() if k != "features"}
        )


def highest_hz(config: SignalConfig) -> float:
    """The highest band edge that was asked for."""
    edges = dict(config.bands_hz)
    if config.preset == "multiband":
        edges |= MULTIBAND_HZ
    if config.slow_hz is not None:
        edges[SLOW_NAME] = config.slow_hz
    edges |= {name: settings["band_hz"] for name, settings in config.features.items()}
    return max(high for _, high in edges.values())


def resolve_bands(config: SignalConfig, sampling_rate_hz: float) -> dict[str, tuple[float, float]]:
    """The features a recording of this rate gives: name to (low, high) in Hz, "slow" first.

    Bands of a preset are cut to 0.45 of the sampling rate and dropped when nothing useful is left.

    Raises:
        ValueError: a band the user chose lies above 0.45 of the rate; usable ones are listed.
    """
    top = USABLE_SHARE * sampling_rate_hz
    chosen: dict[str, tuple[float, float]] = {}
    preset: dict[str, tuple[float, float]] = {}
    if config.slow_hz is not None:
        (preset if config.slow_hz == SLOW_HZ else chosen)[SLOW_NAME] = config.slow_hz
    if config.preset == "multiband":
        preset.update(MULTIBAND_HZ)
    chosen.update(config.bands_hz)
    chosen.update({name: settings["band_hz"] for name, settings in config.features.items()})
    cut = {
        name: (low, min(high, top))
        for name, (low, high) in preset.items()
        if min(high, top) - low >= NARROWEST_HZ
    }
    refused = {name: band for name, band in chosen.items() if band[1] > top}
    if refused or not (cut or chosen):
        usable = {n: b for n, b in {**cut, **chosen}.items() if n not in refused}
        raise ValueError(
            f"bands: expected them below {top:g} Hz (0.45 of the sampling rate, "
            f"{sampling_rate_hz:g} Hz), got {_listed(refused) or 'none that fits'}; usable are "
            f"{_listed(usable) or 'none of those asked for'}. Lower the upper edge or drop the band"
        )
    both = {**cut, **chosen}
    return {name: both[name] for name in sorted(both, key=lambda name: name != SLOW_NAME)}


def _listed(bands: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} ({low:g} to {high:g} Hz)" for name, (low, high) in bands.items())


def _plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(each) for each in value)
    number = isinstance(value, int | float) and math.isfinite(value)
    return number or isinstance(value, str)


def _one_of(name: str, value: object, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, valid))}, got {value!r}")


def _number(name: str, value: object, *, zero: bool = False) -> None:
    wanted = "a number of zero or more" if zero else "a number above zero"
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not ok or value < 0 or (value == 0 and not zero):  # type: ignore[operator]
        raise ValueError(f"{name}: expected {wanted}, got {value!r}; correct the configuration")


def _band(name: str, edges: object, *, zero: bool = False) -> tuple[float, float]:
    if not isinstance(edges, (tuple, list)) or len(edges) != 2:
        raise ValueError(f"{name}: expected (low, high) in Hz, got {edges!r}; give two numbers")
    _number(f"{name} low edge", edges[0], zero=zero)
    _number(f"{name} high edge", edges[1])
    if not edges[0] < edges[1]:
        raise ValueError(f"{name}: expected low < high, got {edges!r}; swap or correct the edges")
    return float(edges[0]), float(edges[1])
