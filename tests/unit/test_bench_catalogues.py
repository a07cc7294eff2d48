"""Catalogues of any size out of real vectors, and what is measured of them."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(500, 24)).astype(np.float32)
BIAS = (0.1 * RNG.normal(size=500)).astype(np.float32)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks.catalogues, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.catalogues")


def test_an_enlarged_catalogue_begins_with_the_real_one_and_goes_on_with_its_like(bench: Any) -> None:
    real = bench.Catalogue(ITEMS, BIAS)
    items, bias = bench.enlarged(real, 1200)
    np.testing.assert_allclose(items[:500], ITEMS, rtol=1e-5)
    np.testing.assert_array_equal(bias[:500], BIAS)
    assert items.shape == (1200, 24)
    np.testing.assert_allclose(
        np.linalg.norm(items[500:1000], axis=1), np.linalg.norm(ITEMS, axis=1), rtol=1e-5
    )
    away = np.linalg.norm(items[500:1000] - ITEMS, axis=1)
    assert (away > 0).all()
    assert away.mean() < np.linalg.norm(ITEMS, axis=1).mean()
    np.testing.assert_array_equal(bench.enlarged(real, 400).items, items[:400])


def test_catalogues_are_measured_in_turns_and_the_largest_is_set_beside_the_smallest(
    bench: Any, tmp_path: Path
) -> None:
    hidden = RNG.uniform(-1, 1, (100, 24)).astype(np.float32)
    exported: list[int] = []
    small, large = bench.measure_catalogues(
        bench.Catalogue(ITEMS, BIAS), hidden, [4500, 300], tmp_path / "here", 10, exported.append
    )
    assert (small.n_items, large.n_items, exported) == (300, 4500, [1, 2])
    assert large.file_bytes > 4500 * 24 * 4
    assert small.overlap == 1
    assert large.overlap >= 0.99
    assert {batch: len(each) for batch, each in small.seconds.items()} == {
        batch: 10 if batch == 1 else 2 for batch in bench.BATCHES
    }
    entries = bench.catalogue_entries([large, small])
    for batch, entry in zip((1, 32), entries, strict=True):
        assert entry["work"] == f"lists of 4,500 items, in batches of {batch}"
        assert entry["beside"] == f"lists of 300 items, in batches of {batch}"
        assert entry["ratio"] == pytest.approx(small.ms(batch, 99) / large.ms(batch, 99), rel=1e-3)
