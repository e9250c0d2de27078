"""Figures: each function draws one and returns the matplotlib ``Figure``; ``save`` writes it as PNG.

Figures are made without pyplot, so nothing global is touched and no window is opened; in a notebook
the returned figure shows itself. Lines differ by dash as well as colour, and the confusion matrix
carries its numbers, so that all can be read in grey.
"""

from minicnn.plots.data import samples
from minicnn.plots.evaluation import confusion_matrix, mistakes
from minicnn.plots.style import save
from minicnn.plots.training import learning_curves

__all__ = ["confusion_matrix", "learning_curves", "mistakes", "samples", "save"]
