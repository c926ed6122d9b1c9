"""`bitnet-tui tokenize MODEL TEXT`: the ids a model's tokenizer gives."""

import sys
from pathlib import Path

import click

from bitnet_tui.cli.options import export_json, export_option, json_option, show, utf8
from bitnet_tui.core import session
from bitnet_tui.display.plain import token_lines


@click.command("tokenize")
@click.argument("model")
@click.argument("text", required=False, callback=utf8)
@click.option("--file", "file", metavar="PATH", help="Read the text from this file; - is standard input.")
@click.option("--bos/--no-bos", default=True, help="Put the model's BOS first, where it wants one (default: yes).")
@json_option
@export_option
def command(model: str, text: str | None, file: str | None, bos: bool, as_json: bool, export: Path | None) -> None:
    """Show the tokens of TEXT under the tokenizer of MODEL."""
    if (text is None) == (file is None):
        raise click.UsageError("Give the text either as an argument or with --file.")
    result = session.tokenize(model, text if text is not None else _read(str(file)), bos=bos)
    if export is not None:
        export_json(export, "tokens.json", result)
    show(result, token_lines(result), as_json=as_json)


def _read(file: str) -> str:
    try:
        if file != "-" and Path(file).exists() and not Path(file).is_file():
            raise session.CorpusError(f"{file}: not a regular file; pass a UTF-8 text file, or - for standard input.")
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise session.CorpusError(f"{file}: not UTF-8 at byte {error.start}; save the text as UTF-8.") from error
    except FileNotFoundError as error:
        raise session.CorpusError(f"{file}: {error.strerror}; a UTF-8 text file was expected.") from error
    except OSError as error:
        raise session.StorageError(f"{file}: cannot be read: {error.strerror}") from error
