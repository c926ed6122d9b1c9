"""The parts of a model file as a tree: findings, tensors by block, metadata, tokenizer.

Blocks make their leaves when they are first opened, so a file of 200 000 tensors costs what is looked at.
A tensor whose statistics have arrived carries a small bar of its trits. Names enter as `Text`, never as
markup. Posts Textual's own NodeHighlighted; `node.data` is the `Part` it stands for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from bitnet_tui.core.inspect_view import Group, InspectView, Shares
from bitnet_tui.core.layout import file_layout
from bitnet_tui.core.text import elide, safe
from bitnet_tui.widgets.cells import fit

_BAR = 8
_NAME = 30
"""Cells for a name; the longest of Hugging Face's, without its block, just fit."""


@dataclass(frozen=True)
class Part:
    """What a node stands for."""

    kind: str
    """file, block, tensor, section, metadata, tokenizer, finding, difference or layout"""
    key: str = ""


class TensorTree(Tree[Part]):
    """The tree of one file."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "toggle_node", "expand", key_display="⏎", id="tree.toggle"),
        Binding("right", "open_node", "Expand", show=False, id="tree.open"),
        Binding("left", "close_node", "Collapse, or go to the parent", show=False, id="tree.close"),
        # Textual's own, named so that they can be remapped.
        Binding("up", "cursor_up", "Up", show=False, id="tree.up"),
        Binding("down", "cursor_down", "Down", show=False, id="tree.down"),
    ]
    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(Text("file"), Part("file"), id=id)
        self.guide_depth = 2
        self.show_guides = False
        self._view: InspectView | None = None
        self._room = _NAME
        self._tensors: dict[str, TreeNode[Part]] = {}
        self._groups: dict[str, Group] = {}
        self._differences: list[str] = []

    def show(self, view: InspectView, needle: str = "", differences: Sequence[str] = ()) -> None:
        """Build the tree of `view`, only what holds `needle`; what was selected stays selected.

        `differences` are the names of what differs from another file.
        """
        self._differences = list(differences)
        selected = self.cursor_node.data if self.cursor_node else None
        self._view = view
        longest = max((len(view.label(name)) for name in view.names()), default=0)
        # Type and bar want their place too: 28 cells beside a name, in a pane that is half as wide where there are two.
        width = self.app.size.width
        self._room = min(_NAME, longest, max(16, (width if width < 100 else width // 2) - 28))
        self._tensors, self._groups = {}, {}
        self.clear()
        self.root.set_label(Text(safe(view.path.rstrip("/").rsplit("/", 1)[-1], 80) or "file"))
        self.root.data = Part("file")
        self.root.expand()
        if not needle and view.findings():
            self._section("findings", [Part("finding", str(i)) for i in range(len(view.findings()))])
        if not needle and differences:
            self._section("differences", [Part("difference", str(i)) for i in range(len(differences))], opened=True)
        for group in view.groups(needle):
            self._add_group(group, opened=bool(needle))
        keys = view.metadata_keys(needle)
        if needle and not keys and not self.root.children:
            self.root.add_leaf(Text("nothing matches", "dim"), Part("file"))
        if keys:
            self._section("metadata", [Part("metadata", key) for key in keys], opened=bool(needle))
        if not needle and view.tokenizer():
            self.root.add_leaf(Text("tokenizer"), Part("tokenizer"))
        if not needle:
            for file in dict.fromkeys(span.file for span in file_layout(view.summary)):
                self.root.add_leaf(Text(f"layout of {safe(file, 60)}"), Part("layout", file))
        node = self._find(selected) if selected is not None else None
        # A node has no line before the tree is drawn.
        self.call_after_refresh(self.move_cursor, node or self.root)

    def go_to(self, part: Part) -> bool:
        """Put the cursor on a part, its block opened; return whether the tree has it."""
        node = self._find(part)
        if node is not None:
            self.call_after_refresh(self.move_cursor, node)
        return node is not None

    def update_tensor(self, name: str) -> None:
        """Redraw one tensor's label after its statistics have arrived."""
        if (node := self._tensors.get(name)) is not None and self._view is not None:
            node.set_label(self._tensor_label(name))

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Part]) -> None:
        """Make the leaves of a block when it is first opened."""
        self._fill(event.node)

    def action_open_node(self) -> None:
        """Expand the node, or step into it."""
        node = self.cursor_node
        if node is None:
            return
        if node.allow_expand and not node.is_expanded:
            node.expand()
        else:
            self.action_cursor_down()

    def action_close_node(self) -> None:
        """Collapse the node; from a leaf, go to its parent."""
        node = self.cursor_node
        if node is None:
            return
        if node.is_expanded and node is not self.root:
            node.collapse()
        elif node.parent is not None:
            self.move_cursor(node.parent)

    def render_label(self, node: TreeNode[Part], base_style: Style, style: Style) -> Text:
        """Render a label; a tensor's trits in the theme's colours."""
        label = super().render_label(node, base_style, style)
        part = node.data
        if part is None or part.kind != "tensor" or self._view is None:
            return label
        shares = self._view.shares(part.key)
        return label if shares is None else label.append_text(self._bar(shares))

    def _add_group(self, group: Group, opened: bool) -> None:
        if not group.is_block:
            for name in group.tensors:
                self._tensors[name] = self.root.add_leaf(self._tensor_label(name), Part("tensor", name))
            return
        self._groups[group.name] = group
        label = Text.assemble(safe(group.name, 60), (f"  {len(group.tensors)}", "dim"))
        node = self.root.add(label, Part("block", group.name))
        if opened:
            node.expand()

    def _fill(self, node: TreeNode[Part]) -> None:
        part = node.data
        if part is None or part.kind != "block" or node.children:
            return
        for name in self._groups[part.key].tensors:
            self._tensors[name] = node.add_leaf(self._tensor_label(name), Part("tensor", name))

    def _section(self, name: str, parts: list[Part], opened: bool = False) -> None:
        node = self.root.add(Text.assemble(name, (f"  {len(parts)}", "dim")), Part("section", name), expand=opened)
        for part in parts:
            node.add_leaf(Text(self._part_label(part)), part)

    def _part_label(self, part: Part) -> str:
        if part.kind == "difference":
            return safe(self._differences[int(part.key)], 80)
        if part.kind != "finding" or self._view is None:
            return safe(part.key, 80)
        entry = self._view.findings()[int(part.key)]
        mark = {"error": "✘", "warning": "!"}.get(str(entry.get("severity")), "·")
        return f"{mark} {safe(str(entry.get('message', '')), 80)}"

    def _tensor_label(self, name: str) -> Text:
        assert self._view is not None
        shown = elide(self._view.label(name), self._room)  # both ends of a name tell tensors apart
        return Text.assemble(fit(shown, self._room), (f" {self._view.type_of(name):<6} ", "dim"))

    def _bar(self, shares: Shares) -> Text:
        colors = self.app.theme_variables
        negative = round(shares.negative * _BAR)
        positive = min(round(shares.positive * _BAR), _BAR - negative)
        return Text.assemble(
            ("▐" + "█" * negative, colors["tern-neg"]),
            ("░" * (_BAR - negative - positive), colors["tern-zero"]),
            ("█" * positive + "▌", colors["tern-pos"]),
        )

    def _find(self, part: Part) -> TreeNode[Part] | None:
        if part.kind == "tensor":
            self._open_block_of(part.key)
            return self._tensors.get(part.key)
        nodes = [self.root, *self.root.children]
        nodes += [leaf for node in self.root.children for leaf in node.children]
        return next((node for node in nodes if node.data == part), None)

    def _open_block_of(self, name: str) -> None:
        for node in self.root.children:
            group = self._groups.get(node.data.key) if node.data and node.data.kind == "block" else None
            if group is not None and name in group.tensors:
                self._fill(node)
                node.expand()
