"""redis-py listens on each node to what is published on all of them. Ends with an error at the first thing that is not as it should be."""

import sys

import redis

ports = [int(port) for port in sys.argv[1:]]
for port in ports:
    r = redis.Redis(port=port, decode_responses=True)
    listener = r.pubsub()
    listener.subscribe("news")
    listener.psubscribe("n*")
    kinds = [listener.get_message(timeout=10)["type"] for _ in range(2)]
    assert kinds == ["subscribe", "psubscribe"], kinds
    for other in ports:
        assert redis.Redis(port=other).publish("news", other) == 2
    kinds = sorted(listener.get_message(timeout=10)["type"] for _ in range(6))
    assert kinds == ["message"] * 3 + ["pmessage"] * 3, kinds
    assert r.pubsub_numsub("news") == [("news", 1)]
    listener.close()
