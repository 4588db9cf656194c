"""Engines compute what torch computes, for every tower: plain, with prompts, with convolutions over time, residual."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir

from models.engines.choice import FP32_GRAPH, INT8_GRAPH
from models.engines.clips_at_hand import clips_at_hand
from models.engines.errors import EngineUnavailable
from models.engines.graph import export_graph, openvino_core
from models.engines.preparation import open_engine
from models.engines.quantisation import quantise
from models.engines.torch_engines import CompiledEngine
from models.frames.arrays import UInt8Array
from models.image.time_blocks import attach_time_blocks
from models.image.tower import Extension
from models.recognition.base import Base
from models.recognition.engine import LanePlan
from models.recognition.recognizer import Recognizer
from tests.models.conftest import CPU, resnet_base, tiny_base

TWO_LANES = LanePlan(lanes=2, threads=1, batch=4)

SIGNALLED = """
import signal, sys
from pathlib import Path
from models.engines.preparation import open_engine
from tests.models.engines.test_engines import CPU, TWO_LANES, tiny_base, torch
signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
recognizer = tiny_base().recognizer(CPU, torch.float32)
first = open_engine(recognizer, Path(sys.argv[1]), "openvino", TWO_LANES)
second = open_engine(recognizer, Path(sys.argv[1]), "openvino", TWO_LANES)
del first
del second
signal.raise_signal(signal.SIGINT)
"""

STARTED_TOGETHER = """
import faulthandler, sys, threading
from pathlib import Path
from models.engines.preparation import open_engine
from tests.models.engines.test_engines import CPU, TWO_LANES, frames, tiny_base, torch
faulthandler.dump_traceback_later(60, exit=True)
sys.setswitchinterval(1e-6)
engine = open_engine(tiny_base().recognizer(CPU, torch.float32), Path(sys.argv[1]), "openvino", TWO_LANES)
together = threading.Barrier(4)
def lane():
    together.wait()
    engine.encode(frames(1))
lanes = [threading.Thread(target=lane) for _ in range(4)]
for each in lanes:
    each.start()
for each in lanes:
    each.join()
print("all have answered")
"""


def frames(count: int, seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def prompted() -> Base:
    base = tiny_base()
    base.tower.add_prompts(torch.randn(2, 3, 64))
    return base


def extended() -> Base:
    base = tiny_base()
    extension = Extension(64, 3, rooted=True)
    torch.nn.init.normal_(extension.weight)
    base.tower.extend(extension)
    return base


def over_time() -> Base:
    base = tiny_base()
    attach_time_blocks(base.tower, "token_conv", "shift")
    return base


def residual_over_time() -> Base:
    base = resnet_base()
    attach_time_blocks(base.tower, "conv", "shift")
    return base


@pytest.mark.parametrize("base", [tiny_base, prompted, extended, resnet_base, over_time, residual_over_time])
def test_a_graph_computes_what_torch_computes(base: Callable[[], Base], tmp_path: Path) -> None:
    recognizer = base().recognizer(CPU, torch.float32)
    export_graph(recognizer, tmp_path / FP32_GRAPH)
    engine = open_engine(recognizer, tmp_path, "openvino", TWO_LANES)
    clip = recognizer.profile.frames if recognizer.mixes_time else 1
    for count in (1, 3):
        expected = recognizer.encode_frames(frames(count * clip), clip)
        found = engine.encode(frames(count * clip), clip)
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    served = replace(recognizer, engine=engine)
    assert torch.equal(served.encode_frames(frames(clip), clip), engine.encode(frames(clip), clip))
    assert served.numerics != recognizer.numerics


@pytest.mark.parametrize("base", [tiny_base, prompted, extended, resnet_base, over_time, "lite"])
def test_a_graph_serves_a_model_whose_format_is_bf16(
    base: Callable[[], Base] | str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The trunk of `lite` is in bf16 then, and its neck in fp32."""
    made: Callable[[], Base] = (lambda: request.getfixturevalue("lite_base")) if isinstance(base, str) else base
    exact = made().recognizer(CPU, torch.float32)
    export_graph(exact, tmp_path / FP32_GRAPH)
    engine = open_engine(made().recognizer(CPU, torch.bfloat16), tmp_path, "openvino", TWO_LANES)
    clip, size = exact.profile.frames if exact.mixes_time else 1, exact.profile.size
    shown = clips_at_hand(2, clip, size, seed=0)
    found, expected = engine.encode(shown, clip), exact.encode_frames(shown, clip)
    assert (engine.precision, found.dtype) == ("bf16", torch.float32)
    assert torch.cosine_similarity(found, expected).min() > 0.98


def test_a_block_of_a_graph_turns_its_tokens_around_only_for_the_heads(tmp_path: Path) -> None:
    """Each other transposition costs time: with torch's own attention a frame takes a tenth longer."""
    base = tiny_base()
    export_graph(base.recognizer(CPU, torch.float32), tmp_path / FP32_GRAPH)
    graph = (tmp_path / FP32_GRAPH).read_text()
    blocks = graph.count('type="ScaledDotProductAttention"')
    assert blocks == 2
    assert graph.count('type="Transpose"') <= 2 + 4 * blocks  # pixels and places; queries, keys, values, and back


def test_a_graph_of_whole_clips_leaves_other_lengths_to_torch(tmp_path: Path) -> None:
    recognizer = over_time().recognizer(CPU, torch.float32)
    export_graph(recognizer, tmp_path / FP32_GRAPH)
    engine = open_engine(recognizer, tmp_path, "openvino", TWO_LANES)
    assert torch.equal(engine.encode(frames(6), 3), recognizer.encode_frames(frames(6), 3))


def test_a_tower_that_the_tracer_gets_wrong_is_refused(tmp_path: Path) -> None:
    """Here the result depends on the number of frames, as the tracer saw it in its example."""
    base = tiny_base()
    trunk = base.tower.trunk
    base.tower.trunk = lambda pixels, clip=1: trunk(pixels, clip) * float(len(pixels))  # type: ignore[method-assign]
    with pytest.raises(EngineUnavailable, match="something else than torch"):
        export_graph(base.recognizer(CPU, torch.float32), tmp_path / FP32_GRAPH)
    assert not (tmp_path / FP32_GRAPH).exists()


def test_a_graph_of_eight_bits_has_a_digest_and_results_of_its_own(tmp_path: Path) -> None:
    recognizer = tiny_base().recognizer(CPU, torch.float32)
    export_graph(recognizer, tmp_path / FP32_GRAPH)
    shown = clips_at_hand(8, 1, 32, seed=0)
    quantise(tmp_path / FP32_GRAPH, shown, 1, tmp_path / INT8_GRAPH, attends=True)
    exact, coarse = (open_engine(recognizer, tmp_path, name, TWO_LANES) for name in ("openvino", "openvino-int8"))
    found, expected = coarse.encode(frames(4)), exact.encode(frames(4))
    assert (coarse.precision, exact.precision) == ("int8", "fp32")
    assert coarse.digest != exact.digest
    assert not torch.equal(found, expected)
    assert torch.cosine_similarity(found, expected).min() > 0.98


@pytest.mark.parametrize(
    ("dtype", "said", "hint"), [(torch.float32, "int8", "f32"), (torch.bfloat16, "int8+bf16", "bf16")]
)
def test_what_is_not_in_eight_bits_is_in_the_format_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, said: str, hint: str
) -> None:
    """Attention and norms. The machine need not compute bf16: what OpenVINO is asked for is looked at."""
    export_graph(tiny_base().recognizer(CPU, torch.float32), tmp_path / INT8_GRAPH)
    core, asked = openvino_core(), []
    compile_model = core.compile_model

    def compiled(graph: str, device: str, properties: dict[str, object]) -> object:
        asked.append(properties["INFERENCE_PRECISION_HINT"])
        return compile_model(graph, device, properties | {"INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(core, "compile_model", compiled)
    engine = open_engine(tiny_base().recognizer(CPU, dtype), tmp_path, "openvino-int8", TWO_LANES)
    assert (engine.precision, asked) == (said, [hint])


def test_a_process_survives_signals_after_engines_have_gone(tmp_path: Path) -> None:
    export_graph(tiny_base().recognizer(CPU, torch.float32), tmp_path / FP32_GRAPH)
    done = subprocess.run([sys.executable, "-c", SIGNALLED, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_lanes_that_start_together_do_not_lock_each_other_out(tmp_path: Path) -> None:
    """Without the first pass of `OpenVinoEngine`, two processes of three hang."""
    export_graph(tiny_base().recognizer(CPU, torch.float32), tmp_path / FP32_GRAPH)
    command = [sys.executable, "-c", STARTED_TOGETHER, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in started:
        said, error = process.communicate()
        assert (process.returncode, said) == (0, "all have answered\n"), error


def test_a_machine_that_cannot_compile_says_so_and_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recognizer = tiny_base().recognizer(CPU, torch.float32)

    def broken(*_: object, **__: object) -> Callable[..., torch.Tensor]:
        def forward(*_: object) -> torch.Tensor:
            raise RuntimeError("no C++ compiler found\nand a long story")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    engine = CompiledEngine(recognizer, TWO_LANES, tmp_path)
    assert torch.equal(engine.encode(frames(2)), recognizer.encode_frames(frames(2)))
    assert engine.failure == "RuntimeError: no C++ compiler found"


@pytest.mark.parametrize(("named", "own"), [(None, False), (default_cache_dir(), False), ("/elsewhere", True)])
def test_a_compiled_engine_uses_what_was_compiled_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str | None, own: bool
) -> None:
    """named: the folder in the environment, which torch writes there too; own: it is the user's."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", named or "")
    if named is None:
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    recognizer: Recognizer = tiny_base().recognizer(CPU, torch.float32)
    monkeypatch.setattr(torch, "compile", lambda tower, **_: lambda pixels, clip: tower(pixels, clip) * 2)
    engine = open_engine(recognizer, tmp_path / "graphs of a model", "compiled", TWO_LANES)
    assert cache_dir() == (named if own else str(tmp_path / "compiled"))
    assert torch.equal(engine.encode(frames(2)), recognizer.encode_frames(frames(2)) * 2)
    assert engine.digest.startswith("compiled")
