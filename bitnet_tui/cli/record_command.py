"""`bitnet-tui record MODEL DIR`: a model's logits on a text, to be compared where the model is not."""

from typing import Any

import click

from bitnet_tui.cli.device_options import device_options
from bitnet_tui.cli.headless import run_headless
from bitnet_tui.cli.options import json_option, nonempty, scoring_options, scoring_request, show
from bitnet_tui.display.proofs import recording_lines


@click.command("record")
@click.argument("model")
@click.argument("folder", callback=nonempty)
@scoring_options
@device_options
@json_option
def command(model: str, folder: str, as_json: bool, **settings: Any) -> None:
    """Write the logits of MODEL on a corpus into FOLDER, for `parity recorded:FOLDER CANDIDATE`.

    MODEL is a side as `parity` takes it (a path, hf:DIR, llama:FILE). FOLDER appears whole or not at all, and takes
    4 bytes for each token and each id of the vocabulary.
    """
    report = run_headless(scoring_request("record", model, **settings, folder=folder))
    show(report, recording_lines(report), as_json=as_json)
