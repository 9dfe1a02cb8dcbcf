"""Honest evaluation: intervals, curves, calibration, thresholds, duplicates, and the page that shows them."""

from tinymed.evaluation import fragments
from tinymed.evaluation.bootstrap import Figure
from tinymed.evaluation.classification import Evaluation
from tinymed.evaluation.compare import Comparison, Spread, compare, over_seeds
from tinymed.evaluation.duplicates import Twins, text_twins, twins
from tinymed.evaluation.mining import clusters, draw_map, features, map2d, nearest_cases, outliers
from tinymed.evaluation.page import Example, write_page
from tinymed.evaluation.regression import RegressionEvaluation
from tinymed.evaluation.thresholds import choose_threshold

__all__ = [
    "Comparison", "Evaluation", "Example", "Figure", "RegressionEvaluation", "Spread", "Twins", "choose_threshold",
    "clusters", "compare", "draw_map", "features", "fragments", "map2d", "nearest_cases", "outliers", "over_seeds",
    "text_twins", "twins", "write_page",
]  # fmt: skip
