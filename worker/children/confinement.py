"""Confining a child that reads untrusted bytes, before it reads the first of them: files by Landlock, system calls by
seccomp, no capabilities. None of it can be undone. What the kernel lacks is said in words and leaves the rest in force.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from landlockpy import AccessFS, LandlockError, Ruleset, Scope, abi_version

from core.processes import python_module
from worker.children.environment import child_environment
from worker.children.seccomp import filter_system_calls
from worker.children.system_calls import Rules, decoder_rules, file_reader_rules

_PROJECT: Final = Path(__file__).resolve().parents[2]
_ROOMS: Final = ("core", "models", "worker")
_SYSTEM: Final = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev/null", "/dev/urandom")

_READ: Final = AccessFS.READ_FILE | AccessFS.READ_DIR
_CREATE: Final = AccessFS.MAKE_REG | AccessFS.REMOVE_FILE | AccessFS.MAKE_DIR | AccessFS.REMOVE_DIR
_WRITE: Final = AccessFS.WRITE_FILE | AccessFS.TRUNCATE | _CREATE | _READ
_FILE: Final = AccessFS.READ_FILE | AccessFS.WRITE_FILE | AccessFS.TRUNCATE  # the rights that a file can have
_TRY_SECONDS: Final = 60.0
_CAPABILITY_VERSION: Final = 0x20080522


def restrict_files(read: Iterable[Path] = (), write: Iterable[Path] = ()) -> str | None:
    """Only what lies in or below `read` can be opened, and only below `write` can files be written. What is open stays
    open. No TCP, no abstract socket, no signal to a process outside.

    Call it before the process has a second thread, which would stay free. Returns what is missing, in words.
    """
    if not abi_version():
        return "The kernel has no Landlock, so it does not limit which files a child may open."
    try:
        with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as ruleset:
            for paths, rights in ((read, _READ), (write, _WRITE)):
                for path in paths:
                    if path.exists():
                        ruleset.allow_path(path, rights if path.is_dir() else rights & _FILE)
            ruleset.restrict()
    except LandlockError as error:
        return f"Landlock is refused ({error.strerror}), so the kernel does not limit which files a child may open."
    return None


def restrict_system_calls(rules: Rules | None) -> str | None:
    """Drop all capabilities, and refuse what `rules` do not allow, in all threads. → what is missing, in words."""
    if sys.platform != "linux" or rules is None:
        return "This system has no seccomp that Vireo knows, so a child may use the network and start processes."
    try:
        _drop_capabilities()
        filter_system_calls(rules)
    except OSError as error:
        return f"The kernel refuses a filter ({error.strerror}), so a child may use the network and start processes."
    return None


def confine_reader(read: Iterable[Path], write: Iterable[Path]) -> None:
    """For a child written in Python that has one thread: it reads its own code and `read`, writes below `write`, and
    has no network, no process and no program. What is missing is written to standard error, the worker's log."""
    found = restrict_files([*code_paths(), *read], write), restrict_system_calls(file_reader_rules())
    for sentence in filter(None, found):
        sys.stderr.write(f"{sentence}\n")


def find_missing_guards() -> list[str]:
    """What this system lacks to confine a decode child, in words: found out by a process that tries it on itself."""
    try:
        tried = subprocess.run(
            python_module(__spec__.name), env=child_environment(), capture_output=True, timeout=_TRY_SECONDS, check=True
        )
        return [str(sentence) for sentence in json.loads(tried.stdout)]
    except (OSError, ValueError, subprocess.SubprocessError):
        return ["It could not be found out whether this system can confine child processes."]


def code_paths() -> list[Path]:
    """What a Python child reads to run at all: the interpreter, its libraries, and the rooms of this project that it
    may import. The project's folder itself is left out, because the data directory may lie in it."""
    libraries = {Path(path) for path in sysconfig.get_paths().values()} | {Path(sys.prefix), Path(sys.base_prefix)}
    imported = {Path(path) for path in sys.path if path and Path(path) != _PROJECT}
    return [*libraries, *imported, *map(Path, _SYSTEM), *(_PROJECT / room for room in _ROOMS)]


def _drop_capabilities() -> None:
    """A child of root must not raise its own limits, nor read what only root may. Raises: OSError."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: lower and upper halves
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    missing = restrict_files(), restrict_system_calls(decoder_rules())
    os.write(1, json.dumps([sentence for sentence in missing if sentence]).encode())
    os._exit(0)
