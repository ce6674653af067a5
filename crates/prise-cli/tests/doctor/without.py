"""Runs a program as if the kernel or a container refused something: a seccomp filter in front of it.

without.py RULE[,RULE...] PROGRAM [ARGUMENT...]

A rule is CALL=ERRNO, CALL@ARGUMENT=VALUE=ERRNO or CALL@ARGUMENT&MASK=ERRNO (any bit of MASK), all in numbers.
"""

import ctypes
import os
import struct
import sys

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def rule(text):
    """Instructions that fail the call, or fall through."""
    *condition, error = text.split("=")
    call, _, argument = condition[0].partition("@")
    verdict = [(RETURN, 0, 0, FAIL | int(error, 0))]
    test = []
    if argument:
        index, _, mask = argument.partition("&")
        test = [(LOAD, 0, 0, 16 + 8 * int(index))]
        test += [(ANY_BIT, 0, 1, int(mask, 0))] if mask else [(EQUAL, 0, 1, int(condition[1], 0))]
    body = test + verdict
    return [(LOAD, 0, 0, 0), (EQUAL, 0, len(body), int(call, 0))] + body


program = [step for text in sys.argv[1].split(",") for step in rule(text)] + [(RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
header = Program(len(program), ctypes.addressof(code))
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2
if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SECCOMP, FILTER, ctypes.byref(header)):
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
