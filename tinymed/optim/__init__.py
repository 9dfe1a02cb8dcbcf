"""Optimisers, and schedules of their learning rate (`lr_scheduler`), under PyTorch's names."""

from tinymed.optim import lr_scheduler
from tinymed.optim.adagrad import Adagrad
from tinymed.optim.adam import Adam, AdamW
from tinymed.optim.optimizer import Optimizer
from tinymed.optim.rmsprop import RMSprop
from tinymed.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
