"""`bitnet-tui tokenize MODEL TEXT`: the ids a model's tokenizer gives."""

import sys
from pathlib import Path

import click

from bitnet_tui.cli.options import export_json, export_option, json_option, to_json
from bitnet_tui.core import session
from bitnet_tui.display.plain import token_lines


@click.command("tokenize")
@click.argument("model")
@click.argument("text", required=False)
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
    click.echo(to_json(result) if as_json else "\n".join(token_lines(result)), nl=not as_json)


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise session.CorpusError(f"{file}: not UTF-8 at byte {error.start}; save the text as UTF-8.") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise session.CorpusError(f"{file}: {error.strerror}; a UTF-8 text file was expected.") from error
    except OSError as error:
        raise session.StorageError(f"{file}: cannot be read: {error.strerror}") from error
