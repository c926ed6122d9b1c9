"""The command line: which command a line of arguments means, and how every command ends.

    bitnet-tui                     the app, at Home
    bitnet-tui MODEL               the app, inspecting a model
    bitnet-tui REF CAND            the app, comparing two
    bitnet-tui info MODEL          and the other commands, headless

A command's module is imported when the command runs. Exit codes: 0 pass, 1 gate failed, 2 usage, 3 bad model or
corpus file, 4 I/O, 5 inconclusive, 6 engine or environment, 130 interrupted.
"""

import signal
import sys
from importlib import import_module
from itertools import islice
from typing import Any, NoReturn

import click

from bitnet_tui.cli.ending import Outcome, end_with
from bitnet_tui.cli.streams import prepare
from bitnet_tui.core import session

COMMANDS = {
    "demo": "A tour of the app; with --fault, the sample broken with a known fault and diagnosed.",
    "info": "Explain a model file from its header, without loading it.",
    "tokenize": "Show the tokens of a text under a model's tokenizer.",
    "generate": "Continue a prompt.",
    "eval": "Score a corpus: mean nll and perplexity.",
    "parity": "Compare two checkpoints of one model and judge whether they still agree.",
    "judge": "Judge a stored parity report by another profile.",
    "replay": "Measure one line of parity_failures.jsonl again, from that line alone.",
    "record": "Write a model's logits on a corpus, to be compared without the model.",
    "verify": "Prove that a model's answer is the same again: fresh processes, other shapes.",
    "bench": "Measure speed and memory beside what the machine allows; judge them by an older run.",
    "report": "Render a page from committed measurements, or check that it is theirs.",
    "diff": "List in what two model files differ: trits, scales, floats, settings, tokenizer.",
    "diagnose": "Say why two models differ: the place, the proved cause, the repair.",
    "capture": "Write the result of every operation of a model, to be diagnosed elsewhere.",
    "convert": "Write a model in another storage, losing nothing, and read it back.",
    "accept": "Try every condition under which a candidate may be shipped: GO or NO-GO.",
    "audit": "The same, with the environment and determinism.",
    "gate": "The gates of a CI lane over stored artifacts: GO or NO-GO.",
    "preserve": "Keep a folder of artifacts as one archive with checksums, or prove one.",
    "runs": "List the runs that the app recorded, or delete the oldest.",
    "locate": "Print where the configuration, themes and runs are.",
}
ALIASES = {"benchmark": "bench"}
OPEN = "open"
LIMIT = "Raise or lower a limit of file headers; the line that refuses a file names it and its value. Repeatable."


class LazyGroup(click.Group):
    """A group whose commands are imported on use, and whose default command opens the app."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order of a person's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, or None for a word that is none."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS and cmd_name != OPEN:
            return None
        # `eval` and `open` would shadow builtins inside their own modules.
        return import_module(f"bitnet_tui.cli.{cmd_name}_command").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a line that does not begin with a command as paths to open; the program's own options stand anywhere."""
        flags, rest = _own_options(args)
        if not rest or rest[0] not in {*COMMANDS, *ALIASES, "--help", "-h", "--version"}:
            rest = [OPEN, *rest]
        return super().parse_args(ctx, flags + rest)


def _own_options(args: list[str]) -> tuple[list[str], list[str]]:
    """Part a command line into --debug and --limit with its value, wherever they stand, and the rest."""
    flags, rest, waiting = list[str](), list[str](), iter(args)
    for arg in waiting:
        if arg == "--":
            return flags, [*rest, arg, *waiting]
        if arg == "--debug" or arg.startswith("--limit="):
            flags.append(arg)
        elif arg == "--limit":
            flags += [arg, *islice(waiting, 1)]
        else:
            rest.append(arg)
    return flags, rest


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show a traceback instead of one line when something fails.")
@click.option("--limit", "limits", metavar="NAME=N", multiple=True, help=LIMIT)
@click.version_option(package_name="bitnet-tui")
@click.pass_context
def bitnet_tui(ctx: click.Context, debug: bool, limits: tuple[str, ...]) -> None:
    """Inspect, run and compare ternary (BitNet b1.58) language models.

    \b
    bitnet-tui                 the app
    bitnet-tui MODEL           the app, inspecting a model
    bitnet-tui RUN             the app, replaying a run that --export wrote
    bitnet-tui REF CAND        the app, comparing a candidate with its reference
    bitnet-tui REF CAND --export DIR
                               the same without the app; options as of `bitnet-tui parity`
    """
    ctx.obj = {"debug": debug}
    session.raise_limits(limits)


def run() -> NoReturn:
    """Run the program on this process's arguments; never returns."""
    outcome = Outcome(debug="--debug" in sys.argv[1:], as_json="--json" in sys.argv[1:])
    prepare()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        result: Any = bitnet_tui(standalone_mode=False)
    except BaseException as error:
        end_with(error, outcome)
    sys.exit(result if isinstance(result, int) else 0)


def _stop(number: int, _frame: object) -> NoReturn:
    # SystemExit unwinds: half-written artifacts are removed and the worker is stopped.
    raise SystemExit(128 + number)
