"""The numbers and places of the parity screen, from events alone."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_tui.core.parity_view import BELIEF_LIMITS, ParityView, TokenStatus
from bitnet_tui.core.run_state import RunState


def view_of(events, finish=True):
    view = ParityView()
    for event in events:
        view.feed(event)
    if finish:
        view.finish()
    return view


@pytest.fixture
def view(made):
    return view_of(made.run())


@given(st.lists(st.none() | st.floats(-1, 1), min_size=1, max_size=40))
def test_the_median_is_exact_at_any_time(taus):
    """A running estimate of the median disagreed with the report; an undefined tau counts as the lowest."""
    view = ParityView()
    for index, tau in enumerate(taus):
        view.feed({"event": "token", "index": index, "tau_b": tau})
        seen = [-math.inf if t is None else t for t in taus[: index + 1]]
        assert view.median_tau == pytest.approx(statistics.median(seen), nan_ok=True)


@given(st.lists(st.tuples(st.none() | st.floats(-1, 1), st.booleans()), max_size=40), st.integers(-1, 40))
def test_places_are_those_of_a_plain_search(tokens, at):
    """`n` skipped a divergence next to the cursor, and `N` found the cursor itself."""
    events = [{"event": "run.start", "profile": "quantized"}]
    events += [{"event": "token", "index": i, "tau_b": t, "same_top": not f} for i, (t, f) in enumerate(tokens)]
    view = view_of(events)
    marked = [i for i, (tau, flip) in enumerate(tokens) if tau is None or tau < 0.6 or flip]
    assert view.first() == next(iter(marked), None)
    assert view.next_marked(at) == next((i for i in marked if i > at), None)
    assert view.previous_marked(at) == next((i for i in reversed(marked) if i < at), None)
    if tokens:
        order = [(-2.0 if tau is None else tau) for tau, _ in tokens]
        assert order[view.worst()] == min(order)


def test_statuses(view):
    """A token without a tau-b was coloured as agreement; at the limit itself a token agrees with the gate."""
    status = [view.status(i) for i in range(64)]
    assert status[17] is TokenStatus.DIVERGE
    assert status[18] is TokenStatus.DRIFT
    assert status[41] is TokenStatus.UNDEFINED
    assert status[0] is TokenStatus.AGREE
    edge = view_of([{"event": "run.start", "profile": "quantized"}, {"event": "token", "tau_b": 0.6}])
    assert edge.status(0) is not TokenStatus.DIVERGE
    assert not edge.diverging()[0]


def test_worst_prefers_the_undefined_then_the_larger_kl():
    """Of a hundred tokens with tau-b 0 the worst was always the first."""
    events = [{"event": "token", "tau_b": 0.0, "kl": kl} for kl in (0.1, 3.0, 0.2)]
    assert view_of(events).worst() == 1
    assert view_of([*events, {"event": "token", "tau_b": None}]).worst() == 3
    assert view_of([]).worst() is None


def test_the_gate_states_the_limit(made):
    """A run judged under a user's own gates was coloured by the built-in profile."""
    view = view_of(made.preparation())
    assert view.limit == BELIEF_LIMITS["quantized"]
    view.feed(made.gate("belief", "FAIL", 0.91, 0.95))
    assert view.limit == 0.95
    assert view_of([made.start(profile="my-own")]).limit is None


def test_the_profiles_are_the_gates_of_parity():
    """The limits known to the screen drifted from the ones that judge."""
    gates = pytest.importorskip("bitnet_parity.gates")
    assert {name: gates.Gates.profile(name).median_tau_b for name in BELIEF_LIMITS} == BELIEF_LIMITS


def test_the_funnel_is_in_order_and_says_what_is_not_judged(made):
    """Gates were shown in the order they arrived, and a running number looked like a verdict."""
    view = view_of([*made.preparation(), *made.tokens()[:10]], finish=False)
    assert [line.name for line in view.funnel()] == ["tokenizer", "belief", "probability"]
    assert [line.status for line in view.funnel()] == ["PASS", None, None]
    assert all(line.text.endswith("?") for line in view.funnel()[1:])
    for event in made.ending("FAIL"):
        view.feed(event)
    assert [line.status for line in view.funnel()] == ["PASS", "PASS", "FAIL"]
    assert view.why()[1] == "probability: about 19 more documents are needed"


def test_a_failed_tokenizer_blocks_the_rest(made):
    """Numbers measured on different token ids were shown as if they meant something."""
    failed = made.gate("tokenizer", "FAIL", 0.5, 0.95, "first difference at byte 3")
    view = view_of([made.start(), failed, *made.ending()])
    assert [line.blocked for line in view.funnel()] == [False, True, True]
    assert view.why()[0] == "tokenizer: first difference at byte 3"


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ([], RunState.INTERRUPTED),
        ([{"event": "run.end", "status": "done", "verdict": "PASS"}], RunState.DONE),
        ([{"event": "run.end", "status": "cancelled", "verdict": None}], RunState.CANCELLED),
        ([{"event": "run.end", "status": "failed"}], RunState.FAILED),
        ([{"event": "run.end", "status": "odd"}], RunState.FAILED),
    ],
)
def test_how_a_run_ended(made, end, state):
    """A stream without an end was shown as live for ever."""
    assert view_of([*made.preparation(), *end]).state is state


def test_near_ties_compare_the_margin_with_the_usual_shift(view, made):
    """A flip between two equal logits was reported like a broken model."""
    assert view.typical_shift == pytest.approx(0.04)
    assert view.is_near_tie(17)
    assert view.near_tie(17) == "≈ near-tie: ref margin .020 < typical |Δlogit| .040"
    assert view.near_tie(0) == "ref margin 2.500 ≥ typical |Δlogit| .040: no near-tie"
    bare = view_of([made.token(0, top_reference=[], margin=None)])
    assert bare.near_tie(0) == ""
    assert not bare.is_near_tie(0)


def test_ranks_move_against_the_reference(view):
    """▲ and ▼ were the wrong way round."""
    rows = view.rank_rows(17)
    assert [row.moved for row in rows[:3]] == [1, -1, 0]
    assert rows[0].reference[0] == " Loire"
    assert rows[0].candidate[0] == " Seine"


def test_an_id_outside_the_reference_list_is_new():
    """A token the reference never ranked was shown as unmoved; lists of different length lost rows."""
    event = {"event": "token", "top_reference": [[1, "a", 3.0]], "top_candidate": [[2, "b", 3.0], [1, "a", 2.0]]}
    rows = view_of([event]).rank_rows(0)
    assert [row.moved for row in rows] == [None, -1]
    assert rows[1].reference is None


def test_stages_nest_by_name():
    """Two stages of one name closed each other."""
    view = view_of(
        [
            {"event": "stage", "name": "compile", "status": "start"},
            {"event": "stage", "name": "compile", "status": "done", "seconds": 2},
            {"event": "stage", "name": "compile", "status": "start"},
        ],
        finish=False,
    )
    assert [(stage.done, stage.seconds) for stage in view.stages] == [(True, 2.0), (False, None)]
    assert view.active_stage == "compile"


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["index", "text", "tau_b", "top_reference", "gate", "value", "limit", "name", "status"]),
            st.sampled_from([None, True, -1, 2**63, 0.5, float("nan"), "", "\x1b", [], [[]], [[1, 2, 3]], {}]),
        ),
        max_size=5,
    ),
    st.sampled_from(["token", "gate", "stage", "plan", "error", "run.start", "run.end", "unheard.of"]),
)
def test_any_event_is_survived(fields, kind):
    """A newer or damaged run must still open: odd fields are unknown, never a traceback."""
    view = view_of([{**more, "event": kind} for more in fields])
    view.funnel(), view.counts(), view.summary(), view.worst(), view.limit, view.delta_nll
    for index in range(len(view.tokens)):
        view.rank_rows(index), view.near_tie(index), view.status(index)


def test_forty_thousand_tokens_are_compact(made):
    """The two top-10 lists as objects cost 4 KB a token."""
    table = ParityView().tokens
    event = made.token(0)
    for _ in range(1000):
        table.append(event)
    assert len(table._pooled) == 11
    flat = [*table._columns.values(), table._top_ids, table._top_logits, table._top_texts, table._top_starts]
    assert sum(column.itemsize * len(column) for column in flat) < 1000 * 600
    assert table.top(999) == table.top(0)


def test_the_summary_is_short_and_safe(made):
    """What stays in the scrollback was a page long, or an escape sequence."""
    lines = view_of([*made.run()[:-1], made.run()[-1]]).summary()
    assert len(lines) == 3
    hostile = view_of([made.start(id="x", reference=made.hostile, candidate=made.hostile)]).summary()
    assert "\x1b" not in "".join(hostile)
    assert ParityView().summary() == []
