"""Errors for unknown names that say what to write instead, from the table in ``foreign_names.py``."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from minicnn.errors import ArgumentError, UnknownNameError
from minicnn.foreign_names import HINTS, Hint
from minicnn.text import did_you_mean, shown

if TYPE_CHECKING:
    from typing_extensions import Self

Function = TypeVar("Function", bound=Callable[..., Any])


class Hinted:
    """Base class that looks up unknown attributes and constructor arguments in ``HINTS``.

    As usual, an unknown attribute is an AttributeError and an unknown argument a TypeError.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Self":
        """Raise ArgumentError if the constructor has no argument of a given name."""
        if kwargs:
            _check_arguments(cls, [base.__name__ for base in cls.__mro__], cls.__name__, kwargs)
        if args and cls.__init__ is object.__init__:  # Python checks this only for classes without __new__
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return super().__new__(cls)

    def __getattr__(self, name: str) -> Any:
        """Raise UnknownNameError, with the name to use instead."""
        kind = type(self)
        if any(name in vars(base) for base in kind.__mro__):  # a property, which raised AttributeError itself
            return object.__getattribute__(self, name)
        message = f"{kind.__name__!r} object has no attribute {name!r}"
        if not name.startswith("_"):
            hint = _find([f"{base.__name__}." for base in kind.__mro__], name)
            message += _advice(hint, name, dir(kind))
        raise UnknownNameError(message)


def constructor_parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class by name, without self."""
    if cls.__init__ is object.__init__:
        return {}
    # Not the signature of cls itself: on Python 3.10 that is of Hinted.__new__.
    return dict(list(inspect.signature(cls.__init__).parameters.items())[1:])


def arguments(method: Function) -> Function:
    """Look up unknown keyword arguments of ``method`` in ``HINTS``; a decorator."""
    place = method.__qualname__

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            _check_arguments(method, [place], place, kwargs)
        return method(*args, **kwargs)

    return checked  # pyright: ignore[reportReturnType]: with the signature of method


def module_names(module: str) -> Callable[[str], NoReturn]:
    """Return a ``__getattr__`` for a module, which raises UnknownNameError with the name to use instead."""

    def missing(name: str) -> NoReturn:
        message = f"module {module!r} has no attribute {name!r}"
        if not name.startswith("_"):
            message += _advice(_find(["minicnn"], name) or _elsewhere(name), name, dir(sys.modules[module]))
        raise UnknownNameError(message)

    return missing


def _check_arguments(
    function: Callable[..., Any], places: list[str], name: str, given: dict[str, Any]
) -> None:
    """Raise ArgumentError if ``function`` does not have all ``given`` arguments."""
    is_class = isinstance(function, type)
    parameters = constructor_parameters(function) if is_class else inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = [key for key in parameters if key != "self"]
    errors = []
    for key in given:
        if key in known:
            continue
        hint = _find([f"{place}()" for place in places], key)
        if isinstance(hint, str) and hint in known:  # another name for this argument
            value = shown(given[key])
            hint = f"{hint}={value if len(value) <= 40 and value.isprintable() else '…'}"
        advice = _advice(hint, key, known) or f"; it takes {', '.join(known) or 'none'}"
        errors.append(f"{name} has no argument {key!r}{advice}")
    if errors:
        raise ArgumentError("; ".join(errors))


def _find(places: Iterable[str], name: str) -> Hint | None:
    return next((HINTS[place][name] for place in places if name in HINTS.get(place, ())), None)


def _elsewhere(name: str) -> str | None:
    """Return the full name of a public object that is in another module of minicnn."""
    package = vars(sys.modules["minicnn"])
    public = package.get("__all__", ())
    if name in public:
        return f"mc.{name}"
    for short in public:
        module = package[short]
        found = vars(module).get(name) if isinstance(module, ModuleType) else None
        if getattr(found, "__module__", "").startswith(f"minicnn.{short}"):
            return f"mc.{short}.{name}"
    return None


def _advice(hint: Hint | None, name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the hint, or else the most similar of the ``known`` names."""
    if hint is None:
        return did_you_mean(name, (key for key in known if key[0] != "_"), cutoff=0.75)
    code, remark = (hint, "") if isinstance(hint, str) else hint
    parts = [remark, f"write {code}" if code else ""]
    return f": {': '.join(filter(None, parts))}"
