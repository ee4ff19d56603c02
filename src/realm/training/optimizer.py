"""The optimizer of all trainings: AdamW, with Muon on the encoder's matrices where a recipe asks.

Muon (Jordan et al. 2024) makes the update of a matrix orthogonal, so that all of its directions
learn at one rate. It is meant for matrices between hidden layers; what enters and leaves the
network, vectors and convolutions stay with AdamW. Rates are those of AdamW in size (Liu et al.
2025, arXiv 2502.16982).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from realm.training.config import OptimizationConfig

BETAS = (0.9, 0.98)


class Optimizer:
    """One or two optimizers of torch over the trainable parameters of a module, as one.

    Only matrices decay.
    """

    def __init__(self, module: nn.Module, config: OptimizationConfig) -> None:
        self.config = config
        trained = {id(p): p for p in module.parameters() if p.requires_grad}
        muon: list[nn.Parameter] = []
        if config.muon_learning_rate is not None:
            muon = [p for p in encoder_matrices(module) if id(p) in trained]
            for parameter in muon:
                del trained[id(parameter)]
        rest, decay = list(trained.values()), config.weight_decay
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if groups:
            adam = torch.optim.AdamW(groups, lr=config.learning_rate, betas=BETAS, fused=True)
            self._parts.append((adam, config.learning_rate))
        if muon:
            assert config.muon_learning_rate is not None
            rate = config.muon_learning_rate
            momentum = torch.optim.Muon(
                muon, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
            self._parts.append((momentum, rate))

    def start_step(self, step: int) -> None:
        """Set the learning rates of a step, and forget the gradients of the one before."""
        share = learning_share(step, self.config)
        for part, rate in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * share
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Change the parameters along their gradients."""
        for part, _ in self._parts:
            part.step()

    def moments(self, parameter: nn.Parameter) -> dict[str, Any]:
        """What is kept of a parameter's earlier gradients, by name; empty before its first."""
        for part, _ in self._parts:
            if parameter in part.state:
                return dict(part.state[parameter])
        return {}

    def set_moments(self, parameter: nn.Parameter, moments: dict[str, Tensor]) -> None:
        """Put back what `moments` returned."""
        for part, _ in self._parts:
            if any(parameter is own for group in part.param_groups for own in group["params"]):
                part.state[parameter] = moments


def learning_share(step: int, config: OptimizationConfig) -> float:
    """Learning rate of a step as a share of the highest: linear warm-up, then a cosine down."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    low = config.final_learning_rate
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1, done)))


FEWEST_ROWS = 16


def encoder_matrices(module: nn.Module) -> Iterator[nn.Parameter]:
    """Weights of the linear maps between the layers inside encoders.

    Maps to a few numbers, such as the step sizes of a mixer, are no matrices in this sense.
    """
    for name, part in module.named_modules():
        inside = "encoder" in name.split(".")
        if inside and isinstance(part, nn.Linear) and min(part.weight.shape) >= FEWEST_ROWS:
            yield part.get_parameter("weight")
