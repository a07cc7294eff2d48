"""Whom a canary serves: as many as said, always the same ones."""

from hypothesis import given
from hypothesis import strategies as st

from streamrec.canary import Canary

shares = st.floats(min_value=0, max_value=1, exclude_min=True)
visitors = st.text(max_size=20)


def served(share: float, version: str = "v1", n: int = 20_000) -> set[int]:
    canary = Canary(version, share, None)
    return {visitor for visitor in range(n) if canary.serves(f"visitor-{visitor}")}


@given(visitors, shares, st.text(max_size=10))
def test_it_is_a_function_of_visitor_version_and_share(visitor: str, share: float, version: str) -> None:
    answers = {Canary(version, share, model).serves(visitor) for model in ("one", "other", "one")}
    assert len(answers) == 1


@given(visitors, shares, shares, st.text(max_size=10))
def test_a_growing_share_keeps_those_who_are_in(visitor: str, one: float, other: float, version: str) -> None:
    less, more = sorted((one, other))
    assert Canary(version, less, None).serves(visitor) <= Canary(version, more, None).serves(visitor)


@given(visitors, st.text(max_size=10))
def test_a_share_of_one_is_everybody(visitor: str, version: str) -> None:
    assert Canary(version, 1.0, None).serves(visitor)


def test_the_share_is_met_and_another_version_meets_others() -> None:
    n = 20_000
    for share in (0.01, 0.1, 0.5, 0.9):
        four_sigma = 4 * (n * share * (1 - share)) ** 0.5
        assert abs(len(served(share)) - n * share) < four_sigma
        both = served(share) & served(share, "v2")
        assert abs(len(both) - n * share**2) < 4 * (n * share**2 * (1 - share**2)) ** 0.5


def test_whom_it_serves_stays_the_same_across_releases_of_streamrec() -> None:
    """Rows name the version, and a backtest goes by the hash: it is as fixed as a file format."""
    assert sorted(served(0.1, n=60)) == GOLDEN


GOLDEN = [30, 36]
