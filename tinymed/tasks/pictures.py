"""Networks for pictures and volumes, beside the article's own (`tinymed.training.article_cnn`).

Every name here is PyTorch's: with `from torch import nn` in place of the import below, the same file runs there.
A builder takes the shape of one item and the number of classes. The network puts out one logit for two classes
(the loss is binary_cross_entropy_with_logits), else a score for each (cross_entropy). Not a clinical device.
"""

from __future__ import annotations

from typing import Any

from tinymed import nn
from tinymed.tasks.dense import outputs


class Residual(nn.Module):
    """y = S(x) + F(x),   F(x) = conv(ReLU(BN(conv(ReLU(BN(x))))))        (He et al. 2016, identity mappings)

    x (N,C,H,W) → y (N,O,H/s,W/s), s the stride. S is the identity, y = x + F(x), where shapes allow it; else a 1x1
    convolution of stride s. ∂L/∂x = ∂L/∂y · (1 + ∂F/∂x): however small ∂F/∂x is, the 1 carries the gradient on.
    """

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
        )
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride=stride, bias=False)

    def forward(self, x: Any) -> Any:
        return self.shortcut(x) + self.residual(x)


def small_resnet(shape: tuple[int, ...], classes: int, width: int = 16, dropout: float = 0.2) -> nn.Sequential:
    """A residual network for small pictures: (N,C,H,W) → (N,1) or (N,classes); 76,977 parameters for (1,28,28) and 2.

    Three blocks of width, 2·width and 4·width channels, the last two of stride 2; then the mean over each channel,
    so that any size from 4x4 on will do, dropout, and one linear layer. Weights start as He et al. 2015 say.
    Raises ValueError for another shape than (C,H,W) and a smaller picture.
    """
    channels, *_ = _checked("small_resnet", "a picture (C,H,W)", shape, 3, 4)
    model = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),  # (N,1,28,28) → (N,16,28,28)
        Residual(width, width),
        Residual(width, 2 * width, stride=2),  # → (N,32,14,14)
        Residual(2 * width, 4 * width, stride=2),  # → (N,64,7,7)
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # → (N,64)
        nn.Dropout(dropout),
        nn.Linear(4 * width, outputs(classes)),
    )
    model.apply(he_weights_)
    return model


def cnn3d(shape: tuple[int, ...], classes: int, width: int = 8, dropout: float = 0.2) -> nn.Sequential:
    """Convolution over depth too, for volumes such as CT: (N,C,D,H,W) → (N,1) or (N,classes).

    Three times conv 3x3x3, BN, ReLU; width, 2·width and 4·width channels; the first two halve every side. 17,641
    parameters for (1,28,28,28) and 2. Raises ValueError for another shape than (C,D,H,W), and sides
    below 4.
    """
    channels, *_ = _checked("cnn3d", "a volume (C,D,H,W)", shape, 4, 4)
    model = nn.Sequential(
        *(nn.Conv3d(channels, width, 3, padding=1, bias=False), nn.BatchNorm3d(width), nn.ReLU()),
        nn.MaxPool3d(2),  # (N,1,28,28,28) → (N,8,14,14,14)
        *(nn.Conv3d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm3d(2 * width), nn.ReLU()),
        nn.MaxPool3d(2),  # → (N,16,7,7,7)
        *(nn.Conv3d(2 * width, 4 * width, 3, padding=1, bias=False), nn.BatchNorm3d(4 * width), nn.ReLU()),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),  # → (N,32)
        nn.Dropout(dropout),
        nn.Linear(4 * width, outputs(classes)),
    )
    model.apply(he_weights_)
    return model


def he_weights_(module: Any) -> None:
    """The start for layers before a ReLU: N(0, 2 / fan_out), which keeps a gradient's size   (He et al. 2015)"""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _checked(name: str, wanted: str, shape: tuple[int, ...], axes: int, least: int) -> tuple[int, ...]:
    shape = tuple(shape)
    if len(shape) == axes and shape[0] >= least and shape[-1] < least:
        layout = wanted[wanted.index("(") + 1 : -1]
        raise ValueError(f"{name}: got {shape}: the last axis looks like channels; tinymed is {layout}")
    if len(shape) != axes or shape[0] < 1 or min(shape[1:]) < least:
        raise ValueError(f"{name} takes the shape of {wanted} with sides of {least} or more, got {shape}")
    return shape
