"""The table of studies and networks: its columns, its pointer and its scroll bar."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from embcx_tui.figures.spans import Row, Span
from embcx_tui.tui.widgets.line_widget import Ink, ink_of
from embcx_tui.tui.widgets.table import Column, Table, fit_columns


def cell(item: str, width: int, ink: Ink) -> Row:
    return (Span(item),)


COLUMNS: list[Column[str]] = [
    Column("name", 4, cell, stretches=True),
    Column("data", 7, cell, wide=16, widen=1, wide_title="datasets"),
    Column("loss", 6, cell, drop=2),
    Column("train", 5, cell, drop=1),
    Column("last", 3, cell, least=60),
]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (25, [("name", 4), ("data", 7), ("loss", 6), ("train", 5)]),
        (24, [("name", 9), ("data", 7), ("loss", 6)]),
        (20, [("name", 5), ("data", 7), ("loss", 6)]),
        (18, [("name", 10), ("data", 7)]),
        (42, [("name", 12), ("datasets", 16), ("loss", 6), ("train", 5)]),
        (60, [("name", 26), ("datasets", 16), ("loss", 6), ("train", 5), ("last", 3)]),
    ],
)
def test_columns_are_dropped_stretched_and_widened_for_the_width(width: int, expected: list[tuple[str, int]]) -> None:
    columns = fit_columns(COLUMNS, width, gap=1, lead=0, room=10)
    assert [(column.title, column.width) for column in columns] == expected
    assert sum(column.width + 1 for column in columns) - 1 == width


class Names(Table[str]):
    def identity(self, item: str) -> str:
        return item

    def fit_columns(self, width: int) -> tuple[Column[str], ...]:
        return fit_columns(COLUMNS, width, self.gap, lead=2)

    def lead(self, item: str | None, here: bool, ink: Ink) -> Row:
        return (Span("> " if here else "  "),)

    def line_style(self, item: str, here: bool, ink: Ink) -> Span:
        return Span("")


class NamesApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Names()


async def test_the_pointer_stays_on_its_item_and_only_its_lines_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    app = NamesApp()
    async with app.run_test(size=(30, 12)) as pilot:
        table = app.query_one(Names)
        table.focus()
        table.set_items(tuple(f"item{n}" for n in range(8)))
        await pilot.press("down", "down")
        assert table.current == "item2"
        table.set_items(("new", *table.items))
        assert table.current == "item2" and table.pointer == 3
        await pilot.pause()
        regions: list[Region] = []
        monkeypatch.setattr(table, "refresh", lambda *given, **_: regions.extend(given))
        table.go_to(4)
        assert {region.y for region in regions} == {4, 5}
        assert sum(region.area for region in regions) == 2


async def test_the_line_under_the_pointer_is_on_the_screen_and_the_last_line_at_its_foot() -> None:
    app = NamesApp()
    async with app.run_test(size=(30, 11)) as pilot:
        table = app.query_one(Names)
        table.focus()
        table.set_items(tuple(f"n{n}" for n in range(50)))
        await pilot.pause()

        def shown() -> list[str]:
            lines = ("".join(span.text for span in row) for row in table.paint(30, 11, ink_of(table.app))[1:])
            return [line.strip("> ").split()[0] for line in lines if line.strip()]

        assert table.body_height == 10
        for key, item in (
            *((("down",), f"n{n}") for n in range(1, 25)),
            (("pagedown",), "n33"), (("end",), "n49"), (("down",), "n49"), (("up",), "n48"),
            (("pageup", "pageup"), "n30"), (("home",), "n0"), (("up",), "n0"),
        ):  # fmt: skip
            await pilot.press(*key)
            lines = shown()
            assert table.current == item and item in lines, (key, lines)
            assert len(lines) == 10, "no line of the panel is empty while there are others"
        # By the wheel, or by whatever asks for lines that there are not.
        for top in (41, 10_000):
            table.scroll_lines(top)
            assert table.top == 40 and shown()[-1] == "n49" and len(shown()) == 10
        table.scroll_lines(-3)
        assert table.top == 0 and shown()[0] == "n0"


async def test_the_scroll_bar_is_dragged_and_moves_no_pointer() -> None:
    app = NamesApp()
    async with app.run_test(size=(30, 11)) as pilot:
        table = app.query_one(Names)
        table.set_items(tuple(f"item{n}" for n in range(50)))
        await pilot.pause()
        await pilot.mouse_down(table, offset=(29, 10))
        assert table.top == table.last_top == 40
        await pilot.mouse_up(table, offset=(29, 10))
        await pilot.click(table, offset=(29, 1))
        assert table.top == 0 and table.pointer == 0
        await pilot.click(table, offset=(5, 3))
        assert table.current == "item2"
