"""A script, run by test_numba_cuda.py: `python numba_cuda_compile.py` compiles every kernel, and needs no device.

It makes the calls of numba_cuda_cases.py with NumPy arrays playing the device's, and where host code starts a kernel
the kernel is compiled to PTX, for the types that it is really handed. Exit code 77: not here, and why.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numba
import numba_cuda_cases as cases
import numpy as np
from numba import cuda
from numba.cuda import dispatcher
from numba.cuda.cudadrv import nvvm


class Device(np.ndarray):
    """A NumPy array that plays one on the device."""

    __cuda_ndarray__ = True

    def is_c_contiguous(self):
        return self.flags.c_contiguous

    def copy_to_host(self):
        return np.array(self)


def name_of(kernel):
    return f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"


def compile_instead():
    """From now on a kernel that is started is compiled; → name, dtype, types: how often .f64 is in its PTX."""
    doubles = {}
    # device functions ask the driver which device they are compiled for
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(8, 0))
    cuda.to_device = lambda a: a.view(Device)
    cuda.device_array = lambda shape, dtype: np.ones(shape, dtype).view(Device)

    def configured(kernel, how):
        def start(*args):
            arrays = [np.asarray(a) if isinstance(a, Device) else a for a in args]
            types = tuple(map(numba.typeof, arrays))
            assert all(isinstance(a, Device) for a in args if isinstance(a, np.ndarray)), "an array of the host"
            key = name_of(kernel), "float32" if "float64" not in str(types) else "float64", types
            if key not in doubles:
                doubles[key] = cuda.compile_ptx(kernel.py_func, types, cc=(8, 0))[0].count(".f64")

        return start

    dispatcher.CUDADispatcher.__getitem__ = configured
    return doubles


def every_kernel():
    modules = [m for name, m in sys.modules.items() if name.startswith("tinymed.kernels.numba_cuda_")]
    found = {v for m in modules for v in vars(m).values() if isinstance(v, dispatcher.CUDADispatcher)}
    return {name_of(k) for k in found if not k.targetoptions.get("device")}


def main():
    if cuda.implementation != "NVIDIA" or not nvvm.is_available():
        print("numba-cuda's compiler is not installed: pip install numba-cuda[cu13]")
        sys.exit(77)
    doubles = compile_instead()
    cases.agree = lambda what, got, want: None  # nothing was computed
    for name, family in cases.FAMILIES.items():
        if name != "arrays_on_the_device":
            family()
    for (name, dtype, types), count in doubles.items():
        assert dtype == "float64" or not count, f"{name}{types}: {count} times .f64"
    for dtype in ("float32", "float64"):
        lacking = every_kernel() - {name for name, of, _ in doubles if of == dtype}
        assert not lacking, f"not compiled for {dtype}: {lacking}"
    print(f"{len(every_kernel())} kernels compiled for {len(doubles)} sets of types, no .f64 among float32")


if __name__ == "__main__":
    main()
