"""`Page`: a report in one HTML file, which can be mailed and opened offline."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from minicnn import plots
from minicnn.errors import ConfigError
from minicnn.files import check_file, check_path, replacing
from minicnn.text import printable_lines

NAME = "report.html"


@dataclass
class _Picture:
    name: str
    caption: str
    figure: Figure
    data: str = ""  # the PNG in base64, once it was drawn

    @property
    def width(self) -> int:
        """The figure's width in CSS pixels, 96 to the inch."""
        return round(96 * self.figure.get_figwidth())


@dataclass
class _Section:
    title: str
    text: str
    pictures: list[_Picture]
    table: Sequence[Sequence[object]]
    code: str
    last: bool

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


class Page:
    """A report, built section by section.

    Below the title come the lead (a sentence or two), and the most important facts, name to value. A warning
    is shown in a red box.
    """

    def __init__(
        self, title: str, lead: str = "", facts: Mapping[str, str] | None = None, warning: str = ""
    ) -> None:
        self.title, self.lead, self.facts, self.warning = title, lead, dict(facts or {}), warning
        self.sections: list[_Section] = []

    def section(
        self,
        title: str,
        text: str = "",
        figures: Mapping[str, tuple[Figure, str]] | None = None,
        table: Sequence[Sequence[object]] = (),
        code: str = "",
        last: bool = False,
    ) -> None:
        """Add a section; raise ConfigError if the page has a section or a figure of the same name.

        Parameters
        ----------
        title, text : str
        figures : dict of str to (Figure, str), optional
            File name without ``.png`` to the figure and its caption, which is also its alternative text.
        table : sequence of rows
            The first row is the header.
        code : str
            A command or a summary, shown in a fixed-width font.
        last : bool
            Keep the section behind those added later.
        """
        figures = figures or {}
        names = {picture.name for section in self.sections for picture in section.pictures}
        taken = names & figures.keys() or {section.title for section in self.sections} & {title}
        if taken:
            raise ConfigError(
                f"the page has {min(taken)!r} already: give the section and each figure another name"
            )
        pictures = [_Picture(name, caption, figure) for name, (figure, caption) in figures.items()]
        self.sections.append(_Section(title, text, pictures, table, code, last))
        self.sections.sort(key=lambda section: section.last)  # stable

    def write(self, folder: str | Path) -> Path:
        """Write every figure as PNG and the page, ``report.html``, to ``folder``; return the page's path."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        folder = check_path(folder)
        check_file(folder / NAME)
        for picture in (picture for section in self.sections for picture in section.pictures):
            path = folder / f"{picture.name}.png"
            plots.save(picture.figure, path)
            picture.data = base64.b64encode(path.read_bytes()).decode()
        templates = Environment(
            loader=PackageLoader("minicnn", "report"),
            autoescape=True,  # a class may be called "<b>"
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        text = templates.get_template("page.html").render(page=self)
        with replacing(folder / NAME) as temporary:
            temporary.write_text(printable_lines(text), encoding="utf-8")
        return folder / NAME
