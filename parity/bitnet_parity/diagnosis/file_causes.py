"""What two files say differently beside their weights: settings, tokenizer, and what a header shows of known bugs.

    for cause in (*setting_causes(a, b), *tokenizer_causes(first, second), *header_causes(first, second)):
        cause.sentence()

Runs no model. A finding that both files have is no difference between them.
"""

from collections.abc import Iterator
from dataclasses import asdict

from bitnet_engine.config import Config
from bitnet_engine.errors import BitnetError
from bitnet_engine.findings import header_findings
from bitnet_engine.formats import Checkpoint, Finding
from bitnet_engine.naming import canonical
from bitnet_engine.scanning import scan_findings
from bitnet_engine.tokenizer import Tokenizer
from bitnet_parity.diagnosis.causes import Cause
from bitnet_parity.tokenization import BATTERY

FILE, TOKENIZER = "file", "tokenizer"
SETTINGS = {
    "activation": ("activation-other", "ffn_activation", "computes {1}(gate)·up", "config says {0}"),
    "rms_eps": ("eps-other", "attn_norm", "computes with eps {1:.3g}", "config says {0:.3g}"),
    "rope_theta": ("theta-other", "rope_q", "computes with base {1:.7g}", "config says {0:.7g}"),
    "rope_factors": ("rope-unscaled", "rope_q", "scales rope's frequencies by {1}", "config says {0}"),
    "heads": ("heads-other", "attention", "has {1} query heads", "config says {0}"),
    "kv_heads": ("heads-other", "attention", "has {1} key heads", "config says {0}"),
    "head_dim": ("heads-other", "attention", "has heads of {1}", "config says {0}"),
    "activation_quant": ("quantiser-missing", "attn_q", "rounds activations: {1}", "config says {0}"),
}
"""Setting → name, first operation, words for the candidate's and the reference's."""
KEYS = {
    "activation": "general.architecture (bitnet is silu, bitnet-b1.58 relu2), or hidden_act in config.json",
    "rms_eps": "attention.layer_norm_rms_epsilon, or rms_norm_eps in config.json",
    "rope_theta": "rope.freq_base, or rope_theta in config.json",
}
TEMPLATES = ("tokenizer.chat_template",)
SEVERE = ("warning", "error")


def setting_causes(reference: Config, candidate: Config) -> Iterator[Cause]:
    """Yield a cause for each setting that changes the computation and that the two files state differently."""
    mine, theirs = asdict(reference), asdict(candidate)
    for key, (name, operation, says, should) in SETTINGS.items():
        if mine[key] != theirs[key]:
            header = KEYS.get(key, f"{key} in the candidate's header")
            yield Cause(
                name=name,
                operation=operation,
                layer=0,
                says=says.format(mine[key], theirs[key]),
                should=should.format(mine[key], theirs[key]),
                evidence=f"the files state {key} {mine[key]} and {theirs[key]}",
                remedy=f"set {header}; or write it again: bitnet-tui convert REF OUT --type TYPE",
            )


def tokenizer_causes(reference: Tokenizer, candidate: Tokenizer) -> Iterator[Cause]:
    """Yield why two tokenizers give other ids, or nothing where they give the same on the battery."""
    if reference.bos != candidate.bos:
        says = "puts nothing before a text" if candidate.bos is None else f"opens a text with id {candidate.bos}"
        name = "bos-missing" if candidate.bos is None else "bos-other"
        should = "puts none" if reference.bos is None else f"opens it with id {reference.bos}"
        yield Cause(
            name=name,
            operation=TOKENIZER,
            says=says,
            should=f"the reference {should}",
            evidence="all ids behind the first are the same" if _differing(reference, candidate) is None else "",
            remedy="set tokenizer.ggml.add_bos_token, or post_processor in tokenizer.json, as the reference has it",
        )
    if (text := _differing(reference, candidate)) is not None:
        mine, theirs = reference.encode(text, bos=False)[:8], candidate.encode(text, bos=False)[:8]
        yield Cause(
            name="text-split-otherwise",
            operation=TOKENIZER,
            says=f"gives {theirs} for {text[:24]!r}",
            should=f"the reference gives {mine}",
            evidence="ids differ inside a text: the rule that splits it (tokenizer.ggml.pre), or the vocabulary",
            remedy="write the tokenizer again from the reference: bitnet-tui convert REF OUT --type TYPE",
        )


def _differing(reference: Tokenizer, candidate: Tokenizer) -> str | None:
    return next((t for t in BATTERY if reference.encode(t, bos=False) != candidate.encode(t, bos=False)), None)


def header_causes(reference: Checkpoint, candidate: Checkpoint) -> Iterator[Cause]:
    """Yield what the candidate's header shows of the known bugs and the reference's does not."""
    known = _shared(reference) | {finding.code for finding in header_findings(reference)}
    for finding in header_findings(candidate):
        if finding.code not in known:
            yield of_finding(candidate, finding)
    template = TEMPLATES[0]
    both = candidate.metadata.get(template), reference.metadata.get(template)
    if None not in both and both[0] != both[1]:
        yield Cause(
            name="chat-template",
            operation=TOKENIZER,
            says=f"has another {template}",
            should="the reference has its own",
            evidence="the texts differ; what is scored as it stands is not touched",
            remedy="take the reference's template",
        )


def _shared(reference: Checkpoint) -> set[str]:
    """Return codes of findings that are no difference: a norm that the reference has not either was not dropped."""
    return set() if any("sub_norm" in canonical(name) for name in reference.tensors) else {"sub-norms"}


def of_finding(checkpoint: Checkpoint, finding: Finding) -> Cause:
    """Return a finding of the inspector as a cause; a note is harmless."""
    stored = checkpoint.tensors.get(finding.subject)
    tokenizer = finding.subject.startswith("tokenizer.")
    name = canonical(finding.subject)
    return Cause(
        name=finding.code,
        operation=TOKENIZER if tokenizer else name.split(".")[-2] if stored is not None and "." in name else FILE,
        layer=int(name.split(".")[1]) if stored is not None and name.startswith("blk.") else None,
        tensors=(name,) if stored is not None else (),
        offset=None if stored is None else stored.offset,
        says=f"{finding.subject} {finding.message}",
        should="the reference shows nothing of it",
        evidence="read from the candidate's own bytes",
        remedy=finding.advice,
        harmless=finding.severity == "note",
    )


def refusal_causes(reference: Checkpoint, candidate: Checkpoint, error: BitnetError) -> Iterator[Cause]:
    """Yield what is known of a candidate that is not loaded: what its header and its bytes show, then the refusal."""
    known = _shared(reference) | {finding.code for finding in (*header_findings(reference), *scan_findings(reference))}
    for finding in (*header_findings(candidate), *scan_findings(candidate)):
        if finding.code not in known and finding.severity in SEVERE:
            yield of_finding(candidate, finding)
    named = next((name for name in candidate.tensors if f"'{name}'" in str(error)), None)
    yield refused(error, None if named is None else canonical(named), candidate)


def refused(error: BitnetError, tensor: str | None = None, checkpoint: Checkpoint | None = None) -> Cause:
    """Return the refusal of a file as a cause: its text says what is wrong and where."""
    layer = int(tensor.split(".")[1]) if tensor is not None and tensor.startswith("blk.") else None
    offset = None if checkpoint is None or tensor is None else _offset(checkpoint, tensor)
    return Cause(
        name="file-refused",
        operation=FILE,
        layer=layer,
        tensors=() if tensor is None else (tensor,),
        offset=offset,
        says=f"is no file that can be run: {error}",
        should="the reference is",
        evidence="the engine refuses to load it",
        remedy="write it again: bitnet-tui convert REF OUT --type TYPE",
    )


def _offset(checkpoint: Checkpoint, tensor: str) -> int | None:
    return next((info.offset for name, info in checkpoint.tensors.items() if canonical(name) == tensor), None)
