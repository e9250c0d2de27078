"""A report in a real browser: every picture is shown, and nothing is too wide."""

import html
import json
import shutil
import subprocess

import pytest

from minicnn import report
from tests.report.finished import data, finished, parsed

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (1100, 400)

# A window cannot be made as narrow as a telephone, a frame can. This one is asked when it is complete.
FRAME = """<!DOCTYPE html>
<title>not loaded</title>
<iframe style="border: 0; width: {width}px; height: 900px" srcdoc="{page}"></iframe>
<script>
  addEventListener("load", () => {{
    const page = document.querySelector("iframe").contentDocument;
    const text = page.querySelectorAll("h1, h2, p, dt, dd, nav, figure, figcaption");
    const boxes = [page.documentElement, ...text];
    document.title = JSON.stringify({{
      images: [...page.images].map(image => image.complete ? image.naturalWidth : 0),
      widths: [...page.images].map(image => image.getBoundingClientRect().width),
      width: page.defaultView.innerWidth,
      wide: boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.outerHTML.slice(0, 80)),
    }});
  }});
</script>
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome on the path")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A written report with long names and lines."""
    folder = tmp_path_factory.mktemp("run")
    train = data(name="the_pets_of_all_the_people_in_the_street_2024", names=("ant", "a" * 30, "Ankle boot"))
    run, _, _, test = finished(folder, train, command="minicnn train mnist-quick --images 24 " * 5)
    page = report.page_of(run, train, test)
    page.facts["parameters"] = "123,456,789"
    page.section("Wide", "A" * 200, table=[range(100), range(100)], code="B" * 300)
    return page.write(folder)


def opened(page, width, folder):
    """Open a page in a frame of that width, without a network; return what the browser rendered."""
    frame = folder / "frame.html"
    text = FRAME.format(width=width, page=html.escape(page.read_text(encoding="utf-8")))
    frame.write_text(text, encoding="utf-8")
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"),
        *(f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--dump-dom", frame.as_uri()),
    ]
    shown = subprocess.run(command, capture_output=True, timeout=120, check=True, encoding="utf-8")
    frame.write_text(shown.stdout, encoding="utf-8")
    return json.loads(parsed(frame).texts("title")[0])


@pytest.mark.parametrize("width", WIDTHS)
def test_every_picture_is_loaded_and_nothing_is_too_wide(page, width, tmp_path):
    found = opened(page, width, tmp_path)
    assert found["width"] == width
    assert len(found["images"]) == len(list(page.parent.glob("*.png"))) == 13
    assert min(found["images"]) > 100
    assert max(found["widths"]) <= width
    assert min(found["widths"]) > 100
    assert found["wide"] == []
