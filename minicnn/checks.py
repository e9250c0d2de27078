"""The check of whole numbers, for every function and constructor that takes one."""

from operator import index

from minicnn.errors import ConfigError


def whole_number(value: int, name: str, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``; ``name`` is what the message calls it.

    Raises
    ------
    ConfigError
        If it is not a whole number (True and 3.0 are not), or too small.
    """
    try:
        number = index(value)
    except TypeError:
        number = minimum - 1
    if number < minimum or isinstance(value, bool):
        raise ConfigError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return number
