"""The one family of errors: catch ``MiniCNNError`` for anything the library refuses.

Each class also derives from the built-in that fits, so ``except ValueError`` works too. A message
names the layer, argument or file, says what was expected and what came, and what to do.
"""

from minicnn.text import printable_lines


class MiniCNNError(Exception):
    """Base of every error that minicnn raises on purpose.

    A message may quote a file: what a terminal would obey in it is escaped.
    """

    def __str__(self) -> str:
        return printable_lines(super().__str__())


class ConfigError(MiniCNNError, ValueError):
    """An argument is out of its range or unknown: a kernel size of 0, padding ``"sane"``."""


class ArgumentError(ConfigError, TypeError):
    """A function or constructor was given an argument by a name that it does not have."""


class UnknownNameError(MiniCNNError, AttributeError):
    """A module or an object has nothing of that name; the message says, if it is known, what to write."""


class ShapeError(MiniCNNError, ValueError):
    """An array or a layer's input has a shape that does not fit."""


class DTypeError(MiniCNNError, TypeError):
    """An array has a dtype that does not fit."""


class StateError(MiniCNNError, RuntimeError):
    """A call out of order: ``backward`` without a ``forward``, ``forward`` before ``build``."""


class NonFiniteError(MiniCNNError, ArithmeticError):
    """NaN or infinity where only finite numbers make sense: in images, in the loss.

    ``steps_ago`` says how many steps were taken since, where that is known later.
    """

    steps_ago = 0


class DataError(MiniCNNError, ValueError):
    """Data that cannot be used: empty, labels out of range, a damaged file."""


class DataNotFoundError(MiniCNNError, FileNotFoundError):
    """A data set that is neither on this machine nor could be downloaded."""


class ModelFileError(MiniCNNError, ValueError):
    """A file that is not a minicnn model, or one that is damaged or too new."""


class OutputError(MiniCNNError, OSError):
    """A file or folder that cannot be written."""


class DeviceError(MiniCNNError, RuntimeError):
    """A device that was asked for and cannot be used; the message names the reason."""


class PictureWarning(UserWarning):
    """A picture was read, and there is something to know about it."""
