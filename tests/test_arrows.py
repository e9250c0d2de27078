"""Imports point one way: no circle, none hidden in a function, and each room knows only those below it."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import minicnn

PACKAGE = Path(minicnn.__file__).parent
ROOMS = [
    "runtime",
    "ops",
    "layers",
    "stack",
    "engine",
    "model",
    "evaluate",
    "train",
    "zoo",
    "report",
    "experiment",
    "cli",
]
"""From the bottom to the top, see docs/architecture.md; all other modules are tested for circles only."""

HEAVY = {"matplotlib", "numba", "PIL", "scipy"}


def module_name(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(tree):
    """Yield the import statements in ``tree``, with the modules they name, except those for types."""
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        else:
            continue
        names = [name for name in names if name in MODULES]
        if names:
            yield node, names


def imported(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    return {other for _, names in imports(tree) for other in names} - {name}


# The package itself imports what a user needs first, and whoever imports a module has imported the package.
ARROWS = {name: imported(name) - {"minicnn"} for name in MODULES if name != "minicnn"}


def test_there_is_no_circle():
    TopologicalSorter(ARROWS).prepare()  # raises CycleError


def needs_heavy(name):
    """Whether importing a module imports a package that takes long to load."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    packages = {getattr(node, "module", None) or node.names[0].name for node in statements}
    return any(package.split(".")[0] in HEAVY for package in packages) or any(map(needs_heavy, ARROWS[name]))


def test_an_import_in_a_function_is_there_for_a_heavy_package():
    for name, path in MODULES.items():
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for _, others in imports(function):
                    assert all(map(needs_heavy, others)), (name, others)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_the_rooms_below_it(room):
    above = ROOMS[ROOMS.index(room) + 1 :]
    for name, others in ARROWS.items():
        if name.split(".")[1] == room:
            assert not {other for other in others if other.split(".")[1] in above}, name
