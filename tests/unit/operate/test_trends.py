"""How a number went: points of samples, with nothing guessed where none was taken."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.operate.trends import POINTS, RANGES, US, Ended, Sample, Trend

HOUR = RANGES["1h"]
AT = 1_000_000 * 60 * US
FIRST = Sample(AT, 0, 0, 0, 0, 0, 0, 0, 0)


def minutes(*starts: int, every_s: int = 60) -> list[Sample]:
    """Samples a minute apart, with that many started in all."""
    return [
        replace(FIRST, at_us=AT + n * every_s * US, started=number, completed=number, open=number)
        for n, number in enumerate(starts)
    ]


def trend(samples: list[Sample], span_s: int = HOUR) -> Trend:
    return Trend(samples, samples[-1], span_s)


def test_a_point_is_the_highest_of_its_time() -> None:
    """Three samples within a minute, the middle one highest; before them there is nothing."""
    found = trend(minutes(1, 9, 3, every_s=20)).highest(lambda each: each.open)

    assert found == [None] * (POINTS - 1) + [9]


def test_a_rate_is_of_the_window_before_the_point() -> None:
    """Two a minute, then ten at once: over five minutes that is four a minute."""
    found = trend(minutes(0, 2, 4, 6, 8, 20)).per_minute()

    assert found[-6:] == [None, 2.0, 2.0, 2.0, 2.0, 4.0]


def test_a_gap_stays_a_gap() -> None:
    """Nobody sampled for ten minutes: no points there, and the rate after it is the mean."""
    samples = [*minutes(0, 1), replace(FIRST, at_us=AT + 11 * 60 * US, started=21)]

    assert trend(samples).per_minute()[-12:] == [None, 1.0, *[None] * 9, 2.0]


def test_another_database_is_no_negative_rate() -> None:
    """A counter that fell belongs to another life."""
    assert trend(minutes(100, 3)).per_minute()[-1] is None
    assert trend(minutes(*range(61, 0, -1))).ended() is None
    assert trend(minutes(*range(61, 0, -1))).started() is None


def test_a_share_is_of_those_that_ended_in_the_window() -> None:
    """Six of eight within five minutes; none ended is no share."""
    samples = minutes(0, 0, 0, 0, 0, 0)
    samples[-1] = replace(samples[-1], completed=6, compensated=2)

    assert trend(samples).share(completed=True)[-2:] == [None, 75.0]
    assert trend(samples).share(completed=False)[-1] == 25.0
    assert Ended(0, 0).share(completed=True) is None


def test_of_a_range_only_what_the_samples_reach_back_to_is_told() -> None:
    """Sixty minutes of samples are an hour, fifty-nine are not."""
    whole, short = trend(minutes(*range(61))), trend(minutes(*range(60)))

    assert (whole.whole, whole.started(), whole.ended()) == (True, 60, Ended(60, 60))
    assert (short.whole, short.started(), short.ended()) == (False, None, None)


@given(st.lists(st.integers(1, 4_000_000_000), min_size=1, max_size=80, unique=True))
def test_every_sample_of_the_range_is_in_a_point(offsets: list[int]) -> None:
    """The highest point is the highest sample since the first point begins."""
    samples = [replace(FIRST, at_us=AT + us, open=us) for us in sorted(offsets)]
    made = trend(samples)
    within = [each.open for each in samples if each.at_us >= made.begins_us[0]]

    found = [each for each in made.highest(lambda each: each.open) if each is not None]

    assert len(made.begins_us) == POINTS
    assert max(found) == max(within)
    assert made.begins_us[-1] <= samples[-1].at_us < made.begins_us[-1] + made.width_us
