"""One page, three ways to show it: :class:`Page`."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pandas as pd

from skmeta._text import markdown, printable

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
"""

_WIDTH = 100
"""Where paragraphs are broken in a terminal."""


@dataclass
class Page:
    """Headings, sentences, tables and pictures, in their order.

    Texts are plain: whatever a column or a group is called, its letters are shown.

    Parameters
    ----------
    title : str
        Of the page.
    """

    title: str
    _blocks: list[tuple[str, object]] = field(default_factory=list)

    def head(self, text: str) -> None:
        """Begin a section."""
        self._blocks.append(("head", text))

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self._blocks.append(("say", text))

    def point(self, text: str) -> None:
        """Add an item of a list."""
        self._blocks.append(("point", text))

    def table(self, frame: pd.DataFrame) -> None:
        """Add a table; cells are texts, and the index is the first column."""
        self._blocks.append(("table", frame.astype(str)))

    def picture(self, path: Path, text: str) -> None:
        """Add a PNG file that lies beside the page."""
        self._blocks.append(("picture", (path, text)))

    def to_text(self, *, sections: int | None = None) -> str:
        """Show the page in a terminal, without pictures.

        Parameters
        ----------
        sections : int, optional
            How many to show, from the first; by default all.

        Returns
        -------
        str
        """
        return self._joined(
            {
                "head": lambda text: f"\n{printable(text)}\n",
                "say": lambda text: "\n".join(textwrap.wrap(printable(text), _WIDTH)),
                "point": lambda text: textwrap.fill(
                    printable(text), _WIDTH, initial_indent="- ", subsequent_indent="  "
                ),
                "table": lambda frame: textwrap.indent(_plain(frame, printable).to_string(), "  "),
                "picture": lambda _: "",
            },
            printable(self.title),
            sections,
        )

    def to_markdown(self) -> str:
        """Show the page as Markdown, with pictures as links to their files.

        Returns
        -------
        str
        """
        return self._joined(
            {
                "head": lambda text: f"\n## {markdown(text)}\n",
                "say": lambda text: f"{markdown(text)}\n",
                "point": lambda text: f"- {markdown(text)}",
                "table": lambda frame: "\n" + _markdown_table(_plain(frame, markdown)) + "\n",
                "picture": lambda block: f"![{markdown(block[1])}]({block[0].name})\n",
            },
            f"# {markdown(self.title)}\n",
        )

    def to_html(self) -> str:
        """Show the page as one HTML file that holds its pictures.

        Returns
        -------
        str
        """
        shown = {
            "head": lambda text: f"<h2>{_html(text)}</h2>",
            "say": lambda text: f"<p>{_html(text)}</p>",
            "point": lambda text: f"<ul><li>{_html(text)}</li></ul>",
            "table": lambda frame: _plain(frame, _html).to_html(escape=False, border=0),
            "picture": _embedded,
        }
        title = _html(self.title)
        body = self._joined(shown, f"<h1>{title}</h1>").replace("</ul>\n<ul>", "")
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n"
            "</html>\n"
        )

    def _joined(self, shown: dict[str, Callable], first: str, sections: int | None = None) -> str:
        heads = [i for i, (kind, _) in enumerate(self._blocks) if kind == "head"]
        end = None if sections is None else [*heads, None][min(sections, len(heads))]
        return "\n".join([first, *(shown[kind](content) for kind, content in self._blocks[:end])])


def _html(text: object) -> str:
    return escape(printable(text))


def _plain(frame: pd.DataFrame, shown: Callable[[object], str]) -> pd.DataFrame:
    """Return a table whose every text is safe to show."""
    columns = [shown(name) for name in frame.columns]
    index = [shown(name) for name in frame.index]
    cells = [[shown(cell) for cell in row] for row in frame.to_numpy()]
    return pd.DataFrame(cells, index=index, columns=columns)


def _markdown_table(frame: pd.DataFrame) -> str:
    rows = [["", *frame.columns], ["---"] * (frame.shape[1] + 1)]
    rows += [[name, *row] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _embedded(block: tuple[Path, str]) -> str:
    path, text = block
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{_html(text)}" src="data:image/png;base64,{data}">'
