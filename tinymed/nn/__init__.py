"""Layers, losses and what builds networks of them, under PyTorch's names."""

from tinymed.nn import functional, init, utils
from tinymed.nn.activation import (
    ELU, GELU, LeakyReLU, LogSoftmax, PReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Softplus, Tanh,
)  # fmt: skip
from tinymed.nn.article import ConvReLU6, ConvReLU6Pool
from tinymed.nn.attention import MultiheadAttention
from tinymed.nn.container import ModuleDict, ModuleList, Sequential
from tinymed.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from tinymed.nn.dropout import Dropout, Dropout2d
from tinymed.nn.flatten import Flatten, Unflatten
from tinymed.nn.linear import Identity, Linear
from tinymed.nn.loss import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, KLDivLoss, L1Loss, MSELoss, NLLLoss, SmoothL1Loss,
)  # fmt: skip
from tinymed.nn.module import Module, Parameter
from tinymed.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, LayerNorm
from tinymed.nn.pooling import (
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d,
)  # fmt: skip
from tinymed.nn.rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from tinymed.nn.sparse import Embedding
from tinymed.nn.summary import Summary, summary
from tinymed.nn.upsampling import Upsample

__all__ = [
    "ELU", "GELU", "GRU", "LSTM", "RNN", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d",
    "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d",
    "ConvReLU6", "ConvReLU6Pool", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CrossEntropyLoss",
    "Dropout", "Dropout2d", "Embedding", "Flatten", "GRUCell", "GroupNorm", "HuberLoss", "Identity",
    "KLDivLoss", "L1Loss", "LSTMCell", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool1d",
    "MaxPool2d", "MaxPool3d", "Module", "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "PReLU",
    "Parameter", "RNNCell", "ReLU", "ReLU6", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax",
    "Softplus", "Summary", "Tanh", "Unflatten", "Upsample", "functional", "init", "summary", "utils",
]  # fmt: skip
