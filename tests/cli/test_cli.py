# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints and writes, and its exit codes when the user or a file is wrong."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from cli_calls import call, fails, misused

from fastcnn import cli
from fastcnn.cli import bench
from fastcnn.datasets import mnist

COMMAND = [sys.executable, "-m", "fastcnn"]
SMALL = ["--limit=600", "--epochs=2", "--batch-size=32"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("runs")
    assert (
        cli.main(["train", *SMALL, "--model", "lenet", "--out", str(out), "--name", "small", "--json"]) == 0
    )
    return out / "small"


def test_train_reports_and_writes(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = call(capsys, "train", *SMALL, "--out", tmp_path, "--name", "first")
    assert "Epoch 2/2\n18/18 [" in out  # 550 images for training, 50 for validation
    assert "val_accuracy" in out
    assert "test accuracy 0." in out
    assert "confusion matrix" in out
    folder = tmp_path / "first"
    assert f"written to {folder}: model.safetensors" in out
    assert sorted(os.listdir(folder)) == [
        "confusion_matrix.png", "history.json", "learning_curves.png", "metrics.json", "model.safetensors",
    ]  # fmt: skip
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")

    history = json.loads((folder / "history.json").read_text())
    assert history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 2 for values in history.values())
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0.3 < metrics["test_accuracy"] < 1
    assert metrics["test_loss"] > 0
    assert metrics["seconds"] > 0
    assert np.trace(metrics["confusion_matrix"]) == round(600 * metrics["test_accuracy"])
    assert metrics["training_images"] == 550


def test_train_gives_a_name_and_the_same_numbers_again(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def metrics(*arguments: str) -> dict[str, Any]:
        return json.loads(
            call(capsys, "train", *SMALL, "--model=lenet", "--json", "--out", tmp_path, *arguments)
        )

    first, other = metrics("--optimizer=sgd"), metrics("--seed=1", "--name=x")
    again = metrics("--optimizer=sgd", "--name=x")
    assert pathlib.Path(first["folder"]).parent == tmp_path
    assert first["test_loss"] == again["test_loss"] != other["test_loss"]
    assert pathlib.Path(again["folder"], "model.safetensors").is_file()


def test_train_without_matplotlib(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = call(capsys, "train", "--limit=5", "--epochs=1", "--model=lenet", "--out", tmp_path, "--name=x")
    assert "pip install fastcnn[plot]" in out
    assert sorted(os.listdir(tmp_path / "x")) == ["history.json", "metrics.json", "model.safetensors"]


def test_train_says_when_it_diverged(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL, "--optimizer=sgd", "--lr=1e30", "--model=lenet", "--name=x", "--out", str(tmp_path)]
    assert cli.main(["train", *arguments]) == 1
    assert "try a smaller --lr" in capsys.readouterr().err
    assert json.loads((tmp_path / "x" / "metrics.json").read_text())["test_loss"] is None


def test_evaluate(run_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    for model in (run_folder, run_folder / "model.safetensors"):
        result = json.loads(call(capsys, "evaluate", model, "--limit", 600, "--json"))
        assert result["test_accuracy"] == metrics["test_accuracy"]
        assert result["test_loss"] == metrics["test_loss"]
        assert result["confusion_matrix"] == metrics["confusion_matrix"]
    out = call(capsys, "evaluate", run_folder, "--limit", 600)
    assert f"test accuracy {metrics['test_accuracy']:.4f}" in out
    assert len(out.splitlines()) == 14


def test_predict_test_images(run_folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads(
        call(capsys, "predict", run_folder, "--index", 0, "--index", 9999, "--top", 10, "--json")
    )
    assert [each["label"] for each in results] == [7, 6]
    for each in results:
        probabilities = [entry["probability"] for entry in each["classes"]]
        assert sorted(probabilities, reverse=True) == probabilities
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert {entry["class"] for entry in each["classes"]} == set(range(10))
    out = call(capsys, "predict", run_folder, "--index", 0)
    assert out.startswith("MNIST test image 0 (a 7)\n")
    assert len(out.splitlines()) == 4


def test_predict_arrays(
    run_folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = mnist.load_data()[1][0][:3]
    np.save(tmp_path / "one.npy", x[0])
    np.save(tmp_path / "three.npy", x[..., None].astype(np.float32))
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *x.shape)
    (tmp_path / "plain").write_bytes(header + x.tobytes())
    (tmp_path / "packed").write_bytes(gzip.compress(header + x.tobytes()))
    every = ("--index", 0, "--index", 1, "--index", 2)
    for name, indices in (("one.npy", every[:2]), ("three.npy", every), ("plain", every), ("packed", every)):
        expected = json.loads(call(capsys, "predict", run_folder, *indices, "--json"))
        results = json.loads(call(capsys, "predict", run_folder, tmp_path / name, "--json"))
        assert [each["classes"] for each in results] == [each["classes"] for each in expected]
    assert results[2]["image"].endswith("packed[2]")


def test_predict_pictures(
    run_folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = mnist.load_data()[1][0][0]
    image.fromarray(pixels).save(tmp_path / "digit.png")
    image.fromarray(255 - pixels).convert("RGBA").save(tmp_path / "ink.png")
    expected = json.loads(call(capsys, "predict", run_folder, "--index", 0, "--json"))[0]["classes"]
    for arguments in (["digit.png"], ["ink.png", "--invert"]):
        result = json.loads(
            call(capsys, "predict", run_folder, tmp_path / arguments[0], *arguments[1:], "--json")
        )
        assert result[0]["classes"] == expected
    image.fromarray(pixels).resize((200, 100)).save(tmp_path / "large.jpg")
    call(capsys, "predict", run_folder, tmp_path / "large.jpg")


def test_predict_without_pillow(
    run_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "pip install fastcnn[image]" in fails(capsys, "predict", run_folder, tmp_path / "a.png")


def test_bars_on_any_terminal(run_folder: pathlib.Path) -> None:
    for encoding, block in (("utf-8", "\u2588"), ("ascii", "#")):
        out = subprocess.run(
            [*COMMAND, "predict", str(run_folder), "--index", "0"],
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        ).stdout.decode()
        assert block in out


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    out = call(capsys, "info", "--kernels")
    for word in (
        "fastcnn ",
        "instruction set",
        "bfloat16",
        "affinity",
        "cgroup quota",
        "OMP_NUM_THREADS",
        "threads",
        "caches",
        "CUDA",
        "conv2d",
    ):
        assert word in out
    facts = json.loads(call(capsys, "info", "--json"))
    assert facts["isa"] in facts["isas"]
    assert facts["bfloat16"] == facts["isa"].endswith("_bf16")
    assert facts["affinity"] == len(os.sched_getaffinity(0))
    assert facts["threads_from"]
    assert facts["cuda"]["built"] in (True, False)
    assert all(size >= 1 << 10 for size in facts["caches"].values())
    assert isinstance(facts["kernels"], int)
    assert len(json.loads(call(capsys, "info", "--kernels", "--json"))["kernels"]) == facts["kernels"]


def test_info_says_what_limits_the_threads() -> None:
    def facts(**environment: str) -> dict[str, Any]:
        out = subprocess.run(
            [*COMMAND, "info", "--json"], env=os.environ | environment, capture_output=True, check=True
        ).stdout
        return json.loads(out)

    limited = facts(OMP_NUM_THREADS="1")
    assert limited["threads"] == 1
    assert "omp_num_threads" in limited["threads_from"]
    assert "omp_num_threads" not in facts(OMP_NUM_THREADS="999")["threads_from"]
    assert "omp_num_threads" not in facts(OMP_NUM_THREADS="many")["threads_from"]
    assert "omp_thread_limit" in facts(OMP_THREAD_LIMIT="1")["threads_from"]
    assert facts(FASTCNN_ISA="baseline")["isa"] == "baseline"


def test_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_roofs", lambda: {"gflops": 100, "gbytes": 10})
    result = json.loads(call(capsys, "bench", "--seconds=1e-4", "--json"))
    assert result["roofs"] == {"gflops": 100, "gbytes": 10}
    assert {"conv2d", "conv2d_dgrad", "conv2d_wgrad", "gemm"} <= {row["kernel"] for row in result["kernels"]}
    assert all(row["seconds"] > 0 and row["of_roof"] > 0 for row in result["kernels"])
    assert result["training"][0]["network"] == "lenet"
    monkeypatch.setattr(bench, "_rows", lambda: [bench._Row("none", "[1]", 7, 8, lambda: None)])
    monkeypatch.setattr(bench, "_step", lambda *_: 1e-3)
    out = call(capsys, "bench", "--seconds=1e-4")
    assert "peak 100 GFLOP/s, copies 10.0 GB/s" in out
    assert [line.split()[0] for line in out.splitlines() if line][2:] == [
        "kernel",
        "none",
        "training",
        "lenet",
        "lenet",
    ]


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", ""])
@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--limit"])
def test_wrong_numbers(capsys: pytest.CaptureFixture[str], option: str, number: str) -> None:
    assert option in misused(capsys, "train", f"{option}={number}")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["train", "--nonsense"],
        ["train", "--model=resnet"],
        ["train", "--optimizer=nonsense"],
        ["train", "--optimizer=serialize"],
        ["train", "--device=tpu"],
        ["train", "--lr=0"],
        ["train", "--lr=nan"],
        ["train", "--lr=inf"],
        ["train", "--seed=-1"],
        ["train", "--name=a/b"],
        ["train", "--name=.."],
        ["train", "--name="],
        ["evaluate"],
        ["predict"],
        ["predict", "model"],
        ["predict", "model", "--index=10000"],
        ["predict", "model", "--index=-1"],
        ["predict", "model", "--index=0", "--top=0"],
        ["info", "more"],
        ["bench", "--seconds=0"],
        ["train", "--dataset=nonsense"],
        ["train", "--image-size=0"],
        ["train", "--image-size=1x2x3"],
        ["train", "--image-size=x"],
        ["train", "--mod=lenet"],
        ["evaluate", "model", "--part=none"],
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert "usage: fastcnn" in misused(capsys, *arguments)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--help"],
        ["--version"],
        *([each, "--help"] for each in ("train", "evaluate", "predict", "info", "bench")),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 0
        assert "fastcnn" in capsys.readouterr().out


def test_wrong_files(
    run_folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text"
    text.write_text("not a model")
    assert f"error: {tmp_path / 'none'}: No such file" in fails(capsys, "evaluate", tmp_path / "none")
    assert "No such file" in fails(capsys, "evaluate", tmp_path)
    assert "at byte 0" in fails(capsys, "evaluate", text)
    assert "No such file" in fails(capsys, "predict", run_folder, tmp_path / "none.png")
    assert "Is a directory" in fails(capsys, "predict", run_folder, tmp_path)
    np.save(tmp_path / "wrong.npy", np.zeros((3, 27, 28)))
    assert "(27, 28), the model wants (28, 28, 1)" in fails(
        capsys, "predict", run_folder, tmp_path / "wrong.npy"
    )
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    assert ".npy file" in fails(capsys, "predict", run_folder, tmp_path / "objects.npy")
    (tmp_path / "short.npy").write_bytes((tmp_path / "wrong.npy").read_bytes()[:-1])
    assert ".npy file" in fails(capsys, "predict", run_folder, tmp_path / "short.npy")


def test_a_folder_that_cannot_be_written_costs_no_training(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    start = time.monotonic()
    assert "Not a directory" in fails(capsys, "train", "--epochs=1000", "--out", tmp_path / "file")
    assert time.monotonic() - start < 5


def test_without_cuda(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "CUDA" in fails(capsys, "train", "--device=cuda", "--limit=10", "--out", tmp_path)


def test_interrupted(tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "train", "--epochs=1000", "--limit=2000", "--model=lenet", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("Epoch 2"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == "fastcnn: interrupted\n"
    assert os.listdir(tmp_path) == []


def test_a_reader_that_goes_away(run_folder: pathlib.Path) -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run([*COMMAND, "info", "--kernels"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, b"")


def test_odd_standard_streams(tmp_path: pathlib.Path) -> None:
    train = ["train", "--limit=20", "--epochs=1", "--model=lenet", f"--out={tmp_path}"]

    def shell(redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = f'exec "$@" {redirection}'
        arguments = ["sh", "-c", command, "sh", *COMMAND, *train]
        return subprocess.run(arguments, env=os.environ | environment, capture_output=True, text=True)

    closed = shell(">&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    full = shell(">/dev/full")
    assert full.returncode == 1
    assert full.stderr == "fastcnn: error: [Errno 28] No space left on device\n"
    ascii_only = shell("", PYTHONIOENCODING="ascii")
    assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
    assert "test accuracy" in ascii_only.stdout


@pytest.mark.full
def test_the_default_network_reaches_99_percent(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = json.loads(call(capsys, "train", "--json", "--out", tmp_path))
    assert metrics["test_accuracy"] >= 0.99
