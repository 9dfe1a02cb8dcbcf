"""Every CUDA source compiles for every generation of GPUs, keeps to its registers, and is float where it says so.

A source may say of itself, in a line of its own: `// float only`, `// sm_80` (nothing of it runs on older ones).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CUDA = Path(__file__).parents[2] / "kernels" / "cuda"
SOURCES = sorted(path.stem for path in CUDA.glob("*.cu"))
ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "sm_120"]  # T4, A100, H100, RTX 50
MOST_REGISTERS = 128  # of 65536: room for two blocks of 256 threads, so that one works while the other waits
VARIANTS = {  # what else the host asks for
    "conv": [(f"-DCOLS={cols}", f"-DVEC={vec}") for cols in (32, 64, 128) for vec in (1, 4)],
    "gemm": [("-DTILE=32",), ("-DTILE=64",)],
    "pool": [("-DWHERE=int",)],
}


def says(name: str, what: str) -> bool:
    return re.search(rf"^// {re.escape(what)}$", (CUDA / f"{name}.cu").read_text(), re.MULTILINE) is not None


@pytest.fixture(scope="module")
def compiled(nvrtc, cuda_source):
    """compiled("pool", "sm_90", options): what NVRTC makes of kernels/cuda/pool.cu."""

    def build(name, architecture, options=()):
        if architecture == "sm_75" and says(name, "sm_80"):
            pytest.skip(f"{name}.cu is for sm_80 and later")
        return nvrtc.compile(cuda_source(name), architecture, options)

    return build


def table(kernels):
    head = f"{'':32}registers  stack  spilled  shared\n"
    return head + "".join(
        f"{name:32}{u.registers:9}{u.stack_bytes:7}{u.spill_bytes:9}{u.shared_bytes:8}\n" for name, u in kernels.items()
    )


def keeps_to_registers(kernels, most=MOST_REGISTERS):
    assert kernels, "no kernel in the log"
    assert not any(u.spill_bytes or u.stack_bytes for u in kernels.values()), table(kernels)
    assert all(0 < u.registers <= most for u in kernels.values()), table(kernels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_in_float(compiled, record_property, name, architecture):
    found = compiled(name, architecture)
    for kernel, usage in found.kernels.items():
        record_property(kernel, usage.registers)  # for --junitxml
    keeps_to_registers(found.kernels)
    assert found.cubin
    wide = [line for line in found.ptx.splitlines() if ".f64" in line]
    assert not wide, f"computes in double: {wide[:3]}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_in_double(compiled, name, architecture):
    if says(name, "float only"):
        pytest.skip(f"{name}.cu is float only")
    found = compiled(name, architecture, ["-DREAL=double"])
    assert found.kernels
    assert not any(u.spill_bytes for u in found.kernels.values()), table(found.kernels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("name", "options"), [(name, o) for name in VARIANTS for o in VARIANTS[name]])
def test_other_sizes(compiled, record_property, name, options, architecture):
    """Wide blocks of conv.cu may be alone on a multiprocessor, and take all its registers: conv.cuh says where."""
    alone = "-DCOLS=128" in options and ("-DVEC=1" in options or architecture == "sm_120")
    found = compiled(name, architecture, options).kernels
    for kernel, usage in found.items():
        record_property(kernel, usage.registers)
    keeps_to_registers(found, (2 if alone else 1) * MOST_REGISTERS)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(("cols", "most"), [(64, 15), (128, 11)])
def test_the_tensor_cores_are_kept_busy(compiled, sass, tmp_path, cols, most, architecture):
    """Of conv.cu's inner loops each tensor-core instruction (HMMA) may bring so many others along.

    A multiprocessor starts an instruction a cycle in each quarter, and an HMMA lasts several: what goes beyond is time
    lost. Images with channels first needed 50 to 70. And copies go past the registers (LDGSTS), to no local memory.
    """
    cubin = compiled("conv", architecture, (f"-DCOLS={cols}", "-DVEC=4")).cubin
    found = sass.loops(cubin, tmp_path, "HMMA")
    assert set(found) == {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"}
    for name, loop in found.items():
        count = {what: sum(what in line for line in loop) for what in ("HMMA", "LDGSTS", "LDL", "STL")}
        assert len(loop) / count["HMMA"] <= most, f"{name}: {len(loop)} instructions for {count['HMMA']} HMMA"
        assert count["LDGSTS"] >= 3, name
        assert not count["LDL"] + count["STL"], name


# ------------------------------------------------------------------------------------------ the checks themselves


def test_the_log_is_read(nvrtc):
    source = """extern "C" __global__ void %s(float* x, int n) {
        __shared__ float held[300];
        held[threadIdx.x] = x[n];
        __syncthreads();
        x[threadIdx.x] = held[n] * 0.1%s; }"""
    found = nvrtc.compile(source % ("one", "f") + source % ("two", ""), "sm_90")
    assert sorted(found.kernels) == ["one", "two"]
    for usage in found.kernels.values():
        assert usage == (usage.registers, 0, 0, 1200)
        assert 0 < usage.registers <= 64
    assert ".f64" in found.ptx
    assert ".f64" not in nvrtc.compile(source % ("one", "f"), "sm_90").ptx


def test_spills_and_stacks_are_seen(nvrtc):
    """64 numbers in use all the time, and 32 registers at most; an array whose index only the data knows."""
    source = """extern "C" __global__ void __launch_bounds__(1024, 2) spills(const float* x, float* y, int n) {
        float s[64];
        for (int i = 0; i < 64; i++) s[i] = x[i + threadIdx.x];
        for (int k = 0; k < n; k++) {
            #pragma unroll
            for (int i = 0; i < 64; i++) s[i] = s[i] * x[k] + s[(i + 7) % 64];
        }
        for (int i = 0; i < 64; i++) y[i + 64 * threadIdx.x] = s[i]; }
    extern "C" __global__ void stacks(const int* x, int* y, int n) {
        int count[40] = {};
        for (int i = 0; i < n; i++) count[x[i]]++;
        for (int i = 0; i < 40; i++) y[i] = count[i]; }"""
    found = nvrtc.compile(source, "sm_90").kernels
    assert found["spills"].spill_bytes > 0
    assert found["stacks"].stack_bytes == 160
    for kernel in ("spills", "stacks"):
        with pytest.raises(AssertionError, match=kernel):
            keeps_to_registers({kernel: found[kernel]})


def test_a_mistake_names_its_line(nvrtc):
    with pytest.raises(RuntimeError, match=r'sm_90: blur.cu\(7\): error: identifier "nothing"'):
        nvrtc.compile('#line 7 "blur.cu"\n__device__ int one() { return nothing; }', "sm_90")
