"""The real data sets: their classes, files, digests and mirrors."""

from dataclasses import dataclass

from minicnn.data.synthetic import GARMENTS


@dataclass(frozen=True)
class File:
    """One IDX file: its name, size and SHA-256, all without ``.gz``."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A data set of four files, and the URLs of the folders that hold them, best first."""

    name: str
    class_names: tuple[str, ...]
    files: tuple[File, ...]  # four: training images and labels, test images and labels
    mirrors: tuple[str, ...]


NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _files(*digests: str) -> tuple[File, ...]:
    """Return the four files, whose names and sizes both data sets share."""
    sizes = (16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000)
    return tuple(map(File, NAMES, sizes, digests))


SOURCES = {
    source.name: source
    for source in (
        # H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747; MIT license.
        Source(
            name="fashion-mnist",
            class_names=tuple(GARMENTS),
            files=_files(
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            mirrors=(
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
        ),
        # Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
        Source(
            name="mnist",
            class_names=tuple("0123456789"),
            files=_files(
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            mirrors=(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
        ),
    )
}
