"""Learning-rate schedules: their values at the steps that matter."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError
from minicnn.schedules import Constant, Cosine, OneCycle, Step

pytestmark = pytest.mark.quick

ALL = [Constant(0.1), Step(0.1), Cosine(0.1), OneCycle(0.1)]


def rates(schedule, total):
    return [schedule(step, total) for step in range(total)]


def test_constant():
    assert rates(Constant(0.3), 4) == [0.3] * 4


def test_warm_up_rises_in_equal_steps():
    assert rates(Constant(0.8, warmup_steps=4), 6) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rel=1e-15)


def test_the_curve_covers_the_steps_after_the_warm_up():
    expected = [0.5, 1.0, 1.0, 0.75, 0.25, 0.0]  # (1 + cos(π·i/3)) / 2
    assert rates(Cosine(1.0, warmup_steps=2), 6) == pytest.approx(expected, abs=1e-15)


def test_step_multiplies_at_each_milestone():
    # 11 steps: step i is at progress i / 10, so 0.5 is reached at step 5 and 0.75 at step 8.
    expected = [1.0] * 5 + [0.1] * 3 + [0.01] * 3
    assert rates(Step(1.0), 11) == pytest.approx(expected, rel=1e-15)
    assert rates(Step(1.0, milestones=(0.2,), factor=0.5), 6) == [1, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_cosine_goes_from_the_highest_rate_to_the_final_fraction():
    schedule = Cosine(2.0, final=0.1)
    assert schedule(0, 5) == 2.0
    assert schedule(2, 5) == pytest.approx((2.0 + 0.2) / 2, rel=1e-15)
    assert schedule(1, 5) == pytest.approx(0.2 + 1.8 * (1 + math.cos(math.pi / 4)) / 2, rel=1e-15)
    assert schedule(4, 5) == pytest.approx(0.2, rel=1e-15)


def test_one_cycle_goes_up_to_the_peak_and_down_to_the_end():
    schedule = OneCycle(2.0, peak=0.4, start=0.1, final=0.01)
    assert schedule(0, 11) == pytest.approx(0.2, rel=1e-14)
    assert schedule(2, 11) == pytest.approx((0.2 + 2.0) / 2, rel=1e-14)  # half the way up
    assert schedule(4, 11) == pytest.approx(2.0, rel=1e-15)
    assert schedule(7, 11) == pytest.approx((2.0 + 0.02) / 2, rel=1e-14)  # half the way down
    assert schedule(10, 11) == pytest.approx(0.02, rel=1e-14)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@given(total=st.integers(1, 200), step=st.integers(0, 199))
def test_every_rate_is_above_zero_or_at_the_end_and_never_above_the_highest(schedule, total, step):
    rate = schedule(min(step, total - 1), total)
    assert 0 <= rate <= 0.1
    assert rate > 0 or step >= total - 1


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_run_may_have_one_step_or_be_shorter_than_its_warm_up(schedule):
    assert 0 < schedule(0, 1) <= 0.1
    longer, begin = type(schedule)(0.1, warmup_steps=10), schedule(0, 100)
    assert rates(longer, 3) == pytest.approx([0.1 * begin, 0.2 * begin, 0.3 * begin], rel=1e-14)


warmups = st.integers(1, 60)
totals = st.integers(1, 120)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
@given(W=warmups, T=totals)
def test_a_warm_up_is_a_line_to_the_start_of_the_curve(schedule, W, T):
    found = rates(replace(schedule, warmup_steps=W), T)
    begin = schedule(0, 100)
    assert found[:W] == pytest.approx([begin * (i + 1) / W for i in range(min(W, T))], rel=1e-14)
    assert found[W:] == rates(schedule, T - W)  # the very shape of a run without warm-up
    if T >= W:
        assert found[W - 1] == begin  # to the last bit: not above the highest


@given(W=st.integers(0, 60), rest=st.integers(2, 120), share=st.integers(1, 99))
def test_a_milestone_is_a_fraction_of_the_steps_after_the_warm_up(W, rest, share):
    found = rates(Step(1.0, (share / 100,), 0.5, warmup_steps=W), W + rest)[W:]
    steps_before = -(-share * (rest - 1) // 100)  # in whole numbers: the steps with i / (rest − 1) < share
    assert found == [1.0] * steps_before + [0.5] * (rest - steps_before)


@given(W=st.integers(0, 60), rest=st.integers(2, 120), final=st.floats(0, 1))
def test_the_first_and_last_rates_of_a_curve_match_its_arguments(W, rest, final):
    cosine, cycle = Cosine(0.2, final, warmup_steps=W), OneCycle(0.2, 0.4, 0.1, final, warmup_steps=W)
    T = W + rest
    assert (cosine(W, T), cosine(T - 1, T)) == pytest.approx((0.2, 0.2 * final), rel=1e-14, abs=1e-17)
    assert (cycle(W, T), cycle(T - 1, T)) == pytest.approx((0.02, 0.2 * final), rel=1e-14, abs=1e-17)


@given(W=st.integers(0, 60), fifths=st.integers(1, 20))
def test_the_peak_is_a_fraction_of_the_steps_after_the_warm_up(W, fifths):
    found = rates(OneCycle(0.2, peak=0.4, warmup_steps=W), W + 5 * fifths + 1)
    assert found.index(max(found)) == W + 2 * fifths
    assert max(found) == pytest.approx(0.2, rel=1e-15)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_curve_of_a_single_step_is_at_its_start(schedule):
    assert rates(replace(schedule, warmup_steps=2), 3)[2] == schedule(0, 1) == schedule(0, 100)


def test_one_cycle_does_not_jump_after_its_warm_up():
    schedule = OneCycle(2.0, peak=0.4, start=0.1, final=0.01, warmup_steps=2)
    assert rates(schedule, 13)[:3] == pytest.approx([0.1, 0.2, 0.2], rel=1e-14)
    assert schedule(6, 13) == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.2, warmup_steps=3),
        Step(0.2, (0.1, 0.3), 0.5),
        Cosine(0.2, 0.3),
        OneCycle(0.2, 0.4, 0.1, 0.01, warmup_steps=2),
    ],
    ids=repr,
)
def test_the_repr_evaluates_to_an_equal_schedule(schedule):
    assert eval(repr(schedule)) == schedule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Constant(0), "learning_rate"),
        (lambda: Constant(-0.1), "learning_rate"),
        (lambda: Cosine(float("nan")), "learning_rate"),
        (lambda: Constant(0.1, warmup_steps=-1), "warmup_steps"),
        (lambda: Step(0.1, milestones=(0.5, 1.0)), "every milestone"),
        (lambda: Step(0.1, milestones=(0,)), "every milestone"),
        (lambda: Step(0.1, factor=0), "factor"),
        (lambda: Step(0.1, factor=1.1), "factor"),
        (lambda: Cosine(0.1, final=-0.1), "final"),
        (lambda: Cosine(0.1, final=1.1), "final"),
        (lambda: OneCycle(0.1, peak=0), "peak"),
        (lambda: OneCycle(0.1, peak=1), "peak"),
        (lambda: OneCycle(0.1, start=-0.1), "start"),
        (lambda: OneCycle(0.1, start=2), "start"),
        (lambda: OneCycle(0.1, final=2), "final"),
    ],
)
def test_bad_arguments_are_rejected_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
