"""redis-py on each node: a counter under a lock, and pipelines. Runs until its input ends, then says in JSON what it has found."""

import json
import sys
import threading
import time

import redis

LOCK_SECONDS = 5

ports = [int(port) for port in sys.argv[1:]]
stop = threading.Event()
guard = threading.Lock()
found = {"locked": 0, "added": 0, "unknown": 0, "pipelines": 0, "errors": {}, "complaints": []}
holder = None


def note(error):
    kind = type(error).__name__
    found["errors"][kind] = found["errors"].get(kind, 0) + 1


def under_lock(r, port):
    """Adds one to a counter by reading and writing it, while nobody else can."""
    global holder
    lock = r.lock("py:lock", timeout=LOCK_SECONDS, blocking_timeout=2)
    asked = time.monotonic()
    if not lock.acquire():
        return
    until = asked + LOCK_SECONDS
    if time.monotonic() >= until:
        return
    with guard:
        if holder is not None and holder[1] > time.monotonic():
            found["complaints"].append(f"port {port} was given the lock that port {holder[0]} has")
        mine = (port, until)
        holder = mine
        found["locked"] += 1
    value = int(r.get("py:counter") or 0)
    # Nobody knows whether a write that fails takes place, so it is counted apart and the lock is left to run out.
    if time.monotonic() >= until - 1:
        return
    try:
        r.set("py:counter", value + 1)
    except redis.RedisError:
        with guard:
            found["unknown"] += 1
        raise
    with guard:
        found["added"] += 1
        if holder is mine:
            holder = None
    lock.release()


def in_pipelines(r, port):
    """Two counters in one transaction are the same at all times."""
    with r.pipeline(transaction=True) as pipe:
        pipe.incr(f"py:one:{port}").incr(f"py:other:{port}").get("py:counter")
        one, other, _ = pipe.execute()
    if one != other:
        found["complaints"].append(f"counters of one transaction are {one} and {other}")
    with r.pipeline(transaction=False) as pipe:
        for nth in range(10):
            pipe.set(f"py:{port}:{nth}", one)
        for nth in range(10):
            pipe.get(f"py:{port}:{nth}")
        values = pipe.execute()[10:]
    if any(int(value) != one for value in values):
        found["complaints"].append(f"a pipeline of {one} reads {values}")
    with guard:
        found["pipelines"] += 1


def watching(r, port):
    """The documentation's own WATCH."""

    def change(pipe):
        value = int(pipe.get(f"py:watched:{port}") or 0)
        pipe.multi()
        pipe.set(f"py:watched:{port}", value + 1)

    r.transaction(change, f"py:watched:{port}")


def repeatedly(port, work):
    r = redis.Redis(port=port, socket_timeout=10)
    while not stop.is_set():
        try:
            work(r, port)
        except (redis.RedisError, OSError) as error:
            note(error)
            time.sleep(0.05)
        time.sleep(0.005)


threads = [
    threading.Thread(target=repeatedly, args=(port, work))
    for port in ports
    for work in (under_lock, in_pipelines, watching)
]
for thread in threads:
    thread.start()
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
counted = int(redis.Redis(port=ports[0]).get("py:counter") or 0)
if not found["added"] <= counted <= found["added"] + found["unknown"]:
    found["complaints"].append(f"the counter is {counted}, {found['added']} were added and {found['unknown']} perhaps")
print(json.dumps(found))
