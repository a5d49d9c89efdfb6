"""A Markdown page of ours as one HTML file that needs nothing else: no script, no style sheet, no image outside of it.

It knows the Markdown that `analysis.report` writes and no other. Whatever is not known is text, and text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

# Nothing may be loaded and nothing may run, whatever a figure or a name holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #262626; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 2em; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow: auto; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #d0d0d0; padding: .25em .7em; text-align: left; vertical-align: top; }
th.r, td.r { text-align: right; }
pre { background: #f4f4f4; padding: .8em; overflow-x: auto; }
figure { margin: 1em 0; }
svg { max-width: 100%; height: auto; background: #fff; }
"""
_HEADING = re.compile(r"(#{1,6}) (.*)")
_FENCE = re.compile(r"(`{3,})\w*")
_IMAGE = re.compile(r"!\[.*\]\(([\w.-]+)\)")
# What one line of text is made of: an escaped sign, code, bold, a line's end, and any other sign.
_INLINE = re.compile(r"\\(?P<sign>.)|`(?P<code>[^`]*)`|(?P<bold>\*\*)|(?P<end><br>)|(?P<other>.)", re.DOTALL)


def html_page(markdown: str, figures: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """Return `markdown` as a page.

    Parameters
    ----------
    markdown : as `report` and `analysis.markdown` write it
    figures : what stands where an image of that file name is, as HTML that is inserted as it is
    tables : texts that can be opened at the end of the page, such as CSV, by their names
    """
    lines = markdown.splitlines()
    title = next((found[2] for line in lines if (found := _HEADING.fullmatch(line))), "report")
    body = _blocks(lines, figures)
    for name, text in tables.items():
        body += [f"<details><summary>{escape(name)}</summary>", f"<pre>{escape(text)}</pre>", "</details>"]
    head = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(_plain(title))}</title>",
        f"<style>{_STYLE}</style></head>",
        "<body>",
    ]
    return "\n".join([*head, *body, "</body></html>", ""])


def _blocks(lines: Sequence[str], figures: Mapping[str, str]) -> list[str]:
    """Return the blocks of a page: headings, tables, lists, code, figures, paragraphs."""
    found: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.fullmatch(line):
            end = next((n for n in range(at + 1, len(lines)) if lines[n] == fence[1]), len(lines))
            found.append(f"<pre>{escape(chr(10).join(lines[at + 1 : end]))}</pre>")
            at = end + 1
            continue
        end = at + 1
        if heading := _HEADING.fullmatch(line):
            level = len(heading[1])
            found.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
        elif (image := _IMAGE.fullmatch(line)) and image[1] in figures:
            found.append(f"<figure>{figures[image[1]]}</figure>")
        elif line.startswith(("| ", "- ")):
            while end < len(lines) and lines[end].startswith(line[:2]):
                end += 1
            block = lines[at:end]
            found += _table(block) if line[0] == "|" else _list(block)
        elif line:
            while end < len(lines) and lines[end]:
                end += 1
            found.append(f"<p>{_inline(' '.join(lines[at:end]))}</p>")
        at = end
    return found


def _table(lines: Sequence[str]) -> list[str]:
    head, marks, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    kinds = [' class="r"' if mark.startswith("-") else "" for mark in marks]

    def row(cells: Sequence[str], tag: str) -> str:
        both = zip(cells, kinds, strict=False)
        return f"<tr>{''.join(f'<{tag}{kind}>{_inline(cell)}</{tag}>' for cell, kind in both)}</tr>"

    return ["<table>", *([row(head, "th")] if any(head) else []), *(row(one, "td") for one in rows), "</table>"]


def _list(lines: Sequence[str]) -> list[str]:
    return ["<ul>", *(f"<li>{_inline(line[2:])}</li>" for line in lines), "</ul>"]


def _inline(text: str) -> str:
    parts: list[str] = []
    bold = False
    for found in _INLINE.finditer(text):
        if found["bold"]:
            bold = not bold
            parts.append("<strong>" if bold else "</strong>")
        elif found["code"] is not None:
            parts.append(f"<code>{escape(found['code'])}</code>")
        else:
            parts.append("<br>" if found["end"] else escape(found["sign"] or found["other"]))
    return "".join(parts) + "</strong>" * bold


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
