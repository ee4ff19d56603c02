"""The losses: what is hidden, what is decoded, and what the teacher knows.

Each returns a sum and the count of its terms instead of a mean, so that several processes with
batches of different content can add both up and divide once.

A recipe adds further losses by name, with their weights: `[distill.losses] smooth = 0.1`. They are
functions of a `LossInput`; those of this package are named in `LOSSES`, another package adds one by
an entry point:

    [project.entry-points."realm.losses"]
    smooth = "my_package.losses:smooth"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realm import extensions
from realm.nn.whitening import Whitening

if TYPE_CHECKING:
    from realm.data.windows import Windows

AlignmentKind = Literal["mse", "cosine", "similarity"]


class LossInput(NamedTuple):
    """What a further loss is given of one batch, in the teacher's training or in the student's.

    Rows stand in the order of the windows. With a lookahead, outputs and behavior belong to the
    same bin; `windows` are not shifted.
    """

    windows: Sequence[Windows]  # as recorded, without noise and with nothing hidden
    latent: Tensor  # (batch, time, d_model)
    behavior: Tensor  # (batch, time, dims) decoded, normalized
    target: Tensor | None  # (batch, time, dims) true, normalized; None: task_weight is 0
    known: Tensor | None  # (batch, time) True = the true behavior is known; None likewise
    reconstruction: Sequence[Tensor] | None = None  # teacher: by group of windows, as features
    masks: Sequence[Tensor] | None = None  # teacher: (batch, time, channels), True = hidden
    teacher: Tensor | None = None  # student: the teacher's latents, standardized


Loss = Callable[[LossInput], tuple[Tensor, Tensor]]  # sum and count, both scalars

LOSSES: dict[str, Loss] = {}


def find_loss(name: str) -> Loss:
    """The further loss of this name.

    Raises:
        ValueError: there is none, or it cannot be loaded; the message names it.
    """
    if name in LOSSES:
        return LOSSES[name]
    known = extensions.names("losses", LOSSES)
    if name not in known:
        raise ValueError(
            f"expected losses of {', '.join(known) or '(none is installed)'}; got {name!r}. "
            "Correct the name, or install the package that adds it"
        )
    found: Loss = extensions.load("losses", name)
    return found


def masked_reconstruction(
    reconstruction: Tensor, target: Tensor, mask: Tensor, whiten: Whitening | None = None
) -> tuple[Tensor, Tensor]:
    """Squared error over what was hidden, and over nothing else.

    reconstruction, target (batch, time, channels, bands); mask (batch, time, channels), True =
    hidden. With `whiten`, the errors are whitened before they are squared, with zeros where
    nothing was hidden. The count is hidden entries times bands.
    """
    error = reconstruction - target.to(reconstruction.dtype)
    entries = mask.sum() * target.shape[-1]
    if whiten is None:
        return _squared_sum(error, mask), entries
    return whiten(torch.where(mask[..., None], error, 0.0)).square().sum(), entries


def task_loss(behavior: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error over bins whose behavior is known.

    behavior, target (batch, time, dims) in normalized units; known (batch, time), True = known.
    The count is known bins times dims.
    """
    error = behavior - target.to(behavior.dtype)
    return _squared_sum(error, known), known.sum() * target.shape[-1]


class AlignmentHead(nn.Module):
    """Bring student latents and teacher latents to one space: (batch, time, d_teacher).

    The student's are projected. The teacher's are standardized with statistics taken once, after
    pretraining: dividing each bin by its own norm would hide the amplitude, which carries speed.
    """

    teacher_mean: Tensor
    teacher_std: Tensor

    def __init__(self, d_student: int, d_teacher: int) -> None:
        super().__init__()
        self.projection = nn.Linear(d_student, d_teacher)
        self.register_buffer("teacher_mean", torch.zeros(d_teacher))
        self.register_buffer("teacher_std", torch.ones(d_teacher))

    def set_teacher_scale(self, latents: Tensor) -> None:
        """Take mean and standard deviation per dimension from latents (..., d_teacher)."""
        flat = latents.detach().flatten(0, -2)
        if len(flat) < 2:
            raise ValueError(f"expected latents of at least two bins, got {len(flat)}")
        std, mean = torch.std_mean(flat, dim=0)
        self.teacher_mean.copy_(mean)
        self.teacher_std.copy_(std.clamp(min=1e-6))

    def forward(self, student_latent: Tensor) -> Tensor:
        """Project student latents into the space of the standardized teacher."""
        projected: Tensor = self.projection(student_latent)
        return projected

    def target(self, teacher_latent: Tensor) -> Tensor:
        """Standardize teacher latents; no gradient flows into the teacher."""
        return torch.div(teacher_latent.detach() - self.teacher_mean, self.teacher_std)


def alignment(
    student: Tensor, teacher: Tensor, kind: AlignmentKind, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distance of a student's latents to the teacher's, both (batch, time, d) from `AlignmentHead`.

    `weights` (batch, time) multiply the distance of each bin, by default 1; the count stays.

    - "mse": squared error; the count is bins times d.
    - "cosine": one minus the cosine in each bin; the count is bins.
    - "similarity": how alike the bins of a window are to each other, after Tung and Mori,
      "Similarity-preserving knowledge distillation", 2019; compares (time, time) matrices of each
      window, so that nothing depends on the batch. The count is bins, and d may differ.
    """
    n_bins = student.shape[0] * student.shape[1]
    if kind == "mse":
        distance, count = (student - teacher).square().sum(-1), student.numel()
    elif kind == "cosine":
        distance, count = 1 - F.cosine_similarity(student, teacher, dim=-1), n_bins
    elif kind == "similarity":
        distance, count = (_similarity(student) - _similarity(teacher)).square().sum(-1), n_bins
    else:
        raise ValueError(f'expected alignment "mse", "cosine" or "similarity", got {kind!r}')
    total = (distance if weights is None else distance * weights).sum()  # (batch, time)
    return total, torch.tensor(count, device=total.device)


def _similarity(latent: Tensor) -> Tensor:
    """Return products of all pairs of bins, rows of length one: (batch, time, time)."""
    return F.normalize(latent @ latent.transpose(1, 2), dim=-1)


def _squared_sum(error: Tensor, mask: Tensor) -> Tensor:
    # `where`, not a product: what is left out may be anything, NaN included.
    return torch.where(mask[..., None], error, 0.0).square().sum()
