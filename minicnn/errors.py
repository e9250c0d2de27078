"""The errors of the library, all subclasses of ``MiniCNNError``.

Each also derives from the matching built-in error, so that ``except ValueError`` works too. A message names
the layer, argument or file, what was expected, what was given, and what to do.
"""

from minicnn.text import printable_lines


class MiniCNNError(Exception):
    """Base class of all errors of minicnn; control characters in messages are escaped."""

    def __str__(self) -> str:
        return printable_lines(super().__str__())


class ConfigError(MiniCNNError, ValueError):
    """An argument has an invalid value: a kernel size of 0, padding ``"sane"``."""


class ArgumentError(ConfigError, TypeError):
    """A function or constructor has no argument of that name."""


class UnknownNameError(MiniCNNError, AttributeError):
    """A module or an object has no attribute of that name; the message may suggest the right one."""


class ShapeError(MiniCNNError, ValueError):
    """An array or a layer's input has the wrong shape."""


class DTypeError(MiniCNNError, TypeError):
    """An array has the wrong dtype."""


class StateError(MiniCNNError, RuntimeError):
    """Calls in the wrong order: ``backward`` without ``forward``, ``forward`` before ``build``."""


class NonFiniteError(MiniCNNError, ArithmeticError):
    """NaN or infinity in images, in the loss or in a model's output.

    ``steps_ago`` is the number of steps taken since, for an engine that detects it later.
    """

    steps_ago = 0


class DataError(MiniCNNError, ValueError):
    """Invalid data: no images, labels out of range, a damaged file."""


class DataNotFoundError(MiniCNNError, FileNotFoundError):
    """A data set that is not on this computer and could not be downloaded."""


class ModelFileError(MiniCNNError, ValueError):
    """A file that is not a minicnn model, is damaged, or was written by a newer version."""


class OutputError(MiniCNNError, OSError):
    """A file or folder that cannot be written."""


class DeviceError(MiniCNNError, RuntimeError):
    """The requested device cannot be used; the message gives the reason."""


class PictureWarning(UserWarning):
    """A picture was read, but the result may not be as expected."""
