"""A whole job of kind `import`: from the checkpoint that the gateway stored to a version in the registry.

A child process reads the file and writes the version's tensors into a staged directory. This process writes the card
and publishes the directory, which is the only step that others can see. So the child and the worker may both die: the
job is then repeated and gets the same version number.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from core.datasets import archive_key
from core.errors import Cancelled, InvalidCheckpoint, InvalidRequest, VireoError, WorkerUnavailable
from core.processes import python_module
from core.records import Progress
from core.registry import CARD, Card, Registry, Version
from core.results import ImportResult
from core.settings import Settings
from core.storage import Store
from core.training_requests import ImportRequest
from worker.children.environment import child_environment
from worker.children.messages import parse_message
from worker.importing.spec import ImportSpec
from worker.jobs.attempt import Interrupted
from worker.jobs.cancellation import CancelToken

_HUB_VARIABLES = ("HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE")  # where the model hub's cache is
_CHILD_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # the child shares the cores with decoders
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
_BASE_SECONDS = 180.0  # for a file of any size: importing torch takes most of it on a busy machine
_MIN_BYTES_PER_SECOND = 4 << 20  # every machine reads, checks and writes at least as fast
_IMPORT_FAILED = 1  # exit status of an interpreter that could not import the child


def run_import(
    request: ImportRequest,
    job: str,
    *,
    store: Store,
    registry: Registry,
    claim: Callable[[], int],
    settings: Settings,
    token: CancelToken,
    report_progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """`claim`: returns the number of the version that this job publishes, the same number on every call.

    Returns {"model", "version", "architecture", "temporal", "frames", "text", "note"}.
    Raises: InvalidCheckpoint or Cancelled (the file is deleted); StorageUnavailable, WorkerUnavailable, Interrupted, or
    Cancelled because the worker stops (the file stays for another attempt).
    """
    token.check()
    try:
        with ExitStack() as files:
            try:
                file = files.enter_context(store.local_file(request.file))
            except FileNotFoundError:
                return _find_earlier_result(request, job, registry, claim)
            _check_classes(request.classes)
            report_progress(Progress(phase="preparing"))
            directory = files.enter_context(store.stage_tree())
            facts = _read(_spec(file, directory, request, settings), token)
            token.check()
            report_progress(Progress(phase="publishing"))
            version = Version(request.name, claim())
            card = _card(request, job, version, facts)
            (directory / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
            registry.publish(directory, version)
    except InvalidRequest:
        store.delete(request.file)
        raise
    except Cancelled:
        if not token.job_continues:
            store.delete(request.file)
        raise
    store.delete(request.file)
    return _result(registry.card(version))


def _check_classes(classes: tuple[str, ...]) -> None:
    """Raises: InvalidCheckpoint."""
    seen: set[str] = set()
    for index, name in enumerate(classes):
        if not name.strip() or name in seen:
            what = "is listed twice" if name in seen else "is empty"
            raise InvalidCheckpoint(
                f"classes[{index}] {what}.", hint="Give each class one name, once.", field="classes", index=index
            )
        seen.add(name)


def _spec(file: Path, directory: Path, request: ImportRequest, settings: Settings) -> ImportSpec:
    return ImportSpec(
        file=file.absolute(),
        filename=request.filename,
        output=directory.absolute(),
        base=request.base,
        temporal=request.temporal,
        frames=request.frames,
        data_dir=settings.data_dir.absolute(),
    )


def _read(spec: ImportSpec, token: CancelToken) -> dict[str, Any]:
    """What a child found out about the file, for the card. It has written the version's tensors.

    Raises: InvalidCheckpoint, StorageUnavailable, WorkerUnavailable, Interrupted, Cancelled.
    """
    deadline = time.monotonic() + _BASE_SECONDS + spec.file.stat().st_size / _MIN_BYTES_PER_SECOND
    with (
        tempfile.TemporaryDirectory(prefix="vireo-import-") as temporary,  # torch makes directories when it is imported
        subprocess.Popen(
            python_module("worker.importing.import_child", spec.model_dump_json()),
            env=child_environment(*_HUB_VARIABLES) | _CHILD_ENVIRONMENT | {"TMPDIR": temporary},
            cwd=spec.output,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the worker
        ) as child,
    ):
        alarm = threading.Timer(deadline - time.monotonic(), child.kill)
        alarm.daemon = True
        alarm.start()
        try:
            with token.on_cancel(child.kill):
                facts = _listen(child)
                status = child.wait()
        finally:
            alarm.cancel()
            child.kill()
    if facts is None:
        _explain(status, late=time.monotonic() >= deadline)
    return facts


def _listen(child: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Read messages until the child ends. None if it sent no result. Raises: VireoError that the child sent."""
    assert child.stdout is not None
    facts = None
    for line in child.stdout:
        message = parse_message(line)
        if message and message["name"] == "error":
            raise VireoError.from_dict(message["data"])
        if message and message["name"] == "result":
            facts = message["data"]
    return facts


def _explain(status: int, *, late: bool) -> NoReturn:
    """Raises: the error that explains why the child ended without a result."""
    if late:
        raise InvalidCheckpoint(
            "Reading the file takes too long.", hint="Save only the state dict, and import that file."
        )
    if status == -signal.SIGKILL:  # by a person, or by the kernel for lack of memory: the next attempt may succeed
        raise Interrupted("the child that reads the checkpoint was killed")
    if status == _IMPORT_FAILED:
        raise WorkerUnavailable("The worker cannot read checkpoints.", hint="The worker's log has the reason.")
    raise InvalidCheckpoint(
        "Reading the file crashed.", hint="Save only the state dict, in torch's usual format or as safetensors."
    )


def _card(request: ImportRequest, job: str, version: Version, facts: dict[str, Any]) -> Card:
    templates = facts["profile"]["templates"]
    return Card(
        name=version.name,
        version=version.version,
        created_at=time.time(),
        origin="imported",
        classifier={"kind": "text", "text_inputs": "template", "templates": templates, "normalize_labels": False},
        classes=request.classes,
        open_labels=True,
        hyperparameters={"file": request.filename, "sha256": request.file.removeprefix(archive_key(""))[:64]},
        job=job,
        **facts,
    )


def _find_earlier_result(
    request: ImportRequest, job: str, registry: Registry, claim: Callable[[], int]
) -> dict[str, Any]:
    """The file is gone. An earlier attempt may have published the version before it died. Raises: InvalidCheckpoint."""
    version = Version(request.name, claim())
    if version.version in registry.versions(version.name) and (card := registry.card(version)).job == job:
        return _result(card)
    raise InvalidCheckpoint("The file is no longer stored.", hint="Upload it again.")


def _result(card: Card) -> dict[str, Any]:
    result = ImportResult(
        model=f"{card.name}:{card.version}",
        version=card.version,
        architecture=card.architecture,
        temporal=card.temporal["kind"],
        frames=card.profile["frames"],
        text=card.text,
        note=card.note,
    )
    return result.model_dump(mode="json")
