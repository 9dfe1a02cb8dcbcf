"""Random numbers: one generator that `manual_seed` sets, and generators of one's own."""

from __future__ import annotations

import numpy as np


class Generator:
    """A stream of random numbers, as `torch.Generator`; `numpy` is the generator that draws them."""

    def __init__(self, seed: int | None = None) -> None:
        self.numpy = np.random.Generator(np.random.PCG64(seed))

    def manual_seed(self, seed: int) -> Generator:
        self.numpy.bit_generator.state = np.random.PCG64(seed).state
        return self

    def get_state(self) -> dict:
        """All that a later `set_state` needs to go on exactly from here; fit for JSON."""
        return dict(self.numpy.bit_generator.state)

    def set_state(self, state: dict) -> None:
        self.numpy.bit_generator.state = state


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default generator afresh: initial weights, dropout and shuffling repeat from here."""
    return default_generator.manual_seed(seed)
