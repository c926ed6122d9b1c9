"""`bitnet-tui record MODEL DIR`: a model's logits on a text, to be compared where the model is not."""

from pathlib import Path

import click

from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import (
    context_option,
    corpus_option,
    json_option,
    max_tokens_option,
    nonempty,
    numerics_option,
    reading_options,
    show,
)
from bitnet_tui.display.proofs import recording_lines


@click.command("record")
@click.argument("model")
@click.argument("folder", callback=nonempty)
@corpus_option
@context_option
@max_tokens_option
@numerics_option
@reading_options
@json_option
def command(
    model: str,
    folder: str,
    corpus: Path | None,
    context: int | None,
    max_tokens: int | None,
    numerics: str,
    i2s_layout: str,
    kernel_config: str | None,
    as_json: bool,
) -> None:
    """Write the logits of MODEL on a corpus into FOLDER, for `parity recorded:FOLDER CANDIDATE`.

    MODEL is a side as `parity` takes it (a path, hf:DIR, llama:FILE). FOLDER appears whole or not at all, and takes
    4 bytes for each token and each id of the vocabulary.
    """
    request = {
        "kind": "record",
        "path": model,
        "folder": folder,
        "corpus": None if corpus is None else str(corpus),
        "context": context,
        "max_tokens": max_tokens,
        "numerics": numerics,
        "i2s_layout": i2s_layout,
        "kernel_config": kernel_config,
    }
    report = run_headless(request)
    show(report, recording_lines(report), as_json=as_json)
