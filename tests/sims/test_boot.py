"""A simulator's process ends with whoever started it, busy or not."""

import socket
import subprocess
import sys
import time

from worldmodel.sims.remote import boot

BUSY = "import socket, sys, time, boot; w = socket.socket(fileno=int(sys.argv[1])); boot.end_with(w); time.sleep(60)"


def test_a_busy_child_ends_when_the_other_side_is_gone():
    ours, theirs = socket.socketpair()
    path = f"import sys; sys.path.insert(0, {str(boot.__file__).rpartition('/')[0]!r}); "
    command = [sys.executable, "-I", "-c", path + BUSY, str(theirs.fileno())]
    with theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
        theirs.close()
        try:
            ours.sendall(b"a question that it is too busy to read")
            time.sleep(1)
            assert child.poll() is None, "it lives as long as we do"
            ours.close()
            assert child.wait(20) == 0
        finally:
            child.kill()
