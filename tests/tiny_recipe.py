"""A recipe that runs to the end in seconds; shared by tests of several folders."""

from __future__ import annotations

SMALL_RECIPE = """
name = "small"

[signal]
preset = "slow"
bin_ms = 20.0
reference = "none"

[data]
behavior = "behavior/Position/hand"
target = "velocity"
window_s = 2.0

[pretrain]
task_weight = 0.5
encoder = { layers = 1, d_model = 32, d_state = 8, headdim = 16 }
optimization = { steps = 6, batch_size = 4, warmup_steps = 2, validate_every = 3 }

[distill]
encoder = { layers = 1, d_model = 16, d_state = 8, headdim = 16 }
augmentation = { noise = 0.2, channel_dropout = 0.1 }
optimization = { steps = 6, batch_size = 4, warmup_steps = 2, validate_every = 3 }

[calibrate]
optimization = { steps = 4, batch_size = 4, warmup_steps = 1, validate_every = 2 }

[baselines]
gru = { d_model = 16 }
"""
