"""Random numbers: one generator that `manual_seed` sets, and generators of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinymed.kernels import cupy_dropout


class Generator:
    """A stream of random numbers, as `torch.Generator`; `numpy` is the generator that draws them.

    Dropout on a GPU draws from that GPU's own stream of the same seed: its numbers repeat from manual_seed and from
    set_state on, whatever is drawn elsewhere. They are others than the CPU's.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.numpy = np.random.Generator(np.random.PCG64(seed))
        self._gpus: dict[int, cupy_dropout.Stream] = {}
        self._begin: dict[str, int] = {}  # where the stream of a GPU starts, if not at 0

    def manual_seed(self, seed: int) -> Generator:
        self.set_state(np.random.PCG64(seed).state)
        return self

    def get_state(self) -> dict[str, Any]:
        """All that a later `set_state` needs to go on exactly from here, on GPUs too; fit for JSON."""
        used = self._begin | {str(device): stream.at() for device, stream in self._gpus.items()}
        return {**self.numpy.bit_generator.state, **({"gpus": used} if used else {})}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.numpy.bit_generator.state = dict(state)
        self._begin = dict(state.get("gpus", {}))
        for device, stream in self._gpus.items():
            stream.begin(self._seed, self._begin.get(str(device), 0))

    def uniform(self, shape: tuple[int, ...], like: Any) -> Any:
        """Numbers in [0, 1), on the device of the array `like`: in float32, or on a GPU in its number type."""
        if isinstance(like, np.ndarray):
            return self.numpy.random(shape, dtype=np.float32)
        return cupy_dropout.uniform(shape, like.dtype, self.on_gpu())

    def on_gpu(self) -> cupy_dropout.Stream:
        """The stream of the GPU in use."""
        import cupy

        device = cupy.cuda.runtime.getDevice()
        if device not in self._gpus:
            self._gpus[device] = cupy_dropout.Stream(self._seed, self._begin.get(str(device), 0))
        return self._gpus[device]

    @property
    def _seed(self) -> int:
        """64 bits of PCG64's increment, which comes from the seed, and which no draw changes."""
        return self.numpy.bit_generator.state["state"]["inc"] >> 1 & 2**64 - 1


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default generator afresh: initial weights, dropout and shuffling repeat from here."""
    return default_generator.manual_seed(seed)
