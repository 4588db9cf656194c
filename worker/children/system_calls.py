"""System calls by number: which of them a confined child may make. `worker.children.seccomp` tells the kernel.

`DECODER` is for code that parses hostile bytes in C: it names all that is allowed. Whatever it does not name answers
"not implemented", which every C library expects of an older kernel. `FILE_READER` is for children written in Python,
which open files and load modules while they work: it names what is refused, and Landlock says which files they reach.
"""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass
from typing import Final

_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    # name: (x86_64, aarch64); None: this processor never had it
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "lseek": (8, 62),
    "close": (3, 57),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "fcntl": (72, 25),
    "dup": (32, 23),
    "poll": (7, None),
    "ppoll": (271, 73),
    "recvmsg": (47, 212),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "getcpu": (309, 168),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "clone": (56, 220),
    "clone3": (435, 435),
    "prlimit64": (302, 261),
    "tgkill": (234, 131),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "creat": (85, None),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
_NAMES: Final = tuple(_NUMBERS)


def _between(first: str, last: str) -> tuple[str, ...]:
    return _NAMES[_NAMES.index(first) : _NAMES.index(last) + 1]


_WORK: Final = _between("read", "sigaltstack")  # memory, time, threads, and descriptors that are open already
_OPEN: Final = _between("open", "creat")
_REACH: Final = _between("socket", "mq_open")  # the network, programs, other processes, and the kernel's own doors

_THREAD: Final = 0x10000  # CLONE_THREAD
_OF_DESCRIPTOR: Final = 0x1000  # AT_EMPTY_PATH: the facts of an open file, which is how glibc calls fstat
_FCNTL: Final = (0, 1, 2, 3, 4, 1030)  # copy a descriptor; get and set its flags. Not F_SETOWN, which sends signals


@dataclass(frozen=True, slots=True)
class Condition:
    """Allowed if `mask` of the argument (counted from 0; its lower 32 bits) is one of `values`, else not permitted."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF


Verdict = int | Condition | None
"""An errno that the call fails with, a condition, or None: allowed."""


@dataclass(frozen=True, slots=True)
class Rules:
    """verdicts: by number of the system call; otherwise: for all others."""

    verdicts: dict[int, Verdict]
    otherwise: Verdict


def decoder_rules() -> Rules | None:
    """No network, no file, no process, no program. None on a processor that this module has no numbers for."""
    allowed: dict[str, Verdict] = dict.fromkeys(_WORK)
    allowed |= {
        "fcntl": Condition(1, _FCNTL),
        "newfstatat": Condition(3, (_OF_DESCRIPTOR,), _OF_DESCRIPTOR),
    }
    return _rules(_refused(_OPEN) | allowed, otherwise=errno.ENOSYS)


def file_reader_rules() -> Rules | None:
    """No network, no process, no program. None on a processor that this module has no numbers for."""
    return _rules(_refused(()), otherwise=None)


def _refused(more: tuple[str, ...]) -> dict[str, Verdict]:
    refused: dict[str, Verdict] = dict.fromkeys((*_REACH, *more), errno.EPERM)
    return refused | {
        "clone": Condition(0, (_THREAD,), _THREAD),  # a thread, but no process
        "clone3": errno.ENOSYS,  # its arguments cannot be looked at; the C library then uses clone
        "prlimit64": Condition(0, (0,)),  # its own limits
        "tgkill": Condition(0, (os.getpid(),)),  # its own threads: this is how a process aborts itself
    }


def _rules(verdicts: dict[str, Verdict], otherwise: Verdict) -> Rules | None:
    try:
        column = ("x86_64", "aarch64").index(platform.machine())
    except ValueError:
        return None
    numbered = {_NUMBERS[name][column]: verdict for name, verdict in verdicts.items()}
    return Rules({number: verdict for number, verdict in numbered.items() if number is not None}, otherwise)
