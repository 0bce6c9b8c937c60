"""Words whose times are known as moments reach into the gaps around them."""

from __future__ import annotations

import pytest

from asrkit.hmm.timed_phones import TimedName, reaching


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (0.0, [(0.1, 0.2), (0.3, 0.3), (1.5, 1.6)]),
        (0.2, [(0.0, 0.25), (0.25, 0.5), (1.3, 1.8)]),
        (5.0, [(0.0, 0.25), (0.25, 0.9), (0.9, 6.6)]),
    ],
)
def test_words_reach_to_the_middle_of_a_gap_at_most(
    reach: float, expected: list[tuple[float, float]]
) -> None:
    words = [TimedName("a", 0.1, 0.2), TimedName("b", 0.3, 0.3), TimedName("c", 1.5, 1.6)]
    found = reaching(words, reach)
    assert [one.name for one in found] == ["a", "b", "c"]
    for one, times in zip(found, expected, strict=True):
        assert one[1:] == pytest.approx(times)


def test_words_that_overlap_stay_as_they_are_between() -> None:
    found = reaching([TimedName("a", 1.0, 1.5), TimedName("b", 1.4, 2.0)], 0.2)
    assert [one[1:] for one in found] == [pytest.approx((0.8, 1.5)), pytest.approx((1.4, 2.2))]
    assert reaching([], 0.2) == []
