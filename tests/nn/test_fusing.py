"""The first try of a compiled part compiles all that training needs, and fails before training."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from realm.nn import fusing
from realm.nn.mamba2 import Mamba2
from realm.nn.norms import RMSNorm
from realm.nn.recurrent import GRUEncoder

pytestmark = pytest.mark.usefixtures("one_thread")

COMPILED = """
import torch
torch.set_num_threads(1)
from realm.nn import fusing

from realm.nn.mamba2 import Mamba2
from realm.nn.norms import RMSNorm
from realm.nn.recurrent import GRUEncoder

def compiled():
    from realm.nn.compiled import chunks, conv, gru, norm, rms
    return {
        f"{module.__name__}.{name}": set(map(str, function.signatures))
        for module in (chunks, conv, gru, norm, rms)
        for name, function in vars(module).items()
        if hasattr(function, "signatures")
    }

for part in fusing.PARTS:
    assert fusing.tried(part, torch.float32, True)
before = compiled()
assert len(before) > 15, before
x = torch.randn(3, 130, 8, requires_grad=True)
for layer in (Mamba2(8, 4, 4), Mamba2(8, 4, 4, conv_kernel=1), GRUEncoder(8, 2), RMSNorm(8)):
    layer(x).sum().backward()
    with torch.no_grad():
        layer(x)
after = compiled()
assert after == before, {name: after[name] - before[name] for name in after}
"""


def test_the_first_try_compiles_what_training_needs() -> None:
    subprocess.run([sys.executable, "-c", COMPILED], timeout=600, check=True)


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_what_fails_on_the_example_is_computed_by_torch(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The gradient too: training must not begin with what cannot go back."""
    from realm.nn.compiled import gru, mixer, rms

    for owner in (mixer._FusedMixer, rms._FusedNorm, gru._FusedLayer):
        monkeypatch.setattr(owner, way, staticmethod(_fails))
    torch.manual_seed(0)
    x = torch.randn(2, 20, 8, requires_grad=True)
    layers = (Mamba2(8, 4, 4), GRUEncoder(8), RMSNorm(8))
    with pytest.warns(UserWarning, match="does not compile") as said:
        found = [_gradient(layer, x) for layer in layers]
    assert len([each for each in said if "realm:" in str(each.message)]) == 1
    monkeypatch.setattr(fusing, "tried", lambda *_: None)
    for layer, gradient in zip(layers, found, strict=True):
        assert torch.equal(_gradient(layer, x), gradient)


def _gradient(layer: torch.nn.Module, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x)
    return gradient


def _fails(*_: object) -> None:
    raise RuntimeError("it does not compile")
