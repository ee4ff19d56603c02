"""Labels teach where they are, the teacher where they are not."""

from __future__ import annotations

from realm.training.config import AlignmentConfig


def test_one_weight_is_for_all_bins() -> None:
    assert AlignmentConfig(weight=0.5).weights == (0.5, 0.5)


def test_bins_without_label_may_have_a_weight_of_their_own() -> None:
    assert AlignmentConfig(weight=0.5, weight_unlabelled=4).weights == (4, 0.5)
    assert AlignmentConfig(weight=0.5, weight_unlabelled=0).weights == (0, 0.5)
