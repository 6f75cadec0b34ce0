"""Numbers of two releases: what is judged, what is left open, and how rarely the judgement is wrong."""

from __future__ import annotations

import random

from kedge.rollout.compare import compare

OLD = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2]


def judge(new: list[float], old: list[float], *, last: bool = False) -> str:
    return compare(new, old, slower_by=0.05, least=5, last=last).verdict


def test_clearly_slower_fails_and_alike_passes() -> None:
    assert judge([x * 0.90 for x in OLD], OLD) == "failed"
    assert judge([x * 0.99 for x in OLD], OLD) == "passed"
    assert judge([x * 1.10 for x in OLD], OLD) == "passed"


def test_too_few_numbers_and_nonsense_are_never_judged() -> None:
    assert judge(OLD[:4], OLD, last=True) == "unclear"
    assert judge(OLD, OLD[:4], last=True) == "unclear"
    assert judge([0.0, *OLD], OLD, last=True) == "unclear"
    assert judge([], [], last=True) == "unclear"


def test_one_odd_node_decides_nothing() -> None:
    assert judge([*OLD, 1.0], OLD) == "passed"
    assert judge([*[x * 0.9 for x in OLD], 1000.0], OLD) == "failed"


def test_what_chance_may_explain_is_left_open_until_no_more_numbers_come() -> None:
    noisy = [80.0, 120.0, 90.0, 110.0, 96.0]
    old = [85.0, 118.0, 92.0, 108.0, 100.0]
    assert judge(noisy, old) == "unclear"
    assert judge(noisy, old, last=True) in ("passed", "failed")


def test_errors_are_rare_with_noise() -> None:
    chance = random.Random(1)

    def numbers(mean: float) -> list[float]:
        return [chance.gauss(mean, 2.0) for _ in range(12)]

    runs = 400
    wrong_alarm = sum(judge(numbers(99), numbers(100)) == "failed" for _ in range(runs))
    missed = sum(judge(numbers(90), numbers(100)) == "passed" for _ in range(runs))
    assert wrong_alarm <= runs * 0.02 and missed <= runs * 0.02


def test_it_is_said_in_words() -> None:
    told = compare([x * 0.9 for x in OLD], OLD, slower_by=0.05, least=5, last=False).words
    assert told.startswith("10.0 % slower than the old release (from -")
    assert told.endswith("6 nodes against 6)")
