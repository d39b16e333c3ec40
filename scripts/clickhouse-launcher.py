"""Runs the ClickHouse inside the chdb-core wheel as a server, until SIGTERM.

    python clickhouse-launcher.py FOLDER

FOLDER holds config.xml (ports, paths, users file), which ClickHouse reads from the current folder.
clickhouse-local opens the real HTTP listener on SYSTEM START LISTEN HTTP; a last statement that reads
from a fifo keeps it alive. Closing the fifo ends that statement, and tables are shut down cleanly.
"""

import importlib.util
import os
import signal
import sys
import threading
import traceback

folder = sys.argv[1]
os.chdir(folder)
FIFO = os.path.join(folder, "stay.fifo")
DATA = os.path.join(folder, "data")

# Blocked before any thread exists, so that no thread and no handler of the library ever gets them:
# a SIGTERM that comes while the server starts waits for sigwait below.
STOP = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, STOP)

# The extension by itself: importing the package would open the data folder a second time.
sys.path.insert(0, importlib.util.find_spec("chdb").submodule_search_locations[0])
import _chdb  # noqa: E402


stopping = threading.Event()


def serve():
    sql = f"SYSTEM START LISTEN HTTP; SELECT line FROM file('{FIFO}', LineAsString, 'line String')"
    try:
        _chdb.query(sql, "TabSeparated", path=DATA)
    finally:
        # A statement that fails (port in use) returns like any other, its error already in the log. Without its
        # server the process must end, whatever the main thread waits for.
        if not stopping.is_set():
            if sys.exc_info()[0]:
                traceback.print_exc()
            print("the server ended by itself", file=sys.stderr, flush=True)
            os._exit(1)


if os.path.exists(FIFO):
    os.remove(FIFO)
os.mkfifo(FIFO)
server = threading.Thread(target=serve)
server.start()
# Opening blocks until the last statement reads, that is until the listener is open.
stay = os.open(FIFO, os.O_WRONLY)
print("ready", flush=True)
signal.sigwait(STOP)
stopping.set()
os.close(stay)
server.join()
print("stopped", flush=True)
os._exit(0)  # the library's own threads have nothing left to do
