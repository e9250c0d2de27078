"""The code and the links in the documentation work."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What CONTRIBUTING.md adds.
NEW_FILES = {
    *("minicnn/layers/scale.py", "minicnn/train/target.py", "minicnn/cli/classes.py"),
    "tests/train/test_target.py",
}


def test_the_examples_of_the_guide_to_backpropagation_run():
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "backprop.md"), module_relative=False, encoding="utf-8"
    )
    assert tried > 20
    assert failed == 0


def test_the_readme_python_runs(monkeypatch, tmp_path, capsys):
    code = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    ).group(1)
    small = mc.data.load("synthetic", sizes=(300, 100))
    asked = []
    monkeypatch.setattr(mc.data, "load", lambda name: asked.append(name) or small)
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert asked == ["fashion-mnist"]
    assert re.search(r"loss \d\.\d+, accuracy \d+\.\d+%", capsys.readouterr().out)
    assert np.array_equal(scope["labels"], scope["model"].predict(small[1].images))


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page):
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\b((?:examples|benchmarks|tests|engine|minicnn)/[\w/.-]+\.(?:py|cu))\b", text)
    for name in {name for name in named if name not in NEW_FILES}:
        assert (ROOT / name).exists() or (ROOT / "minicnn" / name).exists(), name


def test_the_tests_named_for_a_promise_exist():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 40
    for file, name in named:
        assert re.search(
            rf"^ *(def|class) {name}", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE
        ), name


def test_the_citation_is_of_this_version():
    assert f"\nversion: {mc.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_map_of_the_code_names_every_folder_and_module():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {path.parent for path in (ROOT / "minicnn").rglob("__init__.py")} - {ROOT / "minicnn"}
    modules = set((ROOT / "minicnn").glob("*.py")) | set((ROOT / "benchmarks").glob("*.py"))
    for path in packages | {path for path in modules if path.stem not in ("__init__", "__main__")}:
        assert re.search(rf"\b{path.name}\b", text), path
