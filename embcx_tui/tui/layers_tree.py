"""The tree of a study's networks: dataset, depth, activation, run; the untrained ones under their own word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from embcx_tui.figures.build import dataset_title
from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.study.plan import Plan
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.live_networks import STATUS_SIGNS
from embcx_tui.tui.places import Branch, Place, branches


class LayersTree(Tree[Place], inherit_bindings=False):
    """Shows `snapshot.plan`; the highlighted node is the selection, and it survives new snapshots."""

    # Arrows belong to the screen, whatever panel has the focus: up and down walk this tree, left and right flip layers.
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("enter", "toggle_node"),
        keys.hidden("space", "toggle_node"),
        keys.hidden("shift+up", "cursor_previous_sibling"),
        keys.hidden("shift+down", "cursor_next_sibling"),
        keys.hidden("shift+left", "cursor_parent"),
        keys.hidden("pageup", "page_up"),
        keys.hidden("pagedown", "page_down"),
        keys.hidden("home", "scroll_home"),
        keys.hidden("end", "scroll_end"),
    ]

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("study", id=id)
        self.show_root = False
        self.guide_depth = 2
        self.show_guides = False
        self.auto_expand = False
        self._plan: Plan | None = None
        self._by_place: dict[Place, TreeNode[Place]] = {}
        self._words: dict[Place, str] = {}

    def update_from(self, snapshot: Snapshot) -> None:
        """Show the networks of `snapshot`: rebuilt for another study, else only labels that changed."""
        if self._plan is None or self._plan.settings != snapshot.plan.settings:
            self._plan = snapshot.plan
            self._plant(snapshot)
        for network_state in snapshot.networks.values():
            network = network_state.network
            place = Place(network.dataset, network.depth, network.activation, network.run, network.control)
            words = _run_words(network_state)
            if self._words.get(place) != words:
                self._words[place] = words
                self._by_place[place].set_label(Text(words))

    def _plant(self, snapshot: Snapshot) -> None:
        self.clear()
        self._by_place.clear()
        self._words.clear()
        for branch in branches(snapshot.plan):
            self._grow(self.root, branch, level=0)
        # One dataset and one depth are open from the start, so that the activations are on the screen.
        for node in self.root.children[:1]:
            node.expand()
            if node.children:
                node.children[0].expand()

    def _grow(self, parent: TreeNode[Place], branch: Branch, level: int) -> None:
        words = Text(dataset_title(branch.words) if level == 0 else safe_text(branch.words))
        node = parent.add(words, branch.place, allow_expand=bool(branch.under))
        self._by_place[branch.place] = node
        for under in branch.under:
            self._grow(node, under, level + 1)

    def render_label(self, node: TreeNode[Place], base_style: Style, style: Style) -> Text:
        label = super().render_label(node, base_style, style)
        # Leaves stand under their branch's word, not under its arrow.
        return label if node.allow_expand else Text.assemble(("  ", base_style), label)

    @property
    def place(self) -> Place | None:
        """The selected node."""
        return self.cursor_node.data if self.cursor_node else None

    def select(self, place: Place) -> None:
        """Move the cursor to `place`, opening what is above it."""
        node = self._by_place.get(place)
        if node is None:
            return
        above = node.parent
        while above is not None and above is not self.root:
            above.expand()
            above = above.parent
        # A node just revealed has a line only after the tree has been laid out anew.
        self._tree_lines  # noqa: B018  # building the lines is the point
        self.move_cursor(node)

    def first_activation(self) -> Place | None:
        """Return the first node that stands for several runs: where a person begins."""
        return next((place for place in self._by_place if place.activation and place.run is None), None)

    def leaves(self) -> Iterator[Place]:
        """Yield every single network in the order of the tree."""
        return (place for place in self._by_place if place.run is not None)


def _run_words(state: NetworkState) -> str:
    return f"{STATUS_SIGNS[state.status]} run {state.network.run}"
