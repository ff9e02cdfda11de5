"""The delete-block jackknife on a statistic whose standard error is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates


@given(n=st.integers(0, 200), blocks=st.integers(2, 30))
@settings(deadline=None)
def test_blocks_partition_the_rows_evenly(n: int, blocks: int) -> None:
    found = make_blocks(n, torch.Generator().manual_seed(0), blocks)
    if n < 3:
        assert found == []
        return
    sizes = {len(block) for block in found}
    assert torch.cat(found).sort().values.tolist() == list(range(n))
    assert max(sizes) - min(sizes) <= 1
    assert 2 <= len(found) <= blocks


def test_deleting_single_rows_of_a_mean_gives_its_textbook_error() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    replicates = (values.sum() - values) / 49
    assert standard_error_from_replicates(replicates) == pytest.approx(float(values.std()) / 50**0.5, rel=1e-12)


def test_rows_sorted_by_class_do_not_inflate_the_error() -> None:
    values = torch.cat([torch.zeros(500), torch.ones(500)]).double()
    blocks = make_blocks(1000, torch.Generator().manual_seed(2))
    replicates = torch.stack([(values.sum() - values[block].sum()) / (1000 - len(block)) for block in blocks])
    assert standard_error_from_replicates(replicates) == pytest.approx(0.5 / 1000**0.5, rel=0.5)
