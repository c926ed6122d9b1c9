"""JSON Schemas of a comparison's artifacts, made from the classes and constants that write them.

    report_schema()                     # report.json
    failure_schema()                    # one line of parity_failures.jsonl

Knows no file: `docs/schemas.py` writes them to docs/schema.
"""

from collections.abc import Iterable

from bitnet_engine.schema import Schema, array, obj, of, stamp_schema
from bitnet_parity.belief import WORST
from bitnet_parity.floor import Variant
from bitnet_parity.gates import Verdict
from bitnet_parity.report import SCHEMA, SCHEMA_VERSION
from bitnet_parity.rows import DocumentRow, TokenRow
from bitnet_parity.statistics import Bootstrap
from bitnet_parity.tally import DELTA_P_PERCENTILES, KL_PERCENTILES, MEANS, TAU_PERCENTILES, WORST_FIELDS
from bitnet_parity.tokenization import TokenizerDifference
from bitnet_parity.weights import TensorParity

NUMBER, COUNT, TEXT = of(float), of(int), of(str)
_INTERVAL = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
_SHARE = obj({"share": NUMBER, "interval": _INTERVAL})
_VERDICT: Schema = {"enum": [verdict.value for verdict in Verdict]}


def report_schema() -> Schema:
    """Return the schema of report.json; stamp and descriptions are the caller's, and may hold more."""
    description = {"type": "object"}
    return obj(
        {
            "schema": {"const": SCHEMA},
            "schema_version": {"const": SCHEMA_VERSION},
            "stamp": stamp_schema(),
            "reference": description,
            "candidate": description,
            "settings": obj(
                {
                    "context": COUNT,
                    "top_k": COUNT,
                    "max_tokens": of(int | None),
                    "exact": of(bool),
                    "seed": COUNT,
                    "floor_documents": COUNT,
                }
            ),
            "corpus": obj({"name": TEXT, "sha256": TEXT, "documents": COUNT, "tokens": COUNT}),
            "tokenizer": obj(
                {
                    "strings": COUNT,
                    "equal": COUNT,
                    "rate": NUMBER,
                    "first_difference": of(TokenizerDifference | None),
                }
            ),
            "weights": {"anyOf": [_weights(), of(None)]},
            "floor": {"anyOf": [_floor(), of(None)]},
            "metrics": _metrics(),
            "documents": array(of(DocumentRow)),
            "failures": COUNT,
            "failures_omitted": COUNT,
            "judgement": judgement_schema(),
        }
    )


def judgement_schema() -> Schema:
    """Return the schema of a judgement, in a report or alone."""
    return obj({"profile": TEXT, "verdict": _VERDICT, "gates": array(gate_schema())})


def gate_schema() -> Schema:
    """Return the schema of one gate."""
    return obj({"gate": TEXT, "status": _VERDICT, "value": NUMBER, "limit": NUMBER, "detail": TEXT})


def failure_schema() -> Schema:
    """Return the schema of a line of parity_failures.jsonl: a token, why it is there, who was compared and how."""
    token = of(TokenRow)["properties"]
    reasons: Schema = array({"enum": ["tau_b", "top", "nll"]})
    ids, anything = of(list[int]), {"type": "object"}
    run = {"run": of(str | None), "reference": anything, "candidate": anything, "settings": anything, "stamp": anything}
    return obj({**run, **token, "reasons": reasons, "path": ids, "following": ids}, more=True)


def _weights() -> Schema:
    return obj({"tensors": COUNT, "differing": array(of(TensorParity))})


def _floor() -> Schema:
    worst = dict.fromkeys(("tau_b", "delta_mean_nll", "margin"), NUMBER)
    return obj({"documents": COUNT, "tokens": COUNT, **worst, "variants": array(of(Variant))})


def _metrics() -> Schema:
    delta = dict.fromkeys(("estimate", "standard_error", "lower", "upper"), NUMBER)
    sides = {f"{name}_{side}": NUMBER for name in ("mean_nll", "perplexity") for side in ("reference", "candidate")}
    policy: Schema = {
        "policy": {"enum": ["exact", "estimate"]},
        "reason": TEXT,
        "subset": of(int | None),
        "top": COUNT,
        "estimated": COUNT,
        "error": NUMBER,
    }
    tau = _numbers(TAU_PERCENTILES, "min", "mean") | {"undefined": COUNT, "not_one": COUNT}
    return obj(
        {
            "tokens": COUNT,
            "tau_b": obj({**policy, **tau, "worst": {**array(_worst()), "maxItems": WORST}}),
            "tau_top": obj(tau),
            **sides,
            "nll_undefined": COUNT,
            "nll_unequal": COUNT,
            "delta_mean_nll": obj(
                {**delta, "documents": COUNT, "interval": _INTERVAL, "bootstrap": of(Bootstrap)},
            ),
            "nll_correlation": NUMBER,
            "kl": obj(_numbers(KL_PERCENTILES, "mean", "max", "min") | {"undefined": COUNT}),
            "delta_p": obj(_numbers(DELTA_P_PERCENTILES, "mean", "rms", "max", "min") | {"undefined": COUNT}),
            **{name: obj(_numbers((), "mean", "min", "max") | {"undefined": COUNT}) for name in MEANS},
            "top_k": COUNT,
            "same_top": _SHARE,
            "flips": obj(
                {"count": COUNT, "near_tie": of(int | None), "real": of(int | None), "near_tie_margin": NUMBER},
            ),
            "accuracy": obj(
                {
                    "reference": _SHARE,
                    "candidate": _SHARE,
                    "only_reference": COUNT,
                    "only_candidate": COUNT,
                    "mcnemar_p": NUMBER,
                }
            ),
        }
    )


def _worst() -> Schema:
    token = of(TokenRow)["properties"]
    return obj({name: token[name] for name in WORST_FIELDS})


def _numbers(percentiles: Iterable[str], *others: str) -> Schema:
    return dict.fromkeys((*percentiles, *others), NUMBER)
