"""The tree of a study's networks, dataset, depth, activation, run, and the field in which it is filtered."""

from __future__ import annotations

from typing import ClassVar, Self

from rich.style import Style
from rich.text import Text
from textual import on
from textual.binding import BindingType
from textual.geometry import Region
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.study.naming import dataset_title
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.layers.selection import Branch, NodeKey, StudyTree, node_key_of
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN, STATUS_SIGNS

_COMPARED_SIGN = "✓"


class LayersTree(Tree[NodeKey], inherit_bindings=False):
    """Shows a `StudyTree`; its cursor is the selection, which survives new snapshots."""

    # The arrows belong to the screen, whichever panel has the focus: up and down move through this tree, left and
    # right through layers.
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("enter", "toggle_node"),
        keys.hidden("pageup", "page_up"),
        keys.hidden("pagedown", "page_down"),
        keys.hidden("home,g", "scroll_home"),
        keys.hidden("end,G", "scroll_end"),
    ]

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "

    _building = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("study", id=id)
        self.show_root = False
        self.guide_depth = 2
        self.show_guides = False
        self.auto_expand = False
        self._tree: StudyTree | None = None
        self._node_of: dict[NodeKey, TreeNode[NodeKey]] = {}
        self._names: dict[NodeKey, str] = {}
        self._labels: dict[NodeKey, str] = {}
        self._marked: tuple[NodeKey, ...] = ()
        self._states: dict[NodeKey, NetworkState] = {}
        self._flagged: list[NetworkState] = []

    def show(self, tree: StudyTree, snapshot: Snapshot, marked: tuple[NodeKey, ...]) -> None:
        """Show the networks of `tree` as they are in `snapshot`, the `marked` nodes with a sign.

        Another `tree` has its nodes rebuilt; otherwise only labels that changed are written.
        """
        self._marked = marked
        self._states = {node_key_of(state.network): state for state in snapshot.networks.values()}
        self._flagged = [state for state in self._states.values() if state.at_chance or state.status == "diverged"]
        if tree is not self._tree:
            same_study = self._tree is not None and self._tree.settings == tree.settings
            selected = self.selected if same_study else None
            self._tree = tree
            self._plant(tree)
            if selected:
                self.select(selected)
        for node in self._node_of.values():
            self.update_label(node)

    def update_label(self, node: TreeNode[NodeKey]) -> None:
        """Write what a node is and, while it is closed, what under it needs a look."""
        key = node.data
        if key is None or not self.contains(node):
            return
        label = self._label(key, closed=not node.is_expanded)
        if self._labels[key] != label:
            self._labels[key] = label
            node.set_label(Text(label))

    @on(Tree.NodeExpanded)
    @on(Tree.NodeCollapsed)
    def _toggled(self, event: Tree.NodeExpanded[NodeKey] | Tree.NodeCollapsed[NodeKey]) -> None:
        self.update_label(event.node)

    def _label(self, key: NodeKey, *, closed: bool) -> str:
        sign = f"{_COMPARED_SIGN} " if key in self._marked else ""
        if key.run is None:
            return sign + self._names[key] + (self._flags_under(key) if closed else "")
        return sign + _run_label(self._states[key], self._names[key])

    def _flags_under(self, key: NodeKey) -> str:
        """Return how much under a closed node is marked, at chance and diverged, each with its sign."""
        under = [state for state in self._flagged if key.contains(state.network)]
        counts = {
            _COMPARED_SIGN: sum(key != marked and key.holds(marked) for marked in self._marked),
            AT_CHANCE_SIGN: sum(state.at_chance for state in under),
            DIVERGED_SIGN: sum(state.status == "diverged" for state in under),
        }
        return "".join(f" {sign}{count}" for sign, count in counts.items() if count)

    def _plant(self, tree: StudyTree) -> None:
        self.clear()
        for cache in (self._node_of, self._labels, self._names):
            cache.clear()
        self._building = True
        for branch in tree.branches:
            self._add(self.root, branch, level=0)
        self._building = False
        self.refresh(layout=True)
        if tree.words:
            self.root.expand_all()
            return
        # One dataset and one depth are open from the start, so that the activations are on the screen.
        for node in self.root.children[:1]:
            node.expand()
            if node.children:
                node.children[0].expand()

    def _add(self, parent: TreeNode[NodeKey], branch: Branch, level: int) -> None:
        self._names[branch.node] = dataset_title(branch.label) if level == 0 else safe_text(branch.label)
        # With its whole label from the start, because each later change of a label is a message of its own.
        self._labels[branch.node] = self._label(branch.node, closed=True)
        node = parent.add(Text(self._labels[branch.node]), branch.node, allow_expand=bool(branch.under))
        self._node_of[branch.node] = node
        for under in branch.under:
            self._add(node, under, level + 1)

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Refresh the widget; while nodes are built, not for each of some hundred of them."""
        return (
            self if self._building else super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        )

    def render_label(self, node: TreeNode[NodeKey], base_style: Style, style: Style) -> Text:
        label = super().render_label(node, base_style, style)
        # Leaves are aligned with the word of their branch, not with its arrow.
        return label if node.allow_expand else Text.assemble(("  ", base_style), label)

    def contains(self, node: TreeNode[NodeKey]) -> bool:
        """Tell whether a node is still part of the tree: messages may arrive after the tree was rebuilt."""
        return node.data is not None and self._node_of.get(node.data) is node

    @property
    def selected(self) -> NodeKey | None:
        """The node under the cursor."""
        return self.cursor_node.data if self.cursor_node else None

    def adjacent(self) -> list[NodeKey]:
        """Return the nodes on the lines below and above the cursor."""
        nodes = (self.get_node_at_line(line) for line in (self.cursor_line + 1, self.cursor_line - 1))
        return [node.data for node in nodes if node and node.data]

    def select(self, key: NodeKey) -> None:
        """Move the cursor to a node, opening the nodes above it; a node that is filtered out is not selected."""
        node = self._node_of.get(key)
        if node is None:
            return
        above = node.parent
        while above is not None and above is not self.root:
            above.expand()
            above = above.parent
        # Private to Textual: reading it builds the tree's lines at once. Without that, a node that was just revealed
        # has no line yet, and the cursor cannot go there before the next layout.
        self._tree_lines  # noqa: B018  # read for its effect
        self.move_cursor(node)


def _run_label(state: NetworkState, name: str) -> str:
    if state.status == "diverged":
        return f"{DIVERGED_SIGN} {name} diverged"
    # "chance", because "at chance" does not fit beside a scroll bar in 26 columns.
    return f"{AT_CHANCE_SIGN} {name} chance" if state.at_chance else f"{STATUS_SIGNS[state.status]} {name}"
