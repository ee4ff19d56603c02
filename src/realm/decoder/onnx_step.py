"""One bin's step of a student as an ONNX graph, with its state as inputs and outputs.

    features (F,), conv, ssm  ->  behavior (D,), conv_next, ssm_next

It is the student of `realm.streaming` and nothing else. The signal chain, quorum and neutral value
are not in the graph: who runs it gives the normalized features of each bin (channel by channel, the
bands of a channel together) and starts with zeros for `conv` and `ssm`. Behavior comes in its unit,
`lookahead_bins` late. The model's metadata say all this.

The graph is written down operator by operator from the weights that the runtime uses, and compared
with the runtime before the file is there. Letters in shapes as in `realm.streaming.weights`.
Format: https://onnx.ai/onnx.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.files import write_bytes
from realm.streaming import Bundle
from realm.streaming.encoders import MAMBA2
from realm.streaming.packed import Packed, pack
from realm.streaming.runtime import make_student
from realm.streaming.student import EPSILON, LOWEST_EXPONENT, NEGLIGIBLE
from realm.streaming.weights import StudentSizes

OPSET, IR_VERSION = 18, 9  # of 2023: also for runtimes that are not new
TOLERANCE = 1e-4  # of the behavior's deviation, as for the runtime in float32
CHECKED_BINS = 1000


class Checked(NamedTuple):
    """How far the graph is from the runtime in double precision, over random bins."""

    bins: int
    behavior_error: float  # largest, as a share of the behavior's deviation
    state_error: float  # largest, as a share of the largest number in the state


def write_step(bundle: Bundle, path: Path | str) -> Checked:
    """Write the step of a bundle's student as an ONNX file, if it computes what the runtime does.

    Raises:
        ValueError: onnx is not installed, or the graph is further from the runtime than
            `TOLERANCE`; then there is no file.
        OSError: the file cannot be written.
    """
    content = build_step(bundle)
    checked = check_step(content, bundle)
    if not max(checked.behavior_error, checked.state_error) <= TOLERANCE:
        raise ValueError(
            f"{path}: expected the graph to be within {TOLERANCE:g} of the runtime, it is off by "
            f"{checked.behavior_error:.1e} of the behavior's deviation and "
            f"{checked.state_error:.1e} of the state; no file was written. Decode with the "
            "bundle itself (realm live)"
        )
    write_bytes(path, content)
    return checked


def build_step(bundle: Bundle) -> bytes:
    """The graph as the bytes of an ONNX file.

    Raises:
        ValueError: onnx is not installed, or the bundle's encoder has no graph.
    """
    onnx, _ = onnx_libraries()
    if not isinstance(bundle.sizes, StudentSizes):
        raise ValueError(
            f"--onnx: expected a bundle with the encoder {MAMBA2!r}, got {bundle.sizes.kind!r}, "
            "which has no graph; decode with the bundle itself (realm live)"
        )
    p = pack(bundle.weights, bundle.sizes, np.float32)
    graph = Graph(onnx)
    _student(graph, p)
    s = p.sizes
    conv, ssm = (s.layers, s.conv_kernel - 1, s.convolved), (s.layers, s.d_inner, s.d_state)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "realm_student_step",
            [
                _float(onnx, "features", (s.features,)),
                _float(onnx, "conv", conv),
                _float(onnx, "ssm", ssm),
            ],
            [
                _float(onnx, "behavior", (s.behavior,)),
                _float(onnx, "conv_next", conv),
                _float(onnx, "ssm_next", ssm),
            ],
            graph.constants,
        ),
        producer_name="realm-lfp",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, facts_of(bundle))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def facts_of(bundle: Bundle) -> dict[str, str]:
    """What the model's metadata say, each a JSON value."""
    facts = {
        "bundle_sha256": bundle.sha256,
        "session_id": bundle.session_id,
        "channel_names": list(bundle.chain.channel_names),
        "band_names": list(bundle.chain.band_names),
        "behavior_names": list(bundle.behavior_names),
        "behavior_unit": bundle.behavior_unit,
        "bin_ms": bundle.chain.bin_ms,
        "lookahead_bins": bundle.lookahead_bins,
        "features": "normalized features of one bin, bands of a channel together; the signal chain "
        "is not in this graph",
        "state": "conv and ssm are zeros before the first bin, then conv_next and ssm_next of the "
        "bin before",
    }
    return {name: json.dumps(value) for name, value in facts.items()}


def check_step(content: bytes, bundle: Bundle, bins: int = CHECKED_BINS) -> Checked:
    """Run the graph beside the runtime over random bins, each carrying its own state."""
    _, runtime = onnx_libraries()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    student = make_student(bundle.weights, bundle.sizes, "float64")
    features = np.random.default_rng(0).normal(size=(bins, bundle.sizes.features))
    features = features.astype(np.float32)
    expected, after = student.step(features, student.initial_state())
    state = tuple(part.astype(np.float32) for part in student.initial_state())
    got = np.empty(expected.shape, np.float32)
    for row, bin_ in zip(got, features, strict=True):
        given = dict(zip(("features", "conv", "ssm"), (bin_, *state), strict=True))
        row[:], *state_ = session.run(None, given)
        state = tuple(state_)
    deviation = bundle.weights["scale.std"]
    return Checked(
        bins,
        float(np.max(np.abs(got - expected) / deviation)),
        max(_difference(x, y) for x, y in zip(state, after, strict=True)),
    )


def onnx_libraries() -> tuple[ModuleType, ModuleType]:
    """The libraries onnx and onnxruntime.

    Raises:
        ValueError: one of them is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            f"--onnx: expected the library {error.name}, which is not installed; "
            "pip install 'realm-lfp[onnx]'"
        ) from error
    return onnx, onnxruntime


class Graph:
    """Nodes and constants in the order in which they are asked for, names made up."""

    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant's name."""
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def indices(self, *values: int) -> str:
        """A constant list of whole numbers: axes, sizes, shapes."""
        return self.constant(values, np.int64)

    def all(self, kind: str, *inputs: str, out: int = 1, to: str = "", **more: Any) -> list[str]:
        """The names of what an operator gives; `to` names it, where there is one."""
        names = [to] if to else [f"n{len(self.nodes)}_{i}" for i in range(out)]
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, names, **more))
        return names

    def __call__(self, kind: str, *inputs: str, **more: Any) -> str:
        """The name of what an operator gives."""
        return self.all(kind, *inputs, **more)[0]


def _student(g: Graph, p: Packed) -> None:
    """As `PlainStudent._bin`."""
    layers = p.sizes.layers
    convs = g.all("Split", "conv", g.indices(*[1] * layers), axis=0, out=layers)
    ssms = g.all("Split", "ssm", g.indices(*[1] * layers), axis=0, out=layers)
    x = g("Add", g("MatMul", "features", g.constant(p.adapter)), g.constant(p.adapter_bias))
    after = []
    for layer in range(layers):
        conv, ssm = (g("Squeeze", each, g.indices(0)) for each in (convs[layer], ssms[layer]))
        mixed, conv, ssm = _mixer(g, p, layer, x, conv, ssm)
        x = g("Add", x, mixed)
        after.append([g("Unsqueeze", each, g.indices(0)) for each in (conv, ssm)])
    g("Concat", *(conv for conv, _ in after), axis=0, to="conv_next")
    g("Concat", *(ssm for _, ssm in after), axis=0, to="ssm_next")
    g("Add", g("MatMul", x, g.constant(p.head)), g.constant(p.head_bias), to="behavior")


def _mixer(g: Graph, p: Packed, layer: int, x: str, conv: str, ssm: str) -> tuple[str, str, str]:
    """As `PlainStudent._mixer`; gives the output and the next conv and ssm."""
    s = p.sizes
    into = g("MatMul", _normed(g, x), g.constant(p.project[layer]))
    projected = g("Add", into, g.constant(p.project_bias[layer]))
    widths = g.indices(s.d_inner, s.convolved, s.heads)
    gate, now, dt = g.all("Split", projected, widths, axis=0, out=3)
    recent = g("Concat", conv, g("Unsqueeze", now, g.indices(0)), axis=0)  # (K, I + 2N)
    conv = g("Slice", recent, g.indices(1), g.indices(s.conv_kernel), g.indices(0))
    weighted = g("Mul", recent, g.constant(p.conv[layer]))
    summed = g("ReduceSum", weighted, g.indices(0), keepdims=0)
    convolved = _silu(g, g("Add", summed, g.constant(p.conv_bias[layer])))
    widths = g.indices(s.d_inner, s.d_state, s.d_state)
    inner, B, C = g.all("Split", convolved, widths, axis=0, out=3)
    B, C = (g("Add", v, g.constant(p.into[layer, i])) for i, v in enumerate((B, C)))
    inner = g("Reshape", inner, g.indices(s.heads, s.headdim))
    y, ssm = _remember(g, p, layer, inner, g("Softplus", dt), B, C, ssm)
    y = g("Mul", g("Reshape", y, g.indices(s.d_inner)), _silu(g, gate))
    return g("MatMul", _normed(g, y), g.constant(p.out[layer])), conv, ssm


def _remember(
    g: Graph, p: Packed, layer: int, inner: str, dt: str, B: str, C: str, ssm: str
) -> tuple[str, str]:
    """The state space part, by heads: what it gives (H, I / H), and the next ssm (I, N)."""
    s = p.sizes
    exponent = g("Max", g("Mul", dt, g.constant(p.decay[layer])), g.constant(LOWEST_EXPONENT))
    keep = g("Reshape", g("Exp", exponent), g.indices(s.heads, 1, 1))
    kept = g("Mul", g("Reshape", ssm, g.indices(s.heads, s.headdim, s.d_state)), keep)
    scaled = g("Mul", inner, g("Reshape", dt, g.indices(s.heads, 1)))  # (H, I / H)
    ssm = g("Add", kept, g("Mul", g("Unsqueeze", scaled, g.indices(2)), B))
    small = g("Less", g("Abs", ssm), g.constant(NEGLIGIBLE))
    ssm = g("Where", small, g.constant(0.0), ssm)
    skipped = g("Mul", inner, g.constant(p.skip[layer][:, None]))
    y = g("Add", g("MatMul", ssm, C), skipped)
    return y, g("Reshape", ssm, g.indices(s.d_inner, s.d_state))


def _normed(g: Graph, x: str) -> str:
    mean = g("ReduceMean", g("Mul", x, x), g.indices(0), keepdims=1)
    return g("Div", x, g("Sqrt", g("Add", mean, g.constant(EPSILON))))


def _silu(g: Graph, x: str) -> str:
    return g("Mul", x, g("Sigmoid", x))


def _float(onnx: ModuleType, name: str, shape: tuple[int, ...]) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _difference(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Largest difference as a share of the largest number; 0 where there are no numbers."""
    return float(np.max(np.abs(x - y), initial=0.0) / max(np.max(np.abs(y), initial=0.0), 1e-12))
