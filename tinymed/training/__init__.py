"""Training: fit, evaluate, predict; metrics, callbacks, weights on disk, and the article's network."""

from tinymed.training import metrics
from tinymed.training.callbacks import BestModel, Callback, EarlyStopping
from tinymed.training.history import History
from tinymed.training.loop import evaluate, fit, predict
from tinymed.training.models import article_cnn
from tinymed.training.transfer import GradualUnfreezing, freeze, layerwise_groups, transfer, unfreeze
from tinymed.training.weights import CheckpointError, load_metadata
from tinymed.training.weights import load as load_weights
from tinymed.training.weights import save as save_weights

__all__ = [
    "BestModel", "Callback", "CheckpointError", "EarlyStopping", "GradualUnfreezing", "History", "article_cnn",
    "evaluate", "fit", "freeze", "layerwise_groups", "load_metadata", "load_weights", "metrics", "predict",
    "save_weights", "transfer", "unfreeze",
]  # fmt: skip
