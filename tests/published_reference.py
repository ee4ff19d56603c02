"""The published encoder once more, by another way: every output as a sum over all earlier instants.

Written from its description, over arrays named as in the released checkpoints, in float64, with
absolute positions and quadratic in time. Nothing here comes from `realm`.
"""

from __future__ import annotations

import math

import numpy as np
import torch

SMALL = {
    "n_channels": 7,
    "n_bands": 1,
    "d_model": 16,
    "n_layers": 3,
    "d_state": 6,
    "d_conv": 4,
    "expand": 2,
    "dropout": 0.1,
    "bidirectional": False,
    "headdim": 8,
    "d_channel": 3,
    "eca_kernel": 5,
    "drop_path_rate": 0.1,
    "max_sessions": 9,
}
STUDENT = SMALL | {"n_channels": 96, "d_model": 256, "n_layers": 10, "d_state": 64}
STUDENT |= {"headdim": 64, "d_channel": 8, "max_sessions": 200, "drop_path_rate": 0.0}
TEACHER = STUDENT | {"bidirectional": True, "max_sessions": 34, "drop_path_rate": 0.1}
BOTH_WAYS = STUDENT | {"bidirectional": True, "n_layers": 8, "expand": 1}


def released(kwargs: dict, seed: int = 0, spread: float = 0.3) -> dict[str, torch.Tensor]:
    """Random weights under the names of a released encoder; norms and biases with this spread."""
    generator = torch.Generator().manual_seed(seed)
    width, n, heads = kwargs["d_model"], kwargs["d_state"], 0
    inner = width * kwargs["expand"]
    heads = inner // kwargs["headdim"]
    shapes = {
        "temporal_conv.0.weight": (kwargs["d_channel"], kwargs["n_bands"], 3),
        "temporal_conv.0.bias": (kwargs["d_channel"],),
        "eca_conv.weight": (1, 1, kwargs["eca_kernel"]),
        "spatial_proj.weight": (width, kwargs["n_channels"] * kwargs["d_channel"]),
        "spatial_proj.bias": (width,),
        "session_embed.weight": (kwargs["max_sessions"], width),
    }
    norms = ["spatial_norm", "out_norm"]
    mixer = {
        "in_proj.weight": (2 * inner, width),
        "conv1d.weight": (inner, 1, kwargs["d_conv"]),
        "conv1d.bias": (inner,),
        "ssd.bc_proj.weight": (2 * n, inner),
        "ssd.dt_proj.weight": (heads, inner),
        "ssd.dt_proj.bias": (heads,),
        "ssd.A_log": (heads,),
        "ssd.D": (heads,),
        "out_proj.weight": (width, inner),
    }
    for i in range(kwargs["n_layers"]):
        norms.append(f"layer_norms.{i}")
        for side in ("fwd.", "bwd.") if kwargs["bidirectional"] else ("",):
            shapes |= {f"layers.{i}.{side}{name}": shape for name, shape in mixer.items()}
        if kwargs["bidirectional"]:
            norms.append(f"layers.{i}.norm")
            for name, columns in (("merge", 2 * width), ("causal_proj", width)):
                shapes[f"layers.{i}.{name}.weight"] = (width, columns)
                shapes[f"layers.{i}.{name}.bias"] = (width,)
    for norm in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    state = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        fan_in = math.prod(shape[1:])
        drawn = 2 * torch.rand(shape, generator=generator) - 1  # as layers of torch begin
        state[name] = drawn * fan_in**-0.5 if len(shape) > 1 else spread * values
        if ("norm" in name and name.endswith("weight")) or name.endswith("ssd.D"):
            state[name] += 1
    return state


def encode(state: dict, kwargs: dict, x: np.ndarray) -> np.ndarray:
    """Segments x (batch, time, channels, bands) to latents (batch, time, d_model)."""
    arrays = {name: value.double().numpy() for name, value in state.items()}
    return np.stack([_encode(arrays, kwargs, segment.astype(float)) for segment in x])


def _encode(a: dict, kwargs: dict, x: np.ndarray) -> np.ndarray:
    time, channels, _ = x.shape
    both = kwargs["bidirectional"]
    padded = np.pad(x, ((1, 1), (0, 0), (0, 0)) if both else ((2, 0), (0, 0), (0, 0)))
    weight = a["temporal_conv.0.weight"]
    features = np.zeros((time, channels, len(weight))) + a["temporal_conv.0.bias"]
    for t in range(time):
        for lag in range(3):
            features[t] += padded[t + lag] @ weight[:, :, lag].T
    cdf = 0.5 * (1 + np.array([math.erf(v / math.sqrt(2)) for v in features.ravel()]))
    features = features * cdf.reshape(features.shape)
    energy = features.mean(axis=2)  # (time, channels)
    kernel = a["eca_conv.weight"][0, 0]
    reach = len(kernel) // 2
    tokens = []
    for t in range(time):
        mean = energy.mean(axis=0) if both else energy[: t + 1].mean(axis=0)
        seen = np.concatenate([np.zeros(reach), mean, np.zeros(reach)])
        attention = [(seen[c : c + len(kernel)] * kernel).sum() for c in range(channels)]
        weighted = features[t] * _logistic(np.array(attention))[:, None]
        token = a["spatial_proj.weight"] @ weighted.reshape(-1) + a["spatial_proj.bias"]
        tokens.append(_norm(token, a, "spatial_norm"))
    h = np.array(tokens)
    for i in range(kwargs["n_layers"]):
        unit = _norm(h, a, f"layer_norms.{i}")
        if both:
            onward = _mix(unit, a, f"layers.{i}.fwd.", kwargs)
            back = _mix(unit[::-1], a, f"layers.{i}.bwd.", kwargs)[::-1]
            merged = np.concatenate([onward, back], axis=1) @ a[f"layers.{i}.merge.weight"].T
            mixed = _norm(merged + a[f"layers.{i}.merge.bias"], a, f"layers.{i}.norm")
        else:
            mixed = _mix(unit, a, f"layers.{i}.", kwargs)
        h = h + mixed
    return _norm(h, a, "out_norm")


def _mix(x: np.ndarray, a: dict, at: str, kwargs: dict) -> np.ndarray:
    time, n, p = len(x), kwargs["d_state"], kwargs["headdim"]
    signal, gate = np.split(x @ a[f"{at}in_proj.weight"].T, 2, axis=1)
    taps = a[f"{at}conv1d.weight"][:, 0]  # (inner, d_conv)
    padded = np.pad(signal, ((taps.shape[1] - 1, 0), (0, 0)))
    u = np.array([(padded[t : t + taps.shape[1]] * taps.T).sum(axis=0) for t in range(time)])
    u = u + a[f"{at}conv1d.bias"]
    u = u * _logistic(u)
    B, C = np.split(u @ a[f"{at}ssd.bc_proj.weight"].T, 2, axis=1)
    dt = np.logaddexp(0, u @ a[f"{at}ssd.dt_proj.weight"].T + a[f"{at}ssd.dt_proj.bias"])
    turn = 10000.0 ** (-2 * np.arange(n // 2) / n)
    angle = np.arange(time)[:, None] * turn  # absolute positions
    as_complex = [z[:, : n // 2] + 1j * z[:, n // 2 :] for z in (B, C)]
    B, C = (z * np.exp(1j * angle) for z in as_complex)
    y = np.zeros_like(u)
    until = np.arange(time)[:, None] >= np.arange(time)
    for head in range(dt.shape[1]):
        A = -np.exp(a[f"{at}ssd.A_log"][head])
        total = np.cumsum(A * dt[:, head])
        decay = np.where(until, np.exp(np.where(until, total[:, None] - total, 0)), 0)
        channels = slice(head * p, (head + 1) * p)
        y[:, channels] = (decay * (C @ B.conj().T).real) @ u[:, channels]
        y[:, channels] += a[f"{at}ssd.D"][head] * u[:, channels]
    return (y * gate * _logistic(gate)) @ a[f"{at}out_proj.weight"].T


def _norm(x: np.ndarray, a: dict, name: str) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * a[f"{name}.weight"] + a[f"{name}.bias"]


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
