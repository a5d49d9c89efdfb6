"""The tree of a study's networks: dataset, depth, activation, run; the untrained ones under their own word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import ClassVar, Self

from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.geometry import Region
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.study.naming import dataset_title, network_name
from embcx_tui.study.plan import Network, Plan
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.layers.tree_nodes import Branch, NodeKey, branches, node_key_of
from embcx_tui.tui.live.network_table import STATUS_SIGNS
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN


class LayersTree(Tree[NodeKey], inherit_bindings=False):
    """Shows `snapshot.plan`; the highlighted node is the selection, and it survives new snapshots."""

    # Arrows belong to the screen, whatever panel has the focus: up and down walk this tree, left and right flip layers.
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("enter", "toggle_node"),
        keys.hidden("pageup", "page_up"),
        keys.hidden("pagedown", "page_down"),
        keys.hidden("home", "scroll_home"),
        keys.hidden("end", "scroll_end"),
    ]

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "

    _planting = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("study", id=id)
        self.show_root = False
        self.guide_depth = 2
        self.show_guides = False
        self.auto_expand = False
        self._plan: Plan | None = None
        self._by_place: dict[NodeKey, TreeNode[NodeKey]] = {}
        self._words: dict[NodeKey, str] = {}
        self._names: dict[NodeKey, str] = {}
        self._filter: tuple[str, ...] = ()
        self._marked: tuple[Network, ...] = ()
        self._states: dict[NodeKey, NetworkState] = {}
        self._noted: list[NetworkState] = []

    def update_from(self, snapshot: Snapshot, marked: tuple[Network, ...] = (), words: str = "") -> int:
        """Show the networks of `snapshot` whose names hold all `words`, those `marked` with a sign; return how many.

        Rebuilt for another study or filter, else only labels that changed.
        """
        wanted = tuple(words.lower().split())
        self._marked = marked
        self._states = {node_key_of(state.network): state for state in snapshot.networks.values()}
        self._noted = [
            state
            for state in self._states.values()
            if state.at_chance or state.status == "diverged" or state.network in marked
        ]
        if self._plan is None or self._plan.settings != snapshot.plan.settings or wanted != self._filter:
            place = self.place if self._plan and self._plan.settings == snapshot.plan.settings else None
            self._plan, self._filter = snapshot.plan, wanted
            self._plant(snapshot)
            if place:
                self.select(place)
        for node in self._by_place.values():
            self.name_anew(node)
        return sum(1 for _ in self.leaves())

    def name_anew(self, node: TreeNode[NodeKey]) -> None:
        """Write what a node is and, while it is closed, what of it needs a look."""
        place = node.data
        if place is None or self._by_place.get(place) is not node:
            return
        whole = self._label(place, closed=not node.is_expanded)
        if self._words[place] != whole:
            self._words[place] = whole
            node.set_label(Text(whole))

    def _label(self, place: NodeKey, *, closed: bool) -> str:
        if place.run is None:
            return self._names[place] + (self._under(place, self._noted) if closed else "")
        state = self._states[place]
        return ("✓ " if state.network in self._marked else "") + _run_words(state)

    def _under(self, place: NodeKey, noted: list[NetworkState]) -> str:
        """Return how many networks of a closed node are marked, at chance and diverged, each by its sign."""
        held = [state for state in noted if place.holds(state.network)]
        counts = {
            "✓": sum(state.network in self._marked for state in held),
            AT_CHANCE_SIGN: sum(state.at_chance for state in held),
            DIVERGED_SIGN: sum(state.status == "diverged" for state in held),
        }
        return "".join(f" {sign}{count}" for sign, count in counts.items() if count)

    def _plant(self, snapshot: Snapshot) -> None:
        self.clear()
        self._by_place.clear()
        self._words.clear()
        self._names.clear()
        self._planting = True
        for branch in branches(snapshot.plan):
            kept = branch if not self._filter else _filtered(branch, snapshot.plan, self._filter)
            if kept:
                self._grow(self.root, kept, level=0)
        self._planting = False
        self.refresh(layout=True)
        if self._filter:
            self.root.expand_all()
            return
        # One dataset and one depth are open from the start, so that the activations are on the screen.
        for node in self.root.children[:1]:
            node.expand()
            if node.children:
                node.children[0].expand()

    def _grow(self, parent: TreeNode[NodeKey], branch: Branch, level: int) -> None:
        words = dataset_title(branch.words) if level == 0 else safe_text(branch.words)
        self._names[branch.place] = words
        # With its whole label from the start: each that is changed later is a message of its own.
        self._words[branch.place] = self._label(branch.place, closed=True)
        node = parent.add(Text(self._words[branch.place]), branch.place, allow_expand=bool(branch.under))
        self._by_place[branch.place] = node
        for under in branch.under:
            self._grow(node, under, level + 1)

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Refresh the widget; not for each of some hundred nodes while it is planted."""
        return (
            self if self._planting else super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        )

    def render_label(self, node: TreeNode[NodeKey], base_style: Style, style: Style) -> Text:
        label = super().render_label(node, base_style, style)
        # Leaves stand under their branch's word, not under its arrow.
        return label if node.allow_expand else Text.assemble(("  ", base_style), label)

    def is_here(self, node: TreeNode[NodeKey]) -> bool:
        """Tell whether a node still stands in the tree: word of others may arrive after it was planted anew."""
        return node.data is not None and self._by_place.get(node.data) is node

    @property
    def place(self) -> NodeKey | None:
        """The selected node."""
        return self.cursor_node.data if self.cursor_node else None

    def known_place(self, fields: Mapping[str, object]) -> NodeKey | None:
        """Return the node with these fields; None where the tree has none."""
        return next((place for place in self._by_place if asdict(place) == dict(fields)), None)

    def select(self, place: NodeKey) -> None:
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

    def first_activation(self) -> NodeKey | None:
        """Return the first node that stands for several runs: where a person begins."""
        return next((place for place in self._by_place if place.activation and place.run is None), None)

    def leaves(self) -> Iterator[NodeKey]:
        """Yield every single network in the order of the tree."""
        return (place for place in self._by_place if place.run is not None)


def _filtered(branch: Branch, plan: Plan, words: tuple[str, ...]) -> Branch | None:
    """Return what of `branch` leads to networks whose names hold all `words`; None where nothing does."""
    if branch.place.run is not None:
        network = branch.place.network(plan)
        name = network_name(network).lower() if network else ""
        return branch if all(word in name for word in words) else None
    under = tuple(kept for one in branch.under if (kept := _filtered(one, plan, words)))
    return Branch(branch.words, branch.place, under) if under else None


def _run_words(state: NetworkState) -> str:
    name = f"run {state.network.run}"
    if state.status == "diverged":
        return f"{DIVERGED_SIGN} {name} diverged"
    # Short: the whole word does not fit beside a scroll bar in 26 columns.
    return f"{AT_CHANCE_SIGN} {name} chance" if state.at_chance else f"{STATUS_SIGNS[state.status]} {name}"
