"""What a data set holds."""

from matplotlib.figure import Figure

from minicnn.data import Dataset
from minicnn.plots.style import image_grid


def samples(data: Dataset, count: int = 9, title: str = "") -> Figure:
    """Draw the first ``count`` images with the names of their classes."""
    shown = data.subset(slice(count))
    captions = [data.class_names[label] for label in shown.labels]
    return image_grid(shown.images, captions, title or f"{data.name}: the first {len(shown)} images")
