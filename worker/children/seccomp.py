"""Seccomp: the kernel refuses system calls of this process, for good.

A few lines of ctypes, because what PyPI has for it (pyseccomp) needs a C library that pip does not install.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import Final

from worker.children.system_calls import Condition, Rules, Verdict

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}  # AUDIT_ARCH_…, number of seccomp
_X32: Final = 0x40000000  # numbers from here on belong to another table of the same processor

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # BPF: 32-bit words of struct seccomp_data
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # byte offsets in it
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_system_calls(rules: Rules) -> None:
    """All threads of this process keep to `rules` from now on, and so does whatever they start.

    Raises: OSError where the kernel refuses, because it has no seccomp or an outer filter forbids it.
    """
    architecture, seccomp = _ARCHITECTURES[platform.machine()]
    code = _compile(rules, architecture)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(
        seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {errno.errorcode.get(number, number)}")


def _compile(rules: Rules, architecture: int) -> bytes:
    """A BPF program: sock_filter[], 8 bytes each."""
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, skip_if_not=0, skip_if=1),
        _step(_RETURN, _KILL),  # another architecture has other numbers
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, skip_if_not=1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number, verdict in rules.verdicts.items():
        answer = _answer(verdict)
        code += [_step(_EQUAL, number, skip_if_not=len(answer)), *answer]
    return b"".join([*code, *_answer(rules.otherwise)])


def _answer(verdict: Verdict) -> list[bytes]:
    if verdict is None:
        return [_step(_RETURN, _ALLOW)]
    if isinstance(verdict, int):
        return [_step(_RETURN, _ERRNO | verdict)]
    return _check(verdict)


def _check(condition: Condition) -> list[bytes]:
    allow = [
        step for value in condition.values for step in (_step(_EQUAL, value, skip_if_not=1), _step(_RETURN, _ALLOW))
    ]
    lower_half = _ARGUMENTS + 8 * condition.argument  # both processors are little-endian
    return [
        _step(_LOAD, lower_half),
        _step(_AND, condition.mask),
        *allow,
        _step(_RETURN, _ERRNO | errno.EPERM),
    ]


def _step(operation: int, operand: int, skip_if: int = 0, skip_if_not: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, skip_if, skip_if_not, operand)
