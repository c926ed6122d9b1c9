"""The export dialog: a file name whose suffix is the format, and the command that writes the same file.

    app.push_screen(export_form(offer, size=(120, 40), theme="bitnet-dark"), lambda answer: ...)
    write_export(offer, path, svg)         # what was asked for; call it in a thread

Never writes over a file. Knows no screen: an `Offer` says what there is to export.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import App

from bitnet_tui.core.command_line import command
from bitnet_tui.core.exporting import FORMATS, PICTURE
from bitnet_tui.core.session import write_atomic
from bitnet_tui.core.text import safe
from bitnet_tui.screens.form import Field, FormScreen, new_file


@dataclass(frozen=True)
class Offer:
    """What a screen has to export.

    Args:
        stem: a likely name of the file, without its suffix.
        opened: words of the command line that opens the screen; the picture is made by it.
        write: writes the data as the suffix of a path says, raising BitnetError; None where there is only the picture.
        data_command: words of the command line that writes the data, `--export FILE` left out.
    """

    stem: str
    opened: tuple[str, ...]
    write: Callable[[Path], None] | None = None
    data_command: tuple[str, ...] = ()
    formats: tuple[str, ...] = FORMATS
    """The suffixes that can be written; of what has no data the picture's alone."""
    command_of: Callable[[Path], str] | None = None
    """The whole command for a file, where it is none of the two above."""

    def __post_init__(self) -> None:
        """Leave the picture alone where there is nothing else."""
        if self.write is None:
            object.__setattr__(self, "formats", (PICTURE,))


def svg_of(app: App[Any]) -> str:
    """Return the screen of `app` as SVG."""
    # Textual numbers the styles of each picture anew; a picture of the same screen must not differ.
    return re.sub(r"terminal-\d+-", "terminal-", app.export_screenshot(simplify=True)) + "\n"


def export_form(offer: Offer, size: tuple[int, int], theme: str) -> FormScreen:
    """Return the dialog; `size` and `theme` are those of the screen at hand."""
    suffix = ".md" if ".md" in offer.formats else PICTURE

    def preview(answers: Mapping[str, str]) -> str:
        file = answers["file"]
        if offer.command_of is not None:
            return offer.command_of(Path(file))
        if Path(file).suffix != PICTURE:
            words = offer.data_command
            at = words.index("--") if "--" in words else len(words)  # behind it an option is none
            return command(*words[:at], "--export", file, *words[at:])
        shape = ("--size", f"{size[0]}x{size[1]}", "--theme", theme)
        return command(*offer.opened, "--export", file, *shape)

    field = Field("file", f"file ({' '.join(offer.formats)})", f"{offer.stem}{suffix}", check=_check(offer.formats))
    return FormScreen("export", [field], preview)


def write_export(offer: Offer, file: Path, svg: str) -> None:
    """Write `file`: the picture `svg`, or the data. Raises BitnetError."""
    if file.suffix == PICTURE:
        write_atomic(file, svg.encode())
    elif offer.write is not None:
        offer.write(file)


def _check(formats: tuple[str, ...]) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        file = Path(text).expanduser()
        if file.suffix not in formats:
            return f"'{safe(file.suffix, 20)}' is no format; {' '.join(formats)} are"
        return new_file(text)

    return check
