"""`embcx-tui report --html`: one file that needs nothing else, in which names are text and nothing more."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from click.testing import CliRunner

from embcx_tui.analysis.html_page import html_page
from embcx_tui.analysis.markdown import escaped, fenced, table
from embcx_tui.cli import cli
from tests import small_study

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&`**_[a](javascript:x)"


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} is closed where it is not open"

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]


def written(folder: Path) -> str:
    done = CliRunner().invoke(cli, ["report", "last", "--html", "--out", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(folder / "report.html")
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    return (folder / "report.html").read_text(encoding="utf-8")


def test_one_file_holds_text_tables_and_figures_and_names_nothing_outside(tmp_path: Path) -> None:
    asked = small_study.settings(depths=[1], activations=["relu"], runs=2).model_copy(update={"name": HOSTILE})
    small_study.write(asked, classes=(HOSTILE[:30], *small_study.CLASSES[1:]))
    text = written(tmp_path / "out")
    page = Page(text)
    assert page.open == [] and HOSTILE in page.text
    assert not page.tags & {"script", "img", "iframe", "link", "object", "embed", "form", "a", "base", "foreignobject"}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "action", "data"), (tag, name)
            assert "href" not in name or str(value).startswith("#"), (tag, name, value)
            assert "url(" not in str(value) or "url(#" in str(value), (tag, name, value)
    assert "default-src 'none'" in text and "@import" not in text
    # Every figure of the Markdown report is there, and what its parts refer to is in it, once.
    figures = sum(tag == "figure" for tag, _ in page.elements)
    assert figures == sum(tag == "svg" for tag, _ in page.elements) >= 5
    assert len(page.ids) == len(set(page.ids))
    for _, attributes in page.elements:
        for value in attributes.values():
            for part in str(value).split("url(#")[1:] if "url(#" in str(value) else []:
                assert part.partition(")")[0] in page.ids
    assert {str(one["href"])[1:] for _, one in page.elements if "href" in one} <= set(page.ids)
    for words in ("Complexity of each layer", "To repeat it", "layers.csv", "embcx-tui run study.toml"):
        assert words in page.text, words
    assert written(tmp_path / "out") == text


def test_markdown_of_ours_becomes_what_it_says_and_no_more() -> None:
    lines = [
        f"# Name: {escaped('<b>')}",
        "",
        "**Bold** and `code <i>`, twenty\\<br\\> lines<br>end",
        "and on.",
        "",
        *table(("a", "b"), [(escaped("x|y"), "1<br>2"), (escaped("\\"), "3")]),
        "- one",
        f"- {escaped('**two**')}",
        "",
        "![known](one)",
        "",
        "![other](two)",
        "",
        *fenced("<raw> `tick`\n```\n# no head", "toml"),
    ]
    page = html_page("\n".join(lines), {"one": "<svg></svg>"}, {"n.csv": "a,<b>"})
    for part in (
        "<title>Name: &lt;b&gt;</title>",
        "<h1>Name: &lt;b&gt;</h1>",
        "<p><strong>Bold</strong> and <code>code &lt;i&gt;</code>, twenty&lt;br&gt; lines<br>end and on.</p>",
        '<tr><th>a</th><th class="r">b</th></tr>',
        '<tr><td>x|y</td><td class="r">1<br>2</td></tr>',
        '<tr><td>\\</td><td class="r">3</td></tr>',
        "<li>one</li>\n<li>**two**</li>",
        "<figure><svg></svg></figure>",
        "<p>![other](two)</p>",
        "<pre>&lt;raw&gt; `tick`\n```\n# no head</pre>",
        "<details><summary>n.csv</summary>\n<pre>a,&lt;b&gt;</pre>",
    ):
        assert part in page, part
