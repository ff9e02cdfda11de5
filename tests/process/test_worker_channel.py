"""A worker says how far it has come, at most once a second, and not more often because there is more to say."""

from __future__ import annotations

import pytest

from genbench.process import worker_channel
from genbench.process.messages import Activity, Message
from genbench.process.worker_channel import WorkerChannel


class Recorded(WorkerChannel):
    def __init__(self) -> None:
        super().__init__(None)
        self.said: list[str] = []

    def _deliver(self, message: Message) -> None:
        assert isinstance(message, Activity)
        self.said.append(message.text)


def test_a_count_is_sent_at_the_start_of_each_work_and_then_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(worker_channel.time, "monotonic", lambda: now)
    channel = Recorded()
    for done in range(250, 10_001, 250):
        channel.count("generating samples", done, 10_000)
        now += 0.125
    channel.count("measuring psnr", 1, 2)
    channel.count("measuring ssim", 2, 2)
    assert channel.said == [
        "generating samples: 250 of 10,000",
        "generating samples: 2,250 of 10,000",
        "generating samples: 4,250 of 10,000",
        "generating samples: 6,250 of 10,000",
        "generating samples: 8,250 of 10,000",
        "measuring psnr: 1 of 2",
        "measuring ssim: 2 of 2",
    ]
