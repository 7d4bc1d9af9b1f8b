"""seccomp: system calls that no thread of the process can make from now on (seccomp(2)), by a classic BPF filter.

Refused is what a process that trades never does and what somebody who has taken it over would: start a program, look
into other processes, change the kernel, mount, take up keys, make a file another user's. A refused call fails with
EPERM and does not kill: a killed engine leaves its orders at the venues, while an error ends it in order. clone3 fails
with ENOSYS, since its flags lie in memory that a filter can't read: the C library then uses clone, which may start
threads only. Of bpf only the reading of a map is left: what the XDP program has counted.

The hot line makes no system call but a ring's own wake-ups. Those cost 50 ns more each (a send(2) that is refused: 305
ns before, 358 after, measured), though a bitmap of the kernel's (Linux 5.11) spares them the filter itself.
"""

import ctypes
import errno
import platform
import struct

from crosswire.nic.host.process import HostError, libc

SECCOMP = 317
_SET_MODE_FILTER = 1
_TSYNC = 1  # all threads at once
# Without it kernels before 5.16 take speculative loads past stores from the process, which costs the hot line.
_SPEC_ALLOW = 4
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_ARCHITECTURE = 0xC000_003E  # AUDIT_ARCH_X86_64
_X32 = 0x4000_0000  # a bit of the numbers of a second set of calls
_CLONE_THREAD = 0x1_0000
# struct seccomp_data: number, architecture, instruction_pointer, arguments[6]
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_BITS_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

# Numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
REFUSED = {
    # Programs and processes.
    "execve": 59, "execveat": 322, "fork": 57, "vfork": 58, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "process_madvise": 440, "pidfd_getfd": 438, "kcmp": 312, "personality": 135,
    # Namespaces and mounts.
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "open_tree_attr": 467,
    # The kernel.
    "perf_event_open": 298, "userfaultfd": 323, "init_module": 175, "finit_module": 313,
    "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169, "syslog": 103, "iopl": 172,
    "ioperm": 173, "modify_ldt": 154, "acct": 163, "quotactl": 179, "quotactl_fd": 443, "swapon": 167, "swapoff": 168,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "vhangup": 153, "lookup_dcookie": 212,
    # Keys, and files by handles, past their folders.
    "add_key": 248, "request_key": 249, "keyctl": 250, "open_by_handle_at": 304, "name_to_handle_at": 303,
    "fanotify_init": 300,
    # Whom files belong to, who may use them: Landlock does not look at these.
    "chmod": 90, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
    "mknod": 133, "mknodat": 259, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "setxattrat": 463,
    # The host's name and time.
    "sethostname": 170, "setdomainname": 171, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
    "clock_adjtime": 305,
}  # fmt: skip
CLONE, CLONE3, BPF = 56, 435, 321
BPF_MAP_LOOKUP_ELEM = 1  # reads what the XDP program counted


def make_filter() -> bytes:
    """Make the filter: struct sock_filter, one after another."""
    refused = sorted(REFUSED.values())
    first = 7  # comparisons with what is refused begin here
    behind = first + len(refused)
    look_at_flags, look_at_command = behind + 1, behind + 3
    refuse, not_there, allow = behind + 5, behind + 6, behind + 7

    def skip(here: int, target: int) -> int:  # jumps go forward only, and count from behind themselves
        return target - here - 1

    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 0, skip(1, refuse), _ARCHITECTURE),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_GREATER_EQUAL, skip(3, refuse), 0, _X32),
        (_JUMP_EQUAL, skip(4, not_there), 0, CLONE3),
        (_JUMP_EQUAL, skip(5, look_at_flags), 0, CLONE),
        (_JUMP_EQUAL, skip(6, look_at_command), 0, BPF),
        *((_JUMP_EQUAL, skip(first + index, refuse), 0, number) for index, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_BITS_SET, skip(behind + 2, allow), skip(behind + 2, refuse), _CLONE_THREAD),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_EQUAL, skip(behind + 4, allow), skip(behind + 4, refuse), BPF_MAP_LOOKUP_ELEM),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_RETURN, 0, 0, _ALLOW),
    ]
    assert len(program) == allow + 1
    return b"".join(struct.pack("<HBBI", *each) for each in program)


def has_seccomp() -> bool:
    """Tell whether the kernel takes filters, and this machine is one that their numbers are known of."""
    action = ctypes.c_uint32(_ERRNO)
    return platform.machine() == "x86_64" and libc.syscall(SECCOMP, 2, 0, ctypes.byref(action)) == 0


def refuse_calls() -> None:
    """Refuse the calls from here on in every thread. HostError: the kernel refuses the filter, or a thread has its own.

    The calling thread must have set no_new_privs.
    """
    program = make_filter()
    kept = ctypes.create_string_buffer(program, len(program))
    of_program = struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(kept))  # struct sock_fprog
    result = libc.syscall(SECCOMP, _SET_MODE_FILTER, _TSYNC | _SPEC_ALLOW, of_program)
    if result > 0:
        raise HostError(f"seccomp: thread {result} of this process has a filter of its own already")
    if result < 0:
        raise HostError(f"seccomp: the filter is refused: {errno.errorcode.get(ctypes.get_errno(), '?')}")
