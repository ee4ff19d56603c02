"""A loss: squared steps of the decoded behavior from bin to bin."""


def smooth(given):
    steps = given.behavior.diff(dim=1).square()  # (batch, time - 1, dims)
    return steps.sum(), steps.new_tensor(steps.numel())
