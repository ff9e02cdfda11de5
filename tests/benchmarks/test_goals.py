"""The table of goals: ratios beside their goals, and the physical limit beside each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from goals import table


def test_a_line_has_goal_ratio_and_the_limit_by_operations() -> None:
    ratio = {"median": 2.0, "low": 1.9, "high": 2.1}
    case: dict[str, Any] = {
        "title": "VAE",
        "batch_size": 100,
        "images_per_second": {"plain": 500.0, "genbench": 1000.0},
        "ratios": {"genbench": {"seconds": ratio, "processor_seconds": ratio}},
        "flops_per_step": {"plain": 2e9, "genbench": 2e9},
        "peak_gflops": 50.0,
        "step_options": {"genbench": {"threads": "1"}},
    }
    fid = {"images": 100, "ratios": {"cold": {"pytorch-fid": 1.8}}}
    lines = table({"peers": {"vae": case}, "fid": fid})
    # 50 GFLOP/s do 25 steps of 100 images per second: 2,500 images, five times those of the peer
    assert lines[2] == "| VAE | ≥ 3.0 | 2.00 [1.90, 2.10] | 2.00 | 5.00 | threads = 1 |"
    assert lines[3] == "| `genbench fid`, cold, 100 images per folder, against pytorch-fid | ≥ 2.0 | 1.80 | | | |"
    assert len(lines) == 4
