"""Permanently drops rights that a process parsing untrusted files never needs: network, processes, writing.

Needs no root: it uses a seccomp filter and Landlock of the Linux kernel. If a kernel or a machine lacks them,
only the limits of `guarded` remain.
"""

import ctypes
import os
import platform
import struct
import sys

EPERM, ENOSYS = 1, 38
_NO_NEW_PRIVILEGES, _SECCOMP_FILTER, _ALL_THREADS = 38, 1, 1
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_THREAD = 0x10000  # CLONE_THREAD: a thread of this process and no other process
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where seccomp_data has them
# audit's name of the machine; numbers of seccomp, clone and clone3; of what is refused: socket, socketpair,
# connect, bind, execve, execveat, kill, ptrace, process_vm_readv and _writev, io_uring_setup, fork, vfork
_MACHINES = {
    "x86_64": (0xC000003E, 317, 56, 435, (41, 53, 42, 49, 59, 322, 62, 101, 310, 311, 425, 57, 58)),
    "aarch64": (0xC00000B7, 277, 220, 435, (198, 199, 203, 200, 221, 281, 129, 117, 270, 271, 425)),
}
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # Landlock's, on all machines
_WRITING = 0b1_1111_1111_0010  # write, remove and make files of any kind


def confine() -> tuple[str, ...]:
    """Drop all rights that the kernel lets us drop; returns which of "network", "processes", "writing".

    Call it before threads are started; it holds for them and cannot be taken back.
    """
    if sys.platform != "linux" or platform.machine() not in _MACHINES or sys.maxsize < 2**32:
        return ()
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return ()
    writing = ("writing",) if _forbid_writing(kernel) else ()
    return ("network", "processes", *writing) if _filter_calls(kernel) else writing


def _filter_calls(kernel: ctypes.CDLL) -> bool:
    audit, seccomp, clone, clone3, refused = _MACHINES[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _ERROR | EPERM),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 numbers of the same calls
        (_RETURN, 0, 0, _ERROR | EPERM),
        (_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _ERROR | ENOSYS),  # its flags lie in memory; the C library takes clone then
        *(step for call in refused for step in ((_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ERROR | EPERM))),
        (_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_BITS, 1, 0, _THREAD),
        (_RETURN, 0, 0, _ERROR | EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    about = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    return kernel.syscall(seccomp, _SECCOMP_FILTER, _ALL_THREADS, about) == 0


def _forbid_writing(kernel: ctypes.CDLL) -> bool:
    version = kernel.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    # truncating is known from version 3 on
    rules = struct.pack("Q", _WRITING | (1 << 14 if version >= 3 else 0))
    ruleset = kernel.syscall(_CREATE_RULESET, rules, len(rules), 0)
    if ruleset < 0:
        return False
    try:
        return kernel.syscall(_RESTRICT_SELF, ruleset, 0) == 0  # without one exception
    finally:
        os.close(ruleset)
