"""Reading compiled text: how often instructions run, and what collectives send."""

import pytest

from sah_jax.planning import collectives, hlo

LOOP = """HloModule jit_step

%body (carry: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %carry = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) parameter(0)
  %counter = s32[]{:T(128)} get-tuple-element(%carry), index=0
  %more = s32[]{:T(128)} constant(STEP)
  %next = s32[]{:T(128)} add(%counter, %more)
  %part = f32[2,4]{1,0:T(8,128)S(1)} get-tuple-element(%carry), index=1
  %gathered = f32[8,4]{1,0:T(8,128)} all-gather(%part), channel_id=1, GROUPS, dimensions={0}
  ROOT %out = (s32[]{:T(128)}, f32[8,4]{1,0}) tuple(%next, %gathered)
}

%condition (carry.1: (s32[], f32[8,4])) -> pred[] {
  %carry.1 = (s32[], f32[8,4]) parameter(0)
  %counter.1 = s32[] get-tuple-element(%carry.1), index=0
  %limit = s32[]{:T(128)} constant(36)
  ROOT %less = pred[]{:T(512)} compare(%counter.1, %limit), direction=LT
}

ENTRY %main (x: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %x = (s32[], f32[8,4], /*index=2*/f32[1]) parameter(0)
  ROOT %loop = (s32[], f32[8,4]) while(%x), condition=%condition, body=%bodyANNOTATION
}
"""


def _loop(step=1, groups="replica_groups={{0,1,2,3}}", annotation=""):
    return LOOP.replace("STEP", str(step)).replace("GROUPS", groups).replace("ANNOTATION", annotation)


@pytest.mark.parametrize("step, annotation, times", [
    (1, "", 36), (2, "", 18), (1, ', backend_config={"known_trip_count":{"n":"5"}}', 5)])
def test_a_loop_counts_as_often_as_it_runs(step, annotation, times):
    (found,) = collectives.of_text(_loop(step, annotation=annotation), 4)
    assert found == collectives.Collective("all-gather", times, times * 8 * 4 * 4 * 3 // 4)


@pytest.mark.parametrize("groups, size", [
    ("replica_groups={{0,1},{2,3}}", 2), ("replica_groups=[2,4]<=[8]", 4), ("replica_groups={}", 16),
    ("replica_groups=mesh['a'=4,'b'=2] {'b'}", 2), ("replica_groups=mesh['a'=4,'b'=2] {'a','b'}", 8)])
def test_a_group_is_as_large_as_any_notation_says(groups, size):
    (found,) = collectives.of_text(_loop(groups=groups), 16)
    assert found.sent_bytes == 36 * (128 * (size - 1) // size)


ASYNC = """
%start (p: f32[2,4]) -> (f32[2,4], f32[8,4]) {
  %p = f32[2,4] parameter(0)
  %a = f32[8,4] all-gather(%p), replica_groups={{0,1,2,3}}, frontend_attributes={chain_id="0"}
  ROOT %s = (f32[2,4], f32[8,4]) custom-call(%a), custom_call_target="AsyncCollectiveStart"
}

%beside (p.1: f32[2,4]) -> f32[8,4] {
  %p.1 = f32[2,4] parameter(0)
  ROOT %a.1 = f32[8,4] all-gather(%p.1), replica_groups={{0,1,2,3}}, frontend_attributes={chain_id="0"}
}

%done (p.3: f32[2,4]) -> f32[8,4] {
  %p.3 = f32[2,4] parameter(0)
  %a.2 = f32[8,4] all-gather(%p.3), replica_groups={{0,1,2,3}}, frontend_attributes={chain_id="0"}
  ROOT %s.1 = f32[8,4] custom-call(%p.3, /*index=1*/%a.2), custom_call_target="AsyncCollectiveDone"
}

%all-reduce-scatter.1 (p.2: f32[8,4]) -> f32[2,4] {
  %p.2 = f32[8,4] parameter(0)
  %r = f32[8,4] all-reduce(%p.2), channel_id=3, replica_groups={{0,1,2,3}}, to_apply=%sum
  ROOT %d = f32[2,4] dynamic-slice(%r), dynamic_slice_sizes={2,4}
}

ENTRY %main (x: f32[2,4]) -> f32[2,4] {
  %x = f32[2,4] parameter(0)
  %f = (f32[2,4], f32[8,4]) fusion(%x), kind=kCustom, calls=%start
  %g = f32[8,4] fusion(%x), kind=kOutput, calls=%beside
  %h = f32[8,4] fusion(%x), kind=kCustom, calls=%done
  %b = (f32[2,4], f32[8,4]) all-gather-start(%x), channel_id=4, replica_groups={{0,1,2,3}}
  %c = f32[8,4] all-gather-done(%b)
  ROOT %e = f32[2,4] fusion(%c), kind=kCustom, calls=%all-reduce-scatter.1
}
"""


def test_what_is_printed_in_parts_counts_once():
    found = {one.kind: one for one in collectives.of_text(ASYNC, 4)}
    assert found["all-gather"] == collectives.Collective("all-gather", 2, 2 * 128 * 3 // 4)
    assert found["reduce-scatter"] == collectives.Collective("reduce-scatter", 1, 32 * 3)
    assert found.keys() == {"all-gather", "reduce-scatter"}


def test_sizes_of_printed_types():
    assert hlo.size_bytes("(bf16[8,512]{1,0:T(8,128)(2,1)S(1)}, s32[]{:T(128)}, pred[3], s4[2])") == (
        2 * 8 * 512 + 4 + 3 + 1)
