"""Figures: each function draws one and returns the matplotlib ``Figure``; ``save`` writes it as PNG.

Figures are made without pyplot, so no global state changes and no window opens; a notebook displays the
returned figure. Lines also differ by dash, and the confusion matrix shows its numbers, so that all can be
read in gray.
"""

from minicnn.plots.data import class_counts, class_means, samples
from minicnn.plots.evaluation import calibration, confusion_matrix, mistakes
from minicnn.plots.folds import accuracy_boxes, fold_curves
from minicnn.plots.network import feature_maps, filters, heat_maps, model_graph, search_results
from minicnn.plots.style import save
from minicnn.plots.training import learning_curves

__all__ = [
    "accuracy_boxes",
    "calibration",
    "class_counts",
    "class_means",
    "confusion_matrix",
    "feature_maps",
    "filters",
    "fold_curves",
    "heat_maps",
    "learning_curves",
    "mistakes",
    "model_graph",
    "samples",
    "save",
    "search_results",
]
