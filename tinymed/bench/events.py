"""How long a GPU takes: events that it notes the time of itself, and the host's clock for what a user waits for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

FLUSH = 256 << 20  # bytes, several times the L2 cache of any GPU (an H100's: 50 MB)
BATCH = 20  # calls at most that are waited for together
AHEAD = 20  # writes of FLUSH bytes that the device has before a batch's calls: its head start over the host


class Timer:
    """Times calls by events on the current stream: Timer("tinymed") takes CuPy's events, Timer("torch") PyTorch's.

    A call is only told to the device, which does it later. A device that has caught up waits for the host between a
    call's events, and the host's time would be taken for its own. So calls go in batches, told while the device is
    still busy with AHEAD writes; a batch in which it has caught up by the last call is thrown away, and from then on
    there are half as many calls in one. A batch of one call is taken as it is: a call that the host needs longer to
    tell than the device to write AHEAD times, or that waits for the device itself, has the host's time in it.
    """

    def __init__(self, engine: str) -> None:
        """Raises ValueError where CuPy finds no GPU."""
        self.write: Callable[[], Any]
        self.event: Callable[[], Any]
        self.synchronize: Callable[[], Any]
        if engine == "torch":
            import torch

            buffer = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")
            self.write = buffer.zero_
            self.event = lambda: torch.cuda.Event(enable_timing=True)
            self.reached = lambda event: event.query()
            self.between = lambda start, end: start.elapsed_time(end)
            self.synchronize = torch.cuda.synchronize
        else:
            from tinymed import cuda

            cupy = cuda.cupy()
            zeros = cupy.empty(FLUSH, cupy.uint8)
            self.write = lambda: zeros.fill(0)
            self.event = cupy.cuda.Event
            self.reached = lambda event: event.done
            self.between = cupy.cuda.get_elapsed_time
            self.synchronize = cuda.synchronize

    def __call__(self, run: Callable[[], Any], seconds: float, flush: bool) -> list[float]:
        """ms on the device of each call, for about `seconds`, after some to warm up.

        flush: a buffer larger than the L2 cache is written before each call, which then finds nothing of its own in it.
        """
        each = _warm(run, self.synchronize)
        batch = max(1, min(BATCH, int(seconds / each)))
        times: list[float] = []
        deadline = time.perf_counter() + seconds
        while not times or time.perf_counter() < deadline:
            pairs = [(self.event(), self.event()) for _ in range(batch)]
            for _ in range(AHEAD):
                self.write()
            for start, end in pairs:
                if flush:
                    self.write()
                start.record()
                run()
                end.record()
            caught_up = self.reached(pairs[-1][0])
            self.synchronize()
            if caught_up and batch > 1:
                batch //= 2
            else:
                times += [self.between(start, end) for start, end in pairs]
        return times


def wall(run: Callable[[], Any], seconds: float, synchronize: Callable[[], Any]) -> list[float]:
    """ms on the host's clock of each call, until the device is done with it; for about `seconds`, after a warm-up."""
    _warm(run, synchronize)
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while not times or time.perf_counter() < deadline:
        start = time.perf_counter()
        run()
        synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def _warm(run: Callable[[], Any], synchronize: Callable[[], Any]) -> float:
    """Call it three times, and say how many seconds a call takes, the first, which compiles, aside."""
    run()
    synchronize()
    start = time.perf_counter()
    run()
    run()
    synchronize()
    return (time.perf_counter() - start) / 2
