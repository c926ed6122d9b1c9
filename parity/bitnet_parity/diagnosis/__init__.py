"""Why two models that should be one are not: the place, the named cause, and the proof.

    finding = diagnose(reference="packed", candidate="broken.gguf")
    finding.causes[0].sentence()        # layer 0, ffn activation: candidate computes silu(gate)·up; config says relu2

Nothing is named that is not proved: a cause makes exactly the candidate of the reference, and all of them together
bring the logits back to the reference's own noise. docs/diagnose.md tells how. Written apart from `faults`, which it is
tested with, and imports nothing of it.

    diagnosing.py   from two models to a finding   examining.py    a replay with hypotheses
    graph.py        operations, tolerances
    causes.py       what a finding holds           replay.py       one operation at a time
    weights.py      weights, one at a time         operations.py   the graph and its mistakes
    weight_causes.py, tensor_causes.py             stored weights compared
    scales.py, matrices.py, rows.py, single_weights.py     what a matrix becomes
    file_causes.py  headers, settings, tokenizers  hypotheses.py   alternatives of an operation
    norming.py, turning.py, attending.py, gating.py, products.py, tables.py, rounding.py
    combining.py    parts of one cause             describing.py   what has no name
    repairing.py, account.py                       the proofs
    captures.py     activations as files           markdown.py, schema.py    a finding written
"""
