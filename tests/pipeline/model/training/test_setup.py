"""The learning rate's way, and a model whose space is that of its data."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.model.training.cache import open_cache
from pipeline.model.training.setup import LostProcess, all_alive, new_model, optimizer_of, rate_of, shorten_timeout
from tests.pipeline.model.training.small import recipe


def test_a_cosine_begins_after_the_warm_up_and_ends_at_nothing() -> None:
    share = rate_of(recipe(steps=12, warmup_steps=2, schedule="cosine"))
    assert [share(step) for step in (0, 1, 2)] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert share(7) == pytest.approx(0.5)
    assert share(12) == share(99) == pytest.approx(0.0)


def test_a_constant_stays() -> None:
    share = rate_of(recipe(steps=12, warmup_steps=1))
    assert [share(step) for step in (0, 1, 11)] == [0.5, 1.0, 1.0]


def test_processes_wait_for_one_another_only_so_long_once_that_is_said(tmp_path: Path) -> None:
    from torch import distributed

    shorten_timeout(0.5)  # of a run of one process: there is nobody to wait for
    long = timedelta(hours=12)
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "store"), 2), rank=0, world_size=1, timeout=long
    )
    try:
        options = distributed.distributed_c10d._get_default_group()._get_backend(torch.device("cpu")).options
        assert options._timeout == long
        shorten_timeout(0.5)
        assert options._timeout == timedelta(seconds=30)
    finally:
        distributed.destroy_process_group()


LOST = [
    "[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 6000ms for recv operation to complete",
    "[gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:11163: Connection reset by peer. This is typically caused by",
    "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:39443",
    "NCCL communicator was aborted on rank 1",
    "NCCL error in: ProcessGroupNCCL.cpp:2251, remote process exited or there was a network error, NCCL version 2.21.5\n"
    "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.",
    "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7, OpType=ALLREDUCE) ran for 1800043 ms",
    "store->get('0') got error: wait timeout after 1800000ms, keys: /default_pg/0//cuda//0",
]
# NCCL says "unhandled system error" and "invalid usage" before these.
SET_UP = [
    "NCCL error in: ProcessGroupNCCL.cpp:2251, invalid usage\nDuplicate GPU detected : rank 0 and rank 1 both on CUDA device 1a0",
    "NCCL error in: ProcessGroupNCCL.cpp:2251, unhandled system error\n"
    "Error while creating shared memory segment /dev/shm/nccl-Jh3kQz (size 9637888)",
]


@pytest.mark.parametrize("said", LOST)
def test_another_process_that_is_gone_or_hangs_is_told_in_a_line(said: str) -> None:
    says = "another of the 2 processes ended, or did not answer for 30 min"
    with pytest.raises(LostProcess, match=says) as caught, all_alive(2, 30):
        raise RuntimeError(said)
    assert "\n" not in str(caught.value) and str(caught.value.__cause__) == said
    assert said.splitlines()[0][:60] in str(caught.value)


@pytest.mark.parametrize(
    ("processes", "said"),
    [(1, LOST[0]), (2, "mat1 and mat2 shapes cannot be multiplied"), *((2, said) for said in SET_UP)],
)
def test_other_faults_stay_what_they_are(processes: int, said: str) -> None:
    with pytest.raises(RuntimeError) as caught, all_alive(processes, 30):
        raise RuntimeError(said)
    assert str(caught.value) == said


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimizer_is_the_one_that_was_named(name: str, kind: type) -> None:
    made = optimizer_of(recipe(optimizer=name, weight_decay=0.3), torch.nn.Linear(2, 2))
    assert type(made) is kind
    assert made.param_groups[0]["weight_decay"] == (0.3 if name == "adamw" else 0)


@pytest.mark.parametrize("ablate", ["", "local"])
def test_a_new_model_measures_in_what_the_data_is_like(shards: Path, tmp_path: Path, ablate: str) -> None:
    data = open_cache(shards, "train", tmp_path)
    model = new_model(recipe(ablate=ablate), data)
    found = data.statistics
    expected = found.picture_mean if ablate == "local" else found.mean
    assert model.space.picture is (ablate == "local")
    np.testing.assert_allclose(model.space.mean.numpy().reshape(expected.shape), expected, rtol=1e-5)
    assert model.audio_of == data.audio_of


def test_one_name_is_a_list_of_one() -> None:
    assert recipe(speaker="s1", freeze="blocks.*").speaker == ("s1",)
    assert recipe(speaker=["s1", "s2"]).speaker == ("s1", "s2")
