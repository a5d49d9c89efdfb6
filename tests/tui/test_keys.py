"""The table of keys: every action that it names is a method that takes the arguments given there."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import pytest
from textual.actions import parse
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from embcx_tui import tui
from embcx_tui.tui import keys
from embcx_tui.tui.app import EmbcxApp

for module in walk_packages(tui.__path__, f"{tui.__name__}."):
    import_module(module.name)


def subclasses(of: type) -> set[type]:
    """Return the classes of the screens below `of`."""
    children: list[type] = of.__subclasses__()
    below = {one for child in children for one in (child, *subclasses(child))}
    return {one for one in below if one.__module__.startswith(tui.__name__)}


def bindings_of(node: type) -> Iterator[Binding]:
    """Yield the bindings of a class that are not Textual's."""
    for base in node.__mro__:
        if base.__module__.startswith(tui.__name__):
            yield from Binding.make_bindings(vars(base).get("BINDINGS", ()))


def takes(target: type, name: str, arguments: tuple[object, ...]) -> bool:
    """Return whether `target` has the action `name`, for these arguments."""
    action = getattr(target, f"action_{name}", None)
    if action is None:
        return False
    try:
        inspect.signature(action).bind(None, *arguments)
    except TypeError:
        return False
    return True


# Classes that nothing is derived from: a base class may leave an action to those derived from it.
NODES = sorted((one for one in subclasses(DOMNode) if not subclasses(one)), key=str)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_action_of_the_table_exists_where_it_is_bound(node: type) -> None:
    for binding in bindings_of(node):
        namespace, name, arguments = parse(binding.action)
        targets: dict[str, list[type]] = {
            "": [node],
            "app": [EmbcxApp],
            "screen": [one for one in NODES if issubclass(one, Screen)],
        }
        assert any(takes(target, name, arguments) for target in targets[namespace]), (binding.id, binding.action)


def test_every_binding_of_the_table_is_bound() -> None:
    assert {binding.id for node in NODES for binding in bindings_of(node) if binding.id} == set(keys.by_id())
