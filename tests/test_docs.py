"""What the documentation shows runs as it stands there."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_guide_to_backpropagation_computes_what_it_says():
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert all((page.parent / link).exists() for link in links if not link.startswith("http"))


def test_the_tests_that_are_said_to_hold_a_promise_are_there():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 40
    for file, name in named:
        assert re.search(
            rf"^ *(def|class) {name}", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE
        ), name


def test_the_map_of_the_code_names_every_module():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("\n") if line.startswith("| `")]
    folders = [f"minicnn/{name}" for name in ("", "kernels/", "layers/", "engine/", "train/", "data/")]
    for folder in [*folders, "benchmarks/"]:
        named = [row for row in rows if f"`{folder}" in row.split("|")[1]]
        named = set(re.findall(r"\w+\.(?:py|cu)", "\n".join(named)))
        there = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".cu")}
        assert there - named <= {"__init__.py", "__main__.py"}, folder
