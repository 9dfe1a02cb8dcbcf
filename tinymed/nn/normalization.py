"""Normalisation: activations brought to mean 0 and variance 1, over a batch, a sample or some channels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinymed.nn import functional as F
from tinymed.nn import init
from tinymed.nn.checks import divides, whole
from tinymed.nn.module import Module, Parameter
from tinymed.tensor import Tensor


class _Affine(Module):
    """A weight that starts as ones and a bias that starts as zeros, or neither."""

    def _build(self, shape: Any, weight: bool, bias: bool) -> None:
        self.register_parameter("weight", Parameter(np.empty(shape, np.float32)) if weight else None)
        self.register_parameter("bias", Parameter(np.empty(shape, np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _BatchNorm(_Affine):
    axes: ClassVar[dict[int, str]]  # the numbers of axes it takes, and their letters

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        whole(type(self).__name__, num_features=num_features)
        if not eps >= 0 or not (momentum is None or 0 <= momentum <= 1):
            raise ValueError(
                f"{type(self).__name__}: eps must be 0 or more and momentum in 0…1 or None, got {eps} and {momentum}"
            )
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, None)
        if track_running_stats:
            self.running_mean = Tensor(np.empty(num_features, np.float32))
            self.running_var = Tensor(np.empty(num_features, np.float32))
            self.num_batches_tracked = Tensor(np.zeros((), np.int64))
        self._build(num_features, affine, affine)

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        super().reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.axes or input.shape[1] != self.num_features:
            expected = " or ".join(self.axes.values())
            raise ValueError(f"expected x {expected} with C = {self.num_features}, got x {input.shape}")
        learns = self.training and self.track_running_stats
        momentum = self.momentum
        if momentum is None:  # the plain average of all batches so far
            momentum = 1 / (int(self.num_batches_tracked) + 1) if learns else 0.0
        output = F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            momentum,
            self.eps,
        )
        if learns:
            self.num_batches_tracked.add_(1)
        return output

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """BatchNorm of features (N,C) or of a signal (N,C,L); see BatchNorm2d."""

    axes: ClassVar = {2: "(N,C)", 3: "(N,C,L)"}


class BatchNorm2d(_BatchNorm):
    """y = (x − μ) / √(σ² + ε) · weight + bias, channel by channel        (Ioffe and Szegedy 2015)

    x (N,C,H,W). In training μ and σ² are the batch's, and running ← (1 − momentum)·running + momentum·batch's
    (with momentum None their plain average); in eval they are the running ones, if these are tracked.
    """

    axes: ClassVar = {4: "(N,C,H,W)"}


class BatchNorm3d(_BatchNorm):
    """BatchNorm of a volume (N,C,D,H,W); see BatchNorm2d."""

    axes: ClassVar = {5: "(N,C,D,H,W)"}


class LayerNorm(_Affine):
    """y = (x − μ) / √(σ² + ε) · weight + bias over the last axes, sample by sample        (Ba et al. 2016)

    x (…, *normalized_shape); weight and bias have that shape too.
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        several = isinstance(normalized_shape, tuple | list)
        shape = tuple(normalized_shape) if several else (normalized_shape,)
        for size in shape:
            whole("LayerNorm", normalized_shape=size)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self._build(shape, elementwise_affine, elementwise_affine and bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """y = (x − μ) / √(σ² + ε) · weight + bias over groups of channels of each sample     (Wu and He 2018)

    x (N,C,…); weight and bias (C).
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        whole("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        divides("GroupNorm", num_groups, num_channels=num_channels)
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._build(num_channels, affine, affine)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
