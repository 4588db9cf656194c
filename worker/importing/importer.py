"""A job of kind `import`, whole: from the checkpoint that the gateway stored to a version in the registry.

A child process reads the file and writes the version's tensors into a staged directory; the card is written here, and
the one step that others can see is the publishing. So the child may die and the worker too: the job is done again, and
has the same version number.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from core.datasets import archive_key
from core.errors import Cancelled, InvalidCheckpoint, InvalidRequest, VireoError, WorkerUnavailable
from core.processes import SAFE_PATH, python_module
from core.records import Progress
from core.registry import CARD, Card, Registry, Version
from core.settings import Settings
from core.storage import Store
from core.training_requests import ImportRequest
from worker.children.messages import hear
from worker.importing.import_child import Spec
from worker.jobs.attempt import Interrupted
from worker.jobs.cancellation import CancelToken

_PROJECT = Path(__file__).resolve().parents[2]
_PASSED_ON = (  # of the environment, which may hold secrets: what Python needs to start, and where the hub's cache is
    "PATH",
    "HOME",
    "TMPDIR",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
)
_CHILD_ENVIRONMENT = SAFE_PATH | {
    "PYTHONPATH": str(_PROJECT),
    "OMP_WAIT_POLICY": "PASSIVE",  # it shares the cores with decoders
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
_PATIENCE = 180.0  # seconds for whatever the size: importing torch takes most of them on a busy machine
_SLOWEST = 4 << 20  # bytes per second that any machine reads, checks and writes
_NEVER_STARTED = 1  # exit status of an interpreter that could not import the child


def import_checkpoint(
    request: ImportRequest,
    job: str,
    *,
    store: Store,
    registry: Registry,
    claim: Callable[[], int],
    settings: Settings,
    token: CancelToken,
    progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """`claim`: the number of the version that this job publishes, the same each time it is asked.

    → {"model", "version", "architecture", "temporal", "frames", "text", "note"}. Raises: InvalidCheckpoint, Cancelled
    (and the file is deleted); StorageUnavailable, WorkerUnavailable, Interrupted, or Cancelled because the worker
    leaves (and it is kept for another try).
    """
    token.check()
    try:
        file = store.local_path(request.file)
    except FileNotFoundError:
        return _done_before(request, job, registry, claim)
    try:
        _check_classes(request.classes)
        progress(Progress(phase="preparing"))
        with store.stage_tree() as directory:
            facts = _read(file, directory, request, settings, token)
            token.check()
            progress(Progress(phase="publishing"))
            version = Version(request.name, claim())
            card = _card(request, job, version, facts)
            (directory / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
            registry.publish(directory, version)
    except InvalidRequest:
        _drop(request, store, file)
        raise
    except Cancelled:
        if not token.leaving:
            _drop(request, store, file)
        raise
    _drop(request, store, file)
    return _answer(registry.card(version))


def _check_classes(classes: tuple[str, ...]) -> None:
    """Raises: InvalidCheckpoint."""
    seen: set[str] = set()
    for index, name in enumerate(classes):
        if not name.strip() or name in seen:
            what = "stands there twice" if name in seen else "is empty"
            raise InvalidCheckpoint(
                f"classes[{index}] {what}.", hint="One name per class.", field="classes", index=index
            )
        seen.add(name)


def _read(
    file: Path, directory: Path, request: ImportRequest, settings: Settings, token: CancelToken
) -> dict[str, Any]:
    """What the child says of the file. Raises: InvalidCheckpoint, StorageUnavailable, WorkerUnavailable, Interrupted,
    Cancelled."""
    spec = Spec(
        file=file.absolute(),
        filename=request.filename,
        output=directory.absolute(),
        base=request.base,
        temporal=request.temporal,
        frames=request.frames,
        data_dir=settings.data_dir.absolute(),
    )
    deadline = time.monotonic() + _PATIENCE + file.stat().st_size / _SLOWEST
    with subprocess.Popen(
        python_module("worker.importing.import_child", spec.model_dump_json()),
        env=_CHILD_ENVIRONMENT | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is for the worker
    ) as child:
        alarm = threading.Timer(deadline - time.monotonic(), child.kill)
        alarm.daemon = True
        alarm.start()
        try:
            with token.stopping(child.kill):
                facts = _listen(child)
                status = child.wait()
        finally:
            alarm.cancel()
            child.kill()
    if facts is None:
        _explain(status, late=time.monotonic() >= deadline)
    return facts


def _listen(child: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Until it ends; None where it did not say what it found. Raises: VireoError, the child's."""
    assert child.stdout is not None
    facts = None
    for line in child.stdout:
        message = hear(line)
        if message and message["name"] == "error":
            raise VireoError.from_dict(message["data"])
        if message and message["name"] == "result":
            facts = message["data"]
    return facts


def _explain(status: int, *, late: bool) -> NoReturn:
    """Why a child ended without a word. Raises: always one of them."""
    if late:
        raise InvalidCheckpoint("Reading the file takes too long.", hint="Save the state dict alone.")
    if status == -signal.SIGKILL:  # by a person, or by the kernel for its memory: the next attempt may fare better
        raise Interrupted("the child that reads the checkpoint was killed")
    if status == _NEVER_STARTED:
        raise WorkerUnavailable("The worker cannot read checkpoints; its log has the reason.")
    raise InvalidCheckpoint(
        "Reading the file crashed.", hint="Save the state dict alone, in torch's usual format or as safetensors."
    )


def _card(request: ImportRequest, job: str, version: Version, facts: dict[str, Any]) -> Card:
    templates = facts["profile"]["templates"]
    return Card(
        name=version.name,
        version=version.version,
        created_at=time.time(),
        origin="imported",
        method="text4vis",
        classifier={"kind": "text", "text_inputs": "template", "templates": templates, "normalize_labels": False},
        classes=request.classes,
        open_labels=True,
        hyperparameters={"file": request.filename, "sha256": request.file.removeprefix(archive_key(""))[:64]},
        job=job,
        **facts,
    )


def _done_before(request: ImportRequest, job: str, registry: Registry, claim: Callable[[], int]) -> dict[str, Any]:
    """The file is gone: an attempt that died afterwards may have published the version. Raises: InvalidCheckpoint."""
    version = Version(request.name, claim())
    if version.version in registry.versions(version.name) and (card := registry.card(version)).job == job:
        return _answer(card)
    raise InvalidCheckpoint("The file is not stored (any more).", hint="Send it again.")


def _drop(request: ImportRequest, store: Store, file: Path) -> None:
    store.delete(request.file)
    file.unlink(missing_ok=True)  # of a remote store, the copy on this machine


def _answer(card: Card) -> dict[str, Any]:
    return {
        "model": f"{card.name}:{card.version}",
        "version": card.version,
        "architecture": card.architecture,
        "temporal": card.temporal["kind"],
        "frames": card.profile["frames"],
        "text": card.text,
        "note": card.note,
    }
