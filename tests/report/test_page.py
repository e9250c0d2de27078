"""`Page`: a single file in which all text is escaped, never half-written."""

import base64
import os
from io import BytesIO

import pytest
from matplotlib.figure import Figure
from PIL import Image

from minicnn import report
from minicnn.errors import ConfigError, OutputError
from minicnn.report import Page
from tests.report.finished import data, finished, parsed

NASTY = '<b>"it\'s" & </section><script>alert(1)</script>'
ADDRESSES = ("src", "href", "srcset", "data", "action", "formaction", "poster", "background", "style")


def figure(width=2.0, height=1.0):
    drawn = Figure(figsize=(width, height))
    drawn.subplots().plot([0, 1], [0, 1])
    return drawn


def small():
    """Return a page with every kind of content."""
    page = Page("A title", "A lead.", {"accuracy": "91 %", "epochs": "3"})
    page.section("One", "Text of one.", {"line": (figure(), "A line.")})
    page.section("Section two", table=[("class", "images"), ("ant", 3), ("bee", 4)], code="a  b\n  c")
    page.section("Three", figures={"first": (figure(3), "Wide."), "second": (figure(1, 2), "High.")})
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run, with its page, whose names and command would break unescaped HTML."""
    folder = tmp_path_factory.mktemp("run")
    train = data(name="<i>pets</i>", names=("<b>", 'a"b', "&amp;"))
    run, _, _, test = finished(folder, train, command=NASTY)
    report.page_of(run, train, test).write(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return parsed(folder / "report.html")


class TestReport:
    def test_nothing_is_loaded_from_elsewhere(self, page):
        addresses = [
            attributes[name] for _, attributes, _ in page.tags for name in ADDRESSES if name in attributes
        ]
        assert len(addresses) > 10
        for address in addresses:
            assert address.startswith(("#", "data:image/png;base64,"))
        (style,) = page.texts("style")
        assert "url(" not in style
        assert "@import" not in style
        names = {name for name, _, _ in page.tags}
        assert names.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})

    def test_nothing_runs(self, page):
        for _, attributes, _ in page.tags:
            assert not any(name.startswith("on") for name in attributes)

    def test_each_picture_is_the_file_beside_the_page(self, folder, page):
        pictures = page.attributes("img")
        files = {path.read_bytes() for path in folder.glob("*.png")}
        contents = [base64.b64decode(picture["src"].partition(",")[2], validate=True) for picture in pictures]
        assert set(contents) == files
        assert len(contents) == len(files) == 13

    def test_each_picture_is_as_wide_as_the_figure(self, page):
        for picture in page.attributes("img"):
            with Image.open(BytesIO(base64.b64decode(picture["src"].partition(",")[2]))) as image:
                image.load()
                assert image.format == "PNG"
                inches = image.width / 150
            assert abs(int(picture["width"]) - 96 * inches) <= 1

    def test_each_picture_has_its_caption_as_alternative_text(self, page):
        pictures = [picture["alt"] for picture in page.attributes("img")]
        assert all(len(text) > 15 for text in pictures)
        assert len(set(pictures)) == len(pictures)
        assert page.texts("figcaption") == pictures

    def test_the_links_at_the_top_lead_to_the_sections(self, page):
        ids = [attributes["id"] for _, attributes, _ in page.tags if "id" in attributes]
        assert len(set(ids)) == len(ids)
        assert [link["href"] for link in page.attributes("a")] == [f"#{name}" for name in ids]
        assert [section["id"] for section in page.attributes("section")] == ids
        assert page.texts("a") == page.texts("h2")

    def test_there_is_one_heading_and_it_is_the_title(self, page):
        assert page.texts("h1") == page.texts("title")
        assert page.texts("h1")[0].startswith("<i>pets</i>: ")
        assert not {"h3", "h4"} & {name for name, _, _ in page.tags}

    def test_tables_have_headings(self, page):
        tables = page.attributes("table")
        assert len(tables) == len(page.attributes("thead")) == 3
        assert {head.get("scope") for head in page.attributes("th")} == {"col"}
        assert page.texts("th")[:7] == ["setting", "value", "class", "precision", "recall", "F1", "images"]

    def test_names_and_commands_are_text(self, page):
        assert [cell for cell in page.texts("td") if cell in ("<b>", 'a"b', "&amp;")] == [
            *("<b>", 'a"b', "&amp;")
        ]
        assert page.texts("pre")[-1] == NASTY
        assert not {"b", "i"} & {name for name, _, _ in page.tags}

    def test_it_declares_language_encoding_and_viewport(self, page):
        assert page.attributes("html") == [{"lang": "en"}]
        charset, viewport = page.attributes("meta")
        assert charset == {"charset": "utf-8"}
        assert viewport["name"] == "viewport"
        assert "width=device-width" in viewport["content"]


class TestWrite:
    def test_the_parts_are_in_order(self, tmp_path):
        assert small().write(str(tmp_path)) == tmp_path / "report.html"
        page = parsed(tmp_path / "report.html")
        assert page.texts("h1") == ["A title"]
        assert page.texts("p") == ["A lead.", "Text of one."]
        assert page.texts("dt") == ["accuracy", "epochs"]
        assert page.texts("dd") == ["91 %", "3"]
        assert page.texts("h2") == ["One", "Section two", "Three"]
        assert page.texts("figcaption") == ["A line.", "Wide.", "High."]
        assert page.texts("th") == ["class", "images"]
        assert page.texts("td") == ["ant", "3", "bee", "4"]
        assert page.texts("pre") == ["a  b\n  c"]
        assert [image["width"] for image in page.attributes("img")] == ["192", "288", "96"]

    def test_the_figures_are_written_beside_it(self, tmp_path):
        small().write(tmp_path / "new" / "folder")
        names = {"report.html", "line.png", "first.png", "second.png"}
        assert set(os.listdir(tmp_path / "new" / "folder")) == names

    def test_there_are_no_empty_elements(self, tmp_path):
        bare = Page("Only a title")
        bare.section("And a section")
        page = parsed(bare.write(tmp_path))
        assert not {"p", "dl", "table", "figure", "pre"} & {name for name, _, _ in page.tags}
        assert page.texts("h2") == ["And a section"]

    def test_everything_that_is_filled_in_is_text(self, tmp_path):
        page = Page(NASTY, NASTY, {NASTY: NASTY})
        page.section(NASTY, NASTY, {"line": (figure(), NASTY)}, [(NASTY,), (NASTY,)], NASTY)
        read = parsed(page.write(tmp_path))
        for tag in ("title", "h1", "dt", "dd", "a", "h2", "th", "td", "figcaption", "pre"):
            assert read.texts(tag) == [NASTY], tag
        assert read.texts("p") == [NASTY, NASTY]
        assert read.attributes("img")[0]["alt"] == NASTY
        assert not {"b", "script"} & {name for name, _, _ in read.tags}

    def test_other_alphabets_are_written(self, tmp_path):
        page = Page("Größe 3 × 4 – 靴")
        assert parsed(page.write(tmp_path)).texts("h1") == ["Größe 3 × 4 – 靴"]

    def test_writing_again_gives_the_same_page(self, tmp_path):
        page = small()
        first = page.write(tmp_path).read_bytes()
        assert page.write(tmp_path).read_bytes() == first

    def test_a_figure_that_fails_leaves_the_old_page(self, tmp_path):
        class Broken(Figure):
            def savefig(self, file, **_):
                raise RuntimeError("no more ink")

        (tmp_path / "report.html").write_text("old")
        page = small()
        page.section("Last", figures={"broken": (Broken(), "Never drawn.")})
        with pytest.raises(RuntimeError, match="ink"):
            page.write(tmp_path)
        assert (tmp_path / "report.html").read_text() == "old"
        assert set(os.listdir(tmp_path)) == {"report.html", "line.png", "first.png", "second.png"}

    def test_a_failure_while_writing_leaves_the_old_page(self, tmp_path, monkeypatch):
        def broken(path, *_, **__):
            path.write_bytes(b"half")
            raise RuntimeError("no more paper")

        (tmp_path / "report.html").write_text("old")
        monkeypatch.setattr("pathlib.Path.write_text", broken)
        with pytest.raises(RuntimeError, match="paper"):
            Page("A title").write(tmp_path)
        assert (tmp_path / "report.html").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["report.html"]

    def test_a_place_that_cannot_be_written_is_rejected(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            small().write(tmp_path / "file")
        assert (tmp_path / "file").read_text() == ""

    def test_a_folder_in_its_place_is_rejected_before_anything_is_drawn(self, tmp_path):
        (tmp_path / "report.html").mkdir()
        with pytest.raises(OutputError, match=r"report\.html: there is a folder of that name"):
            small().write(tmp_path)
        assert os.listdir(tmp_path) == ["report.html"]

    def test_figures_may_be_of_any_size(self, tmp_path):
        page = Page("t")
        sizes = [(0.5, 0.5), (20, 1), (1, 20)]
        page.section("s", figures={f"f{i}": (figure(*size), "A line.") for i, size in enumerate(sizes)})
        images = parsed(page.write(tmp_path)).attributes("img")
        assert [image["width"] for image in images] == ["48", "1920", "96"]

    def test_an_anchor_has_hyphens_instead_of_spaces(self, tmp_path):
        page = Page("t")
        page.section("How the weights moved")
        assert parsed(page.write(tmp_path)).attributes("section") == [{"id": "how-the-weights-moved"}]


@pytest.mark.parametrize(
    ("title", "name"), [("First", "b"), ("Second", "a")], ids=["a section's title", "a figure's name"]
)
def test_duplicates_on_the_page_are_rejected(title, name):
    page = Page("A page")
    page.section("First", figures={"a": (Figure(), "a figure")})
    with pytest.raises(ConfigError, match="already: give the section and each figure another name"):
        page.section(title, figures={name: (Figure(), "another")})
    assert len(page.sections) == 1
