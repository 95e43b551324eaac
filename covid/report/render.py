"""A report as Markdown, HTML or JSON: the same sections each time.

Written by hand and not by a template engine: a report is of six kinds of part, each a line or two in each format, and
every text from outside is escaped where it enters.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict
from html import escape
from typing import Any

from covid.report.document import Bullets, Figure, Links, Part, Report, Section, Table
from covid.report.style import CSS

NOTICE = "Not for clinical use."
_NUMBER = re.compile(r"([\d.,()%±+−–\s-]|\bto\b|\bof\b)*")  # intervals and shares count as numbers too


def to_html(report: Report) -> str:
    """One page that needs no other file: styles and pictures are in it, and no script is.

    >>> page = to_html(Report("A run", (Section("Summary", ("1 < 2",)),), {}))
    >>> "<h2 id=\\"s1\\">Summary</h2>" in page and "<p>1 &lt; 2</p>" in page
    True
    """
    links = "".join(
        f'<li><a href="#s{i}">{escape(section.heading)}</a></li>' for i, section in enumerate(report.sections, start=1)
    )
    body = "\n".join(_html_section(i, section) for i, section in enumerate(report.sections, start=1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(report.title)}</title>
<style>{CSS}</style>
</head>
<body>
<header>
<h1>{escape(report.title)}</h1>
<p class="notice">{NOTICE}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
<footer><p>{NOTICE}</p></footer>
</body>
</html>
"""


def _html_section(number: int, section: Section) -> str:
    parts = "\n".join(_html(part) for part in section.parts)
    heading = f'<h2 id="s{number}">{escape(section.heading)}</h2>'
    return f'<section aria-labelledby="s{number}">\n{heading}\n{parts}\n</section>'


def _html(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Bullets):
        return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in part.items) + "</ul>"
    if isinstance(part, Links):
        return (
            "<ul>"
            + "".join(f'<li><a href="{escape(path)}">{escape(text)}</a></li>' for text, path in part.items)
            + "</ul>"
        )
    if isinstance(part, Table):
        return _html_table(part)
    width, height = _png_size(part.png)
    source = "data:image/png;base64," + base64.b64encode(part.png).decode()
    return (
        f'<figure><img src="{source}" alt="{escape(part.alt)}" width="{width}" height="{height}">'
        f"<figcaption>{escape(part.caption)}</figcaption></figure>"
    )


def _html_table(part: Table) -> str:
    numeric = _numeric(part)
    classes = [' class="number"' if right else "" for right in numeric]
    head = "".join(
        f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(classes, part.header, strict=True)
    )
    rows = []
    for first, *rest in part.rows:
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(classes[1:], rest, strict=True))
        rows.append(f'<tr><th scope="row"{classes[0]}>{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(part.caption)}"><table>'
        f"<caption>{escape(part.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def to_markdown(report: Report, pictures: str = "report") -> str:
    """The report as Markdown; its pictures are linked as `pictures`/NAME.png."""
    lines = [f"# {report.title}", NOTICE]
    for section in report.sections:
        lines.append(f"## {section.heading}")
        lines += [_markdown(part, pictures) for part in section.parts]
    return "\n\n".join(lines) + "\n"


def _markdown(part: Part, pictures: str) -> str:
    if isinstance(part, str):
        return _plain(part)
    if isinstance(part, Bullets):
        return "\n".join(f"- {_plain(item)}" for item in part.items)
    if isinstance(part, Links):
        return "\n".join(f"- [{_plain(text)}](<{path}>)" for text, path in part.items)
    if isinstance(part, Table):
        return f"**{_plain(part.caption)}**\n\n{markdown_table(part)}"
    return f"![{_plain(part.alt)}]({pictures}/{part.name}.png)\n\n*{_plain(part.caption)}*"


def markdown_table(part: Table) -> str:
    """The rows of a table as Markdown, without its caption.

    >>> print(markdown_table(Table("", ("class", "images"), (("Normal", "12"),))))
    | class | images |
    |:--|--:|
    | Normal | 12 |
    """
    rule = "|" + "|".join("--:" if right else ":--" for right in _numeric(part)) + "|"
    rows = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in (part.header, *part.rows)]
    return "\n".join([rows[0], rule, *rows[1:]])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", text)


def to_json(report: Report) -> str:
    """The report as JSON: title, sections, and under "data" the numbers behind them; pictures by name only."""
    sections = [
        {"heading": section.heading, "parts": [_plain_types(part) for part in section.parts]}
        for section in report.sections
    ]
    return json.dumps({"title": report.title, "notice": NOTICE, "sections": sections, "data": report.data}, indent=2)


def _plain_types(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "paragraph", "text": part}
    values = asdict(part)
    if isinstance(part, Figure):
        values["file"] = f"report/{part.name}.png"
        del values["png"]
    return {"type": type(part).__name__.lower(), **values}


def _numeric(part: Table) -> list[bool]:
    """Which columns hold only numbers."""
    columns = zip(*part.rows, strict=True) if part.rows else [[""]] * len(part.header)
    return [bool("".join(column)) and all(_NUMBER.fullmatch(cell) for cell in column) for column in columns]


def _png_size(png: bytes) -> tuple[int, int]:
    """Width and height, which stand at bytes 16 to 23 of a PNG file."""
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
