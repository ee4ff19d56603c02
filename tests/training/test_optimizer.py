"""The optimizer: what Muon trains, that it trains, and that its moments survive a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from realm.nn.encoder import BidirectionalEncoder, CausalEncoder, EncoderConfig
from realm.training.checkpoint import load_checkpoint, restore, save_checkpoint
from realm.training.config import OptimizationConfig
from realm.training.optimizer import Optimizer, encoder_matrices

SIZES = EncoderConfig(layers=1, d_model=32, d_state=8, headdim=16)


class Model(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(32, 20)


def config(**changes: float | None) -> OptimizationConfig:
    return OptimizationConfig.model_validate({"steps": 10, "warmup_steps": 0, **changes})


def take_step(model: Model, optimizer: Optimizer, step: int) -> None:
    optimizer.start_step(step)
    torch.manual_seed(step)
    model.head(model.encoder(torch.randn(2, 12, 32))).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", [CausalEncoder, BidirectionalEncoder])
def test_muon_trains_the_maps_between_layers_and_nothing_else(kind: type[nn.Module]) -> None:
    model = Model(kind(SIZES))  # type: ignore[call-arg]
    chosen = {id(p) for p in encoder_matrices(model)}
    names = {name for name, p in model.named_parameters() if id(p) in chosen}
    assert names
    assert {name.split(".")[-2] for name in names} == {"to_gate", "to_xBC", "out"}


def test_without_its_rate_there_is_no_muon() -> None:
    model = Model(CausalEncoder(SIZES))
    take_step(model, plain := Optimizer(model, config()), 0)
    assert all("momentum_buffer" not in plain.moments(p) for p in model.parameters())
    take_step(model, both := Optimizer(model, config(muon_learning_rate=0.01)), 0)
    kept = {name: set(both.moments(p)) for name, p in model.named_parameters()}
    assert kept["encoder.mixers.0.out.weight"] == {"momentum_buffer"}
    assert "exp_avg" in kept["head.weight"]


def test_frozen_parameters_stay() -> None:
    model = Model(CausalEncoder(SIZES))
    model.encoder.requires_grad_(False)
    before = [p.clone() for p in model.encoder.parameters()]
    take_step(model, Optimizer(model, config(muon_learning_rate=0.01)), 0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.encoder.parameters(), strict=True))


def test_a_checkpoint_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Model(CausalEncoder(SIZES))
    optimizer = Optimizer(model, config(muon_learning_rate=0.02))
    for step in range(3):
        take_step(model, optimizer, step)
    facts = {"fingerprint": "f"}
    save_checkpoint(tmp_path / "c", model, dict(model.state_dict()), optimizer, facts)
    other = Model(CausalEncoder(SIZES))
    fresh = Optimizer(other, config(muon_learning_rate=0.02))
    restore(load_checkpoint(tmp_path / "c", "f"), other, fresh)
    for step in range(3, 6):
        take_step(model, optimizer, step)
        take_step(other, fresh, step)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


def test_a_weight_that_was_changed_is_found(tmp_path: Path) -> None:
    model = Model(CausalEncoder(SIZES))
    optimizer = Optimizer(model, config(muon_learning_rate=0.02))
    path = tmp_path / "c"
    save_checkpoint(path, model, dict(model.state_dict()), optimizer, {"fingerprint": "f"})
    load_checkpoint(path, "f")
    content = bytearray(path.read_bytes())
    content[-4] ^= 1  # the last bit of a weight
    path.write_bytes(content)
    with pytest.raises(ValueError, match="agree with their SHA-256"):
        load_checkpoint(path, "f")
