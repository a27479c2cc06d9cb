"""Names of users on a page: whatever a column or a group is called, its letters are shown."""

from __future__ import annotations

import re
from html import escape
from typing import Any
from unicodedata import category

# What means something in Markdown: backslashes, code, emphasis (an underscore within a word is
# none), links and addresses that become links, columns, strikes, formulas and headings.
_MARKUP = re.compile(r"[\\`*\[\]|~$#:@]|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.", re.IGNORECASE)


def printable(name: Any) -> str:
    r"""Return a name on one line, with control characters as Python escapes them.

    Parameters
    ----------
    name : object
        Its ``str`` is taken.

    Returns
    -------
    str
        Without line breaks, terminal codes and changes of the direction of writing.

    Examples
    --------
    >>> print(printable("two\nlines"))
    two\nlines
    """
    return "".join(
        char.encode("unicode_escape").decode() if _is_control(char) else char for char in str(name)
    )


def _is_control(char: str) -> bool:
    return category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def markdown(name: Any) -> str:
    r"""Return Markdown that shows a name letter by letter, in a paragraph or in a table.

    Parameters
    ----------
    name : object
        Its ``str`` is taken.

    Returns
    -------
    str
        Without HTML, links, emphasis, code, formulas and ends of table cells.

    Examples
    --------
    >>> print(markdown("<b>|education_num"))
    &lt;b&gt;\|education_num
    """
    return _MARKUP.sub(r"\\\g<0>", escape(printable(name), quote=False))


def markdown_code(text: Any) -> str:
    """Return Markdown that shows a text as code, in a paragraph.

    Parameters
    ----------
    text : object
        Its ``str`` is taken.

    Returns
    -------
    str
        Between more backticks than the text has in a row.

    Examples
    --------
    >>> print(markdown_code("f"), markdown_code("a`b"))
    `f` `` a`b ``
    """
    text = printable(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " * (longest > 0)
    return f"{fence}{space}{text}{space}{fence}"
