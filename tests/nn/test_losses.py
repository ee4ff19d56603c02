from __future__ import annotations

import pytest
import torch

from realm.nn.losses import AlignmentHead, alignment, masked_reconstruction, task_loss

KINDS = ["mse", "cosine", "similarity"]


def test_only_what_is_hidden_counts():
    torch.manual_seed(0)
    guess = torch.randn(2, 5, 3, 4, requires_grad=True)
    target, mask = torch.randn(2, 5, 3, 4), torch.rand(2, 5, 3) > 0.5
    total, count = masked_reconstruction(guess, target, mask)
    assert count == mask.sum() * 4
    torch.testing.assert_close(total / count, (guess - target)[mask].square().mean())
    total.backward()
    assert not guess.grad[~mask].any()


def test_unknown_behavior_counts_for_nothing_even_when_it_is_not_a_number():
    guess = torch.randn(2, 5, 2, requires_grad=True)
    target, known = torch.randn(2, 5, 2), torch.rand(2, 5) > 0.5
    target[~known] = torch.nan
    total, count = task_loss(guess, target, known)
    torch.testing.assert_close(total / count, (guess - target)[known].square().mean())
    total.backward()
    assert guess.grad.isfinite().all()
    assert not guess.grad[~known].any()


def test_no_labels_at_all_is_zero_over_zero():
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    total, count = task_loss(torch.ones(2, 5, 2), torch.zeros(2, 5, 2), nothing)
    assert total == 0
    assert count == 0


@pytest.mark.parametrize("kind", KINDS)
class TestAlignment:
    def test_zero_when_equal_and_positive_when_not(self, kind):
        latent, other = torch.randn(2, 3, 10, 6, dtype=torch.float64)
        assert alignment(latent, latent, kind)[0].abs() < 1e-10
        assert alignment(other, latent, kind)[0] > 0.1

    def test_sums_and_counts_add_up_over_windows(self, kind):
        student, teacher = torch.randn(2, 4, 10, 6, dtype=torch.float64)
        whole = alignment(student, teacher, kind)
        parts = [alignment(student[i : i + 2], teacher[i : i + 2], kind) for i in (0, 2)]
        for all_at_once, *halves in zip(whole, *parts, strict=True):
            torch.testing.assert_close(all_at_once, sum(halves))

    def test_bins_count_by_their_weight(self, kind):
        student, teacher = torch.randn(2, 4, 10, 6, dtype=torch.float64)
        whole, count = alignment(student, teacher, kind)
        weights = torch.rand(4, 10, dtype=torch.float64)
        one, rest = (alignment(student, teacher, kind, w) for w in (weights, 1 - weights))
        torch.testing.assert_close(one[0] + rest[0], whole)
        assert one[1] == count
        nothing = alignment(student, teacher, kind, torch.zeros_like(weights))
        assert nothing[0] == 0

    def test_can_be_learned(self, kind):
        torch.manual_seed(0)
        teacher = torch.randn(2, 20, 6) * 5 + 3
        student = teacher @ torch.randn(6, 4) @ torch.randn(4, 4)
        head = AlignmentHead(4, 6)
        head.set_teacher_scale(teacher)
        target = head.target(teacher)
        optimizer = torch.optim.Adam(head.parameters(), 0.03)
        losses = []
        for _ in range(100):
            total, count = alignment(head(student), target, kind)
            losses.append((total / count).item())
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
        assert losses[-1] < 0.7 * losses[0]


def test_teacher_is_standardized_and_gets_no_gradient():
    latent = (torch.randn(4, 50, 3) * torch.tensor([1.0, 5.0, 0.0]) + 7).requires_grad_()
    head = AlignmentHead(2, 3)
    head.set_teacher_scale(latent)
    target = head.target(latent)
    assert not target.requires_grad
    torch.testing.assert_close(target.mean((0, 1)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(target.std((0, 1))[:2], torch.ones(2), atol=0.02, rtol=0)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="cosine"):
        alignment(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), "l2")
