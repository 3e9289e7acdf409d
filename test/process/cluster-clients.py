"""redis-py's RedisCluster writes and reads until its standard input ends. Prints how many rounds it has done, and everything that went wrong."""

import logging
import sys
import threading
import time

from redis.cluster import ClusterNode, RedisCluster

# It logs each redirect as an error.
logging.disable(logging.CRITICAL)
# Release 4.3.4 asks for the map at every redirect, and by one thread: it cannot ask a node that it has no connection to.
client = RedisCluster(
    startup_nodes=[ClusterNode("127.0.0.1", int(port)) for port in sys.argv[1:]],
    reinitialize_steps=1,
)
over = threading.Event()


def work():
    number = 0
    while not over.is_set():
        number += 1
        key = f"python-{number % 50}"
        try:
            client.set(key, number)
            found = client.get(key)
            if found != str(number).encode():
                print(f"{key} is {found}, not {number}", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        if number % 10 == 0:
            print("10 rounds", flush=True)
        # The machine has nodes to start.
        time.sleep(0.01)


worker = threading.Thread(target=work)
worker.start()
sys.stdin.read()
over.set()
worker.join()
