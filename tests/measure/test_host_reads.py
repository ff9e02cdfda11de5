"""Each host read of a tensor is counted once, with the line responsible."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genbench.measure.host_reads import HostReads

READS: dict[str, Callable[[Tensor], object]] = {
    "`.item()`": lambda x: x.sum().item(),
    "`.tolist()`": lambda x: x.tolist(),
    "`.cpu()`": lambda x: x.cpu(),
    "`.to()`": lambda x: x.to("cpu"),
    "`.numpy()`": lambda x: x.numpy(),
    "`bool()`": lambda x: bool(x.sum() > 0),
    "`float()`": lambda x: float(x.sum()),
    "`format()`": lambda x: f"{x.sum():.3f}",
    "`repr()`": lambda x: repr(x),
    "`.nonzero()`": lambda x: x.nonzero(),
    "`nonzero`": lambda x: torch.where(x > 0),
    "`selection by a mask`": lambda x: x[x > 0],
    "`_unique2`": lambda x: torch.unique(x),
    "`equal`": lambda x: torch.equal(x, x),
    "`masked_select`": lambda x: torch.masked_select(x, x > 0),
}
HARMLESS: dict[str, Callable[[Tensor], object]] = {
    "arithmetic": lambda x: (x * 2).exp().sum(),
    "where": lambda x: torch.where(x > 0, x, -x),
    "a gather": lambda x: x[torch.zeros(2, dtype=torch.int64)],
    "one value where a mask holds": lambda x: x.clone().index_put_((x > 0,), torch.tensor(1.0)),
    "shapes": lambda x: x.reshape(len(x), -1).shape[1],
    "the device of another tensor": lambda x: x.to(x.device),
    "one_hot of so many classes": lambda x: torch.nn.functional.one_hot(x.long(), 10),
}


def watched(read: Callable[[Tensor], object]) -> HostReads:
    reads, tensor = HostReads(), torch.tensor([1.0, 0.0, 2.0])
    with reads.watching():
        read(tensor)
    return reads


@pytest.mark.parametrize("what", READS)
def test_a_read_counts_once_and_is_named_with_its_line(what: str) -> None:
    reads = watched(READS[what])
    assert reads.total == 1
    (found,) = reads.counts
    line = READS[what].__code__.co_firstlineno
    assert str(found) == f"{what} at test_host_reads.py:{line}"
    assert found.line is not None
    assert not found.line.own


@pytest.mark.parametrize("what", HARMLESS)
def test_operations_that_stay_on_the_device_are_not_reads(what: str) -> None:
    assert watched(HARMLESS[what]).total == 0


def test_reads_in_a_backward_pass_are_seen() -> None:
    class Halves(torch.autograd.Function):
        @staticmethod
        def forward(context: object, values: Tensor) -> Tensor:
            return values / 2

        @staticmethod
        def backward(context: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * (0.5 if bool(gradient.any()) else 0.0)

    def train(x: Tensor) -> None:
        Halves.apply(x.requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]

    line = Halves.backward.__code__.co_firstlineno + 2
    assert [str(read) for read in watched(train).counts] == [f"`.item()` at test_host_reads.py:{line}"]


def test_on_a_gpu_host_tensors_are_ignored() -> None:
    reads = HostReads("cuda")
    with reads.watching():
        torch.ones(3).sum().item()
    assert reads.total == 0


def test_a_line_of_genbench_itself_is_named_by_its_path() -> None:
    from genbench.train.training_evidence import _gradient_norm

    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    (found,) = watched(lambda x: _gradient_norm([parameter])).counts
    assert found.line is not None
    assert found.line.own
    assert "at genbench/train/training_evidence.py:" in str(found)
