"""A few fields to fill in: the path of a file to open, or the sides of a new run.

    app.push_screen(FormScreen("open", [Field("path", "path")]), lambda answer: ...)
    FormScreen("new", fields, preview=command_of)      # shows, and copies, what `command_of(answers)` returns

Enter closes the form with the answers once every field passes its check, and goes to the first that does not;
escape closes it with None. What is wrong is said under the fields.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from bitnet_tui.core.text import safe
from bitnet_tui.widgets.safe_input import SafeInput

if TYPE_CHECKING:
    from bitnet_tui.app import BitnetApp


def existing(text: str) -> str | None:
    """Return what is wrong with a path that has to exist, or None."""
    if not text:
        return "a path is needed"
    return None if Path(text).expanduser().exists() else f"{safe(text, 80)}: no such file or folder"


def existing_or_empty(text: str) -> str | None:
    """Return what is wrong with a path that may be left out, or None."""
    return existing(text) if text else None


def new_file(text: str) -> str | None:
    """Return what is wrong with a file that is to be made, or None."""
    file = Path(text).expanduser()
    if not file.parent.is_dir():
        return f"{safe(str(file.parent), 80)}: no such folder"
    return f"{safe(text, 80)}: is there already; name another" if file.exists() else None


def one_of(names: Sequence[str]) -> Callable[[str], str | None]:
    """Return a check that only `names` pass."""
    allowed = ", ".join(filter(None, names)) + (", or nothing," if "" in names else "")
    return lambda text: None if text in names else f"{safe(text, 40)!r}: one of {allowed} is allowed"


@dataclass(frozen=True)
class Field:
    """One line of a form; `check` returns what is wrong with its text, or None."""

    name: str
    label: str
    value: str = ""
    placeholder: str = ""
    found: Sequence[str] = ()
    """What was found around here that would do; a key puts one after another into the field."""
    check: Callable[[str], str | None] = existing


class FormScreen(ModalScreen[dict[str, str] | None]):
    """A form in a box."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="form.cancel"),
        Binding("ctrl+y", "copy", "Copy the command", show=False, id="form.copy"),
        Binding("ctrl+n", "found", "The next that was found", show=False, id="form.found"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="form.previous"),
        Binding("down", "app.focus_next", "Next field", show=False, id="form.next"),
    ]

    def __init__(
        self, title: str, fields: Sequence[Field], preview: Callable[[dict[str, str]], str] | None = None
    ) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._fields = fields
        self._preview = preview

    def compose(self) -> ComposeResult:
        """A label and an input a field."""
        with VerticalScroll(classes="box", can_focus=False) as box:
            box.border_title = Content(self._title)
            for field in self._fields:
                yield Label(Content(field.label), classes="field")
                yield SafeInput(field.value, field.placeholder, id=f"field-{field.name}", compact=True)
            yield Static(classes="problem")
            if self._preview is not None:
                yield Static(id="command")
            yield Static(Content(self._keys()), classes="keys")

    def _keys(self) -> str:
        cancel, copy, found = (cast("BitnetApp", self.app).key_of(f"form.{n}") for n in ("cancel", "copy", "found"))
        parts = ["⏎ go from any field" if len(self._fields) > 1 else "⏎ go"]
        parts += ["↑↓ another"] if len(self._fields) > 1 else []
        parts += [f"{found} a model found"] if any(field.found for field in self._fields) else []
        parts += [f"{cancel} cancel", *([f"{copy} copies the command"] if self._preview is not None else [])]
        return " · ".join(parts)

    def on_mount(self) -> None:
        """Begin at the first field that is empty."""
        empty = [field for field in self._fields if not field.value]
        self.query_one(f"#field-{(empty or self._fields)[0].name}", Input).focus()

    def on_input_changed(self) -> None:
        """Take back what was wrong, and show the command that equals the answers so far."""
        self.query_one(".problem", Static).update(Content(""))
        if self._preview is not None:
            self.query_one("#command", Static).update(Content(safe(self._preview(self._answers()), 600)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the answers; where one is missing or wrong, go there."""
        answers = self._answers()
        wrong = [(field, problem) for field in self._fields if (problem := field.check(answers[field.name]))]
        if not wrong:
            self.dismiss(answers)
            return
        field, problem = wrong[0]
        # Somebody who fills in a form from above has not come to an empty field yet: no word of it.
        ahead = not answers[field.name] and event.input.id != f"field-{field.name}"
        self.query_one(".problem", Static).update(Content("" if ahead else f"{field.label}: {problem}"))
        self.query_one(f"#field-{field.name}", Input).focus()

    def _answers(self) -> dict[str, str]:
        return {f.name: self.query_one(f"#field-{f.name}", Input).value.strip() for f in self._fields}

    def action_found(self) -> None:
        """Put the next path that was found into the field at hand, none that another field has."""
        box = self.focused
        here = next((field for field in self._fields if box is not None and box.id == f"field-{field.name}"), None)
        if here is None or not isinstance(box, Input):
            return
        taken = {answer for name, answer in self._answers().items() if name != here.name}
        choices = [path for path in here.found if path not in taken]
        if choices:
            at = choices.index(box.value) if box.value in choices else -1
            box.value = choices[(at + 1) % len(choices)]

    def action_copy(self) -> None:
        """Copy the command that equals the answers so far."""
        if self._preview is not None:
            self.app.copy_to_clipboard(self._preview(self._answers()))
            self.app.notify("copied the command", markup=False)

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
