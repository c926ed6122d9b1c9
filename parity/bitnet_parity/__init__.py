"""Is it still the same model? Numbers of two models on one text, and a judgement of them.

    import bitnet_parity as parity

    corpus = parity.load_corpus(Path("samples/eval"))
    report = parity.compare(reference=a, candidate=b, reference_tokenizer=ta, candidate_tokenizer=tb,
                            corpus=corpus, gates=parity.Gates.profile("quantized"), context=512)
    report.judgement.verdict                            # Verdict.PASS, FAIL or INCONCLUSIVE

`reference` and `candidate` are anything with `.logits(tokens)`, always in that order; all nll and kl are in
nats, and kl is KL(reference ‖ candidate). Names are imported on first use: `import bitnet_parity` itself
loads neither numpy nor numba. Comparing knows no engine and no file format of models; `bitnet_parity.diagnosis`, which
says why two models differ, knows both, and so does `bitnet_parity.faults`, which breaks models to test it with and is
imported by nothing here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitnet_parity.belief import Belief
    from bitnet_parity.comparison import Inputs, Item, compare, stream
    from bitnet_parity.corpus import Corpus, Document, load_corpus, windows
    from bitnet_parity.diagnosis.causes import Cause, Finding
    from bitnet_parity.diagnosis.diagnosing import diagnose
    from bitnet_parity.evaluation import Evaluation, ScoredDocument, evaluate
    from bitnet_parity.failures import FailureLog
    from bitnet_parity.floor import Floor
    from bitnet_parity.gates import (
        GateResult,
        Judgement,
        Numbers,
        Verdict,
        judge,
        judge_tokenizer,
        judge_weights,
    )
    from bitnet_parity.metrics import WindowMetrics, measure
    from bitnet_parity.profiles import Gates
    from bitnet_parity.report import Report
    from bitnet_parity.rows import DocumentRow, Plan, Stage, TokenRow
    from bitnet_parity.sources import LogitSource, Side, TokenizerSource, parse_side
    from bitnet_parity.statistics import ClusteredMean, bootstrap_interval, clustered_mean
    from bitnet_parity.tau import tau_b, tau_b_rows
    from bitnet_parity.tokenization import BATTERY, TokenizerDifference, TokenizerParity, compare_tokenizers
    from bitnet_parity.weights import TensorParity, WeightsParity, weights_steps

_MODULES = {
    "belief": ("Belief",),
    "comparison": ("Inputs", "Item", "compare", "stream"),
    "corpus": ("Corpus", "Document", "load_corpus", "windows"),
    "diagnosis.causes": ("Cause", "Finding"),
    "diagnosis.diagnosing": ("diagnose",),
    "evaluation": ("Evaluation", "ScoredDocument", "evaluate"),
    "failures": ("FailureLog",),
    "floor": ("Floor",),
    "gates": ("GateResult", "Judgement", "Numbers", "Verdict", "judge", "judge_tokenizer", "judge_weights"),
    "metrics": ("WindowMetrics", "measure"),
    "profiles": ("Gates",),
    "report": ("Report",),
    "rows": ("DocumentRow", "Plan", "Stage", "TokenRow"),
    "sources": ("LogitSource", "Side", "TokenizerSource", "parse_side"),
    "statistics": ("ClusteredMean", "bootstrap_interval", "clustered_mean"),
    "tau": ("tau_b", "tau_b_rows"),
    "tokenization": ("BATTERY", "TokenizerDifference", "TokenizerParity", "compare_tokenizers"),
    "weights": ("TensorParity", "WeightsParity", "weights_steps"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # spelled out for type checkers; a test holds it equal to the table above
    "BATTERY",
    "Belief",
    "Cause",
    "ClusteredMean",
    "Corpus",
    "Document",
    "DocumentRow",
    "Evaluation",
    "FailureLog",
    "Finding",
    "Floor",
    "GateResult",
    "Gates",
    "Inputs",
    "Item",
    "Judgement",
    "LogitSource",
    "Numbers",
    "Plan",
    "Report",
    "ScoredDocument",
    "Side",
    "Stage",
    "TensorParity",
    "TokenRow",
    "TokenizerDifference",
    "TokenizerParity",
    "TokenizerSource",
    "Verdict",
    "WeightsParity",
    "WindowMetrics",
    "bootstrap_interval",
    "clustered_mean",
    "compare",
    "compare_tokenizers",
    "diagnose",
    "evaluate",
    "judge",
    "judge_tokenizer",
    "judge_weights",
    "load_corpus",
    "measure",
    "parse_side",
    "stream",
    "tau_b",
    "tau_b_rows",
    "weights_steps",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
