"""Until a thread waits in a call: /proc/PID/task/TID/syscall then begins with the call's number (proc(5))."""
import time

RECVFROM, ACCEPT4, PSELECT6 = 45, 288, 270


def until_in_call(pid, tid, numbers):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/task/{tid}/syscall") as file:
            # "running" while it runs, else the number, the arguments, the stack and the instruction.
            if file.read().split()[0] in map(str, numbers):
                return
    raise TimeoutError(f"{tid} does not wait")
