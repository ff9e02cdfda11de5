"""The doctor finds faults that were planted for real, and says what to do; a healthy machine passes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from command_line import GENBENCH
from planted import changed, on_path
from plugin_packages import environment, temp_plugin
from small_disk import CannotMount, mounted

from genbench.api.images import ImageData, Images
from genbench.builtin.extractors.inception_weights import FILE_NAME
from genbench.data.image_cache import write_entry
from genbench.doctor.checklist import CHECKS

PRETENDED_GPU = """
import os
torch.cuda.is_available = torch.accelerator.is_available = lambda: True
torch.cuda.device_count = torch.accelerator.device_count = lambda: 1
torch.cuda.get_device_name = lambda device=None: "a pretended GPU"
torch.cuda.get_device_capability = lambda device=None: (12, 0)
owner = os.getpid()
def initialise():
    raise RuntimeError("Cannot re-initialize CUDA in forked subprocess" if os.getpid() != owner else "no GPU here")
torch.cuda._lazy_init = initialise
torch.cuda.set_device = lambda device: None
"""


FRESH = ("fork-safety", "versions", "driver", "process-group")  # depend on how Python starts


def doctor(
    check: str,
    device: str = "cpu",
    prefix: Sequence[str] = (),
    cwd: Path | None = None,
    fresh: bool = False,
    **variables: str,
) -> dict[str, Any]:
    """Return the finding of one check; exit code and verdict agree with it.

    Args:
        fresh: start a program instead of a fork that has imported torch.
    """
    command = ("doctor", "--only", check, "--device", device, "--json")
    if prefix or fresh or check in FRESH:
        done = subprocess.run(
            [*prefix, *GENBENCH, *command],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **variables},
            timeout=200,
            check=False,
        )
    else:
        done = warm.command(*command, cwd=cwd, **variables)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    (found,) = report["checks"]
    assert done.returncode == (5 if found["status"] == "failed" else 0), done.stderr
    assert report["passed"] == (found["status"] != "failed")
    assert found["name"] == check
    result: dict[str, Any] = found
    return result


def fault(found: dict[str, Any]) -> tuple[str, str]:
    assert found["status"] == "failed", found
    return found["reason"], found["remedy"]


def test_a_cache_without_permission_to_write(tmp_path: Path) -> None:
    assert doctor("cache", GENBENCH_CACHE=str(tmp_path / "cache"))["status"] in ("passed", "warning")
    try:
        with mounted(tmp_path) as disk:
            disk.sh(f"mount -o remount,ro {disk.path}")
            found = doctor("cache", prefix=disk.prefix, GENBENCH_CACHE=str(disk.path / "cache"))
    except CannotMount as error:
        pytest.skip(str(error))
    reason, remedy = fault(found)
    assert "Read-only file system" in reason
    assert "Set GENBENCH_CACHE to a folder that you can write to" in remedy


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    reason, remedy = fault(doctor("cache", GENBENCH_CACHE=str(tmp_path / "cache")))
    assert "cannot be used" in reason
    assert "GENBENCH_CACHE" in remedy


def test_a_cache_that_others_can_write_to(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    reason, remedy = fault(doctor("cache", GENBENCH_CACHE=str(cache)))
    assert f"Others can write to {cache}" in reason
    assert f"chmod 700 {cache}" in remedy


def test_shared_memory_of_a_megabyte() -> None:
    mount = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", mount, "sh")
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let users mount a disk")
    assert doctor("shared-memory")["status"] in ("passed", "warning", "not applicable")
    reason, remedy = fault(doctor("shared-memory", prefix=prefix))
    assert "/dev/shm has 1 MiB" in reason
    assert "--shm-size" in remedy


def test_a_full_disk(tmp_path: Path) -> None:
    assert doctor("working-directory", cwd=tmp_path)["status"] in ("passed", "warning")
    try:
        with mounted(tmp_path) as disk:
            disk.sh(f"dd if=/dev/zero of={disk.path}/rest bs=1M 2>/dev/null || true")
            prefix = (*disk.prefix, "sh", "-c", f'cd {disk.path} && exec "$@"', "sh")
            reason, remedy = fault(doctor("working-directory", prefix=prefix))
            cached = fault(doctor("cache", prefix=disk.prefix, GENBENCH_CACHE=str(disk.path)))
    except CannotMount as error:
        pytest.skip(str(error))
    assert "No space left on device" in reason
    assert "--out" in remedy
    assert "No space left on device" in cached[0]


def test_temporary_files_that_cannot_be_written(tmp_path: Path) -> None:
    assert doctor("temporary-files")["status"] in ("passed", "warning")
    script = 'mount -t tmpfs -o size=300m tmpfs "$0" && dd if=/dev/zero of="$0/rest" bs=1M count=200 && exec "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", script, str(tmp_path))
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let users mount a disk")
    reason, remedy = fault(doctor("temporary-files", prefix=prefix, TMPDIR=str(tmp_path)))
    assert "100 MiB left" in reason
    assert "set TMPDIR" in remedy


def test_weights_of_another_content_than_their_name_says(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    assert doctor("inception-weights", TORCH_HOME=str(tmp_path))["status"] == "not applicable"
    (folder / FILE_NAME).write_bytes(b"not these")
    reason, remedy = fault(doctor("inception-weights", TORCH_HOME=str(tmp_path)))
    assert "instead of the 6726825d" in reason
    assert "delete it: it is downloaded again" in remedy


def test_weights_in_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"not these")
    reason, remedy = fault(doctor("inception-weights", GENBENCH_INCEPTION_WEIGHTS=str(tmp_path / "own.pth")))
    assert "does not contain the Inception weights" in reason
    assert "unset GENBENCH_INCEPTION_WEIGHTS" in remedy


def test_a_driver_older_than_torchs_cuda(tmp_path: Path) -> None:
    if torch.version.cuda is None:
        pytest.skip("torch is built without CUDA")
    (tmp_path / "pynvml.py").write_text(
        "def nvmlInit(): pass\n"
        "def nvmlSystemGetDriverVersion(): return '450.80.02'\n"
        "def nvmlSystemGetCudaDriverVersion_v2(): return 11000\n"
    )
    reason, remedy = fault(doctor("driver", "cuda", **on_path(tmp_path)))
    assert "450.80.02 is too old: it supports CUDA 11.0" in reason
    assert "Update the NVIDIA driver" in remedy
    (tmp_path / "pynvml.py").write_text((tmp_path / "pynvml.py").read_text().replace("11000", "99000"))
    assert doctor("driver", "cuda", **on_path(tmp_path))["status"] == "passed"


def test_a_torch_without_code_for_the_gpu(tmp_path: Path) -> None:
    built = PRETENDED_GPU + "torch.cuda.get_arch_list = lambda: ['sm_80', 'sm_90a', {}]\n"
    reason, remedy = fault(doctor("gpu-architecture", "cuda", **changed(tmp_path, torch=built.format("'sm_90'"))))
    assert "no code for cuda:0 of compute capability 12.0; it is built for sm_80 sm_90a sm_90" in reason
    assert "Install a torch built for this GPU" in remedy
    later = changed(tmp_path, torch=built.format("'compute_90'"))
    assert doctor("gpu-architecture", "cuda", **later)["status"] == "passed"


def test_a_torch_that_reports_a_gpu_which_cannot_compute(tmp_path: Path) -> None:
    reason, remedy = fault(doctor("devices", "cuda", fresh=True, **changed(tmp_path, torch=PRETENDED_GPU)))
    assert "cuda:0 cannot compute: RuntimeError: no GPU here" in reason
    assert "--device cpu" in remedy


def test_auto_checks_the_gpu_that_torch_reports(tmp_path: Path) -> None:
    reason, _ = fault(doctor("devices", "auto", **changed(tmp_path, torch=PRETENDED_GPU)))
    assert "cuda:0 cannot compute" in reason


def test_a_gpu_that_is_not_there() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    reason, remedy = fault(doctor("devices", "cuda"))
    assert "finds no usable GPU" in reason
    assert "CUDA_VISIBLE_DEVICES" in remedy


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_a_torch_without_the_device_that_is_asked_for(device: str) -> None:
    if torch.get_device_module(device).is_available():
        pytest.skip("there is one")
    reason, remedy = fault(doctor("devices", device))
    assert f"finds no usable GPU: it is built without {device.upper()}" in reason
    assert remedy == "Install a torch that is built for it, or use --device cpu."
    assert doctor("energy", device)["status"] == "failed"
    assert doctor("gpu-clocks", device)["status"] == "not applicable"


def test_a_gpu_that_a_forked_worker_cannot_use(tmp_path: Path) -> None:
    assert doctor("fork-safety")["status"] == "passed"
    reason, remedy = fault(doctor("fork-safety", "cuda", **changed(tmp_path, torch=PRETENDED_GPU)))
    assert "forked after the preload cannot use its device: RuntimeError: Cannot re-initialize CUDA" in reason
    assert "--in-process" in remedy


def test_a_preload_that_asks_the_accelerator(tmp_path: Path) -> None:
    asking = "import torch; torch.cuda.is_available()"
    variables = changed(tmp_path, genbench__metrics__frechet_distance=asking)
    reason, remedy = fault(doctor("fork-safety", **variables))
    assert "torch.cuda.is_available" in reason
    assert "sitecustomize" in remedy
    earlier = changed(tmp_path, torch="torch.cuda.is_available()")  # before the doctor can watch
    reason, remedy = fault(doctor("fork-safety", **earlier))
    assert "initialises CUDA: no forked worker can use a GPU" in reason
    assert "sitecustomize" in remedy


def test_an_engine_that_trains_differently(tmp_path: Path) -> None:
    deviating = """
class TooFast(selection.Eager):
    name = "compile"
    def run(self, engine, due):
        for group in [group for player in due for group in player.optimizer.param_groups]:
            group["lr"] *= 1.3
        super().run(engine, due)
        for group in [group for player in due for group in player.optimizer.param_groups]:
            group["lr"] /= 1.3
selection.open_execution = lambda name, engine: TooFast()
"""
    variables = changed(tmp_path, genbench__train__engines__selection=deviating)
    reason, remedy = fault(doctor("engine-compile", **variables))
    assert "deviate from eager fp32 by" in reason
    assert "--engine eager" in remedy


@pytest.mark.parametrize(
    ("clock", "reason"),
    [
        ("lambda: time.monotonic_ns() // 15_000_000 * 15_000_000", "too coarse: its ticks are 15,000 µs"),
        ("lambda: int(time.monotonic_ns() * 1.01)", "differ by 1 %"),
        ("time.perf_counter_ns; time.perf_counter = lambda: time.monotonic() // 0.02 * 0.02", "ticks are 20,000 µs"),
        ("lambda: time.monotonic_ns() - (time.monotonic_ns() // 100_000_000) % 2 * 50_000_000", "went back"),
    ],
    ids=["coarse", "drifting", "coarse in seconds", "jumping"],
)
def test_a_clock_that_cannot_time_steps(tmp_path: Path, clock: str, reason: str) -> None:
    found = fault(doctor("clock", **changed(tmp_path, now=f"import time\ntime.perf_counter_ns = {clock}")))
    assert reason in found[0]
    assert "clocksource" in found[1]


def test_a_plugin_that_does_not_load(tmp_path: Path) -> None:
    assert doctor("plugins")["status"] == "passed"
    temp_plugin(tmp_path, "import a_package_that_is_missing\n", name="broken-plugin")
    reason, remedy = fault(doctor("plugins", **environment(tmp_path)))
    assert "broken-plugin" in reason
    assert "a_package_that_is_missing" in reason
    assert "genbench plugin list" in remedy


def test_prepared_images_that_have_changed(tmp_path: Path) -> None:
    images = Images(torch.arange(2 * 16, dtype=torch.uint8).view(2, 1, 4, 4))
    entry = tmp_path / "prepared" / "mine-0123"
    entry.parent.mkdir()
    write_entry(entry, ImageData(train=images, test=images))
    assert doctor("prepared-images", GENBENCH_CACHE=str(tmp_path))["status"] == "passed"
    file = entry / "train_pixels.npy"
    status, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    reason, remedy = fault(doctor("prepared-images", GENBENCH_CACHE=str(tmp_path)))
    assert "mine are stale" in reason
    assert f"rm -r {entry}" in remedy
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a failing disk would leave it
    reason, remedy = fault(doctor("prepared-images", GENBENCH_CACHE=str(tmp_path)))
    assert "mine are not those that were stored" in reason
    assert "check the disk" in remedy
    unread = changed(tmp_path / "limit", genbench__doctor__stored_images="stored_images._MOST_READ = 0")
    assert doctor("prepared-images", GENBENCH_CACHE=str(tmp_path), **unread)["status"] == "passed"


def test_a_torch_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so: cannot open shared object file')\n")
    reason, remedy = fault(doctor("versions", **on_path(tmp_path)))
    assert "libtorch.so" in reason
    assert "--force-reinstall torch torchvision" in remedy


def test_torchvision_may_be_missing_but_not_belong_to_another_torch(tmp_path: Path) -> None:
    missing = changed(tmp_path, genbench__doctor__installation="installation._version = lambda name: ''")
    found = doctor("versions", **missing)
    assert found["status"] == "passed"
    assert {"name": "torchvision", "value": "not installed"}.items() <= next(
        figure for figure in found["figures"] if figure["name"] == "torchvision"
    ).items()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    reason, _ = fault(doctor("versions", **on_path(tmp_path / "other")))
    assert "torchvision::nms" in reason


def test_a_port_that_is_open_to_other_machines(tmp_path: Path) -> None:
    assert doctor("process-group")["status"] == "passed"
    listening = "import socket\ndistributed.kept = socket.create_server(('0.0.0.0', 0))"
    reason, remedy = fault(doctor("process-group", **changed(tmp_path, torch__distributed=listening)))
    assert "listen on 0.0.0.0:" in reason
    assert "firewall" in remedy


@pytest.mark.slow
def test_a_cell_that_gets_the_wrong_status(tmp_path: Path) -> None:
    assert doctor("failing-cells")["status"] == "passed"
    unseen = "memory_limits.is_out_of_memory = lambda error: False"
    reason, remedy = fault(
        doctor("failing-cells", fresh=True, **changed(tmp_path, genbench__cell__memory_limits=unseen))
    )
    assert "doctor-too-large is failed" in reason
    assert "doctor --json" in remedy


@pytest.mark.slow
def test_every_check_that_applies_passes_on_a_cpu() -> None:
    done = warm.command("doctor", "--device", "cpu", "--json")
    report = json.loads(done.stdout)
    wrong = [check for check in report["checks"] if check["status"] == "failed"]
    assert done.returncode == 0, wrong
    assert [check["name"] for check in report["checks"]] == [check.name for check in CHECKS]
    assert all(check["reason"] for check in report["checks"] if check["status"] == "not applicable")


def test_a_published_dataset_with_damaged_files(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        for content in ("images-idx3", "labels-idx1"):
            (raw / f"{split}-{content}-ubyte.gz").write_bytes(b"cut off")
            (raw / f"{split}-{content}-ubyte").write_bytes(b"cut off")
    reason, remedy = fault(doctor("datasets", GENBENCH_CACHE=str(tmp_path)))
    assert reason.startswith("mnist:")
    assert remedy
