"""The errors that names of other libraries meet: what to write here stands in ``foreign_names.py``."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from opcode import opmap
from types import FrameType
from typing import Any, NoReturn

from minicnn.errors import ArgumentError, UnknownNameError
from minicnn.foreign_names import HINTS, Hint
from minicnn.text import did_you_mean, shown

_MODULES = (
    "",
    "layers",
    "optimizers",
    "losses",
    "schedules",
    "train",
    "data",
    "initializers",
    "explain",
    "zoo",
)


class Hinted:
    """Base of the classes whose constructors and attributes are looked up in ``HINTS``.

    A name that is not there is an AttributeError, an argument that is not there a TypeError, as ever.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Hinted":
        """Refuse unknown arguments by name before the constructor is called."""
        if kwargs:
            _check_arguments(cls, [base.__name__ for base in cls.__mro__], cls.__name__, kwargs)
        if args and cls.__init__ is object.__init__:  # which takes anything where there is a __new__
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return super().__new__(cls)

    def __getattr__(self, name: str) -> Any:
        """Say what a name that is not there is called here."""
        kind = type(self)
        if any(name in vars(base) for base in kind.__mro__):  # it is there: a property raised an error
            return object.__getattribute__(self, name)
        message = f"{kind.__name__!r} object has no attribute {name!r}"
        if not name.startswith("_"):
            places = [f"{base.__name__}." for base in kind.__mro__]
            message += _told(_found(places, name), name, dir(kind))
        raise UnknownNameError(message)


def arguments(method: Callable) -> Callable:
    """Look up what ``method`` is given by name, and has no argument for, in ``HINTS``; a decorator."""
    place = method.__qualname__

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            _check_arguments(method, [place], place, kwargs)
        return method(*args, **kwargs)

    return checked


def module_names(module: str) -> Callable[[str], NoReturn]:
    """Return a ``__getattr__`` for a module: it says what a name that is not there is called here."""

    def missing(name: str) -> NoReturn:
        message = f"module {module!r} has no attribute {name!r}"
        if name.startswith("_"):
            raise UnknownNameError(message)
        hint = _found(["minicnn"], name) or _elsewhere(name)
        message += _told(hint, name, dir(sys.modules[module]))
        # Python would put a message of its own in the place of an AttributeError.
        if hint and f"{module}.{name}" not in sys.modules and _imports(sys._getframe(1)):
            raise ImportError(message, name=module)
        raise UnknownNameError(message)

    return missing


def _imports(frame: FrameType) -> bool:
    """Whether a frame is in the midst of ``from … import …``."""
    return frame.f_code.co_code[frame.f_lasti] == opmap["IMPORT_FROM"]


def _check_arguments(function: Callable, places: list[str], name: str, given: dict[str, Any]) -> None:
    """Refuse what is ``given`` by name if ``function`` has no such arguments."""
    takes_none = getattr(function, "__init__", None) is object.__init__
    parameters = {} if takes_none else inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = [key for key in parameters if key != "self"]
    unknown = [key for key in given if key not in known]
    if not unknown:
        return
    told: dict[str, list[str]] = {}  # what is said of which of them
    for key in unknown:
        hint = _found([f"{place}()" for place in places], key)
        if isinstance(hint, str) and hint in known:  # it is called so
            value = shown(given[key])
            hint = f"{hint}={value if len(value) <= 40 and value.isprintable() else '…'}"
        takes = f"; it takes {', '.join(known) or 'none'}"
        told.setdefault(_told(hint, key, known) or takes, []).append(repr(key))
    raise ArgumentError("; ".join(f"{name} has no argument {', '.join(told[end])}{end}" for end in told))


def _found(places: Iterable[str], name: str) -> Hint | None:
    return next((HINTS[place][name] for place in places if name in HINTS.get(place, ())), None)


def _elsewhere(name: str) -> str | None:
    """Return the full name of what stands in another module."""
    for short in _MODULES:
        module = sys.modules.get(f"minicnn.{short}" if short else "minicnn")
        found = vars(module).get(name) if module else None
        if getattr(found, "__module__", "").startswith("minicnn."):
            return f"mc.{short}.{name}" if short else f"mc.{name}"
    return None


def _told(hint: Hint | None, name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the hint, or else the nearest of the names that are known."""
    if hint is None:
        return did_you_mean(name, (key for key in known if key[0] != "_"), cutoff=0.75)
    code, remark = (hint, "") if isinstance(hint, str) else hint
    return f": {': '.join([*filter(None, [remark]), *filter(None, [code and f'write {code}'])])}"
