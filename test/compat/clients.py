"""redis-py on a tour of the data types. Ends with an error at the first reply that is not as it should be."""

import sys

import redis


def check(actual, expected):
    if actual != expected:
        sys.exit(f"line {sys._getframe(1).f_lineno}: got {actual!r} instead of {expected!r}")


r = redis.Redis(host=sys.argv[1], port=int(sys.argv[2]), decode_responses=True)
r.flushall()

check(r.set("s", "v", ex=100, nx=True), True)
check(r.set("s", "w", nx=True), None)
check(r.getex("s", persist=True), "v")
check(r.incrbyfloat("f", 0.1), 0.1)
check(r.incrbyfloat("f", 0.2), 0.3)
check(r.setbit("bits", 7, 1), 0)
check(r.bitfield("bits").set("u8", 0, 255).get("u4", 0).execute(), [1, 15])

check(r.hset("h", mapping={"a": 1, "b": "2"}), 2)
check(r.hgetall("h"), {"a": "1", "b": "2"})
check(r.hmget("h", "a", "none"), ["1", None])
check(r.hincrby("h", "a", 41), 42)
check(sorted(r.hscan_iter("h")), [("a", "42"), ("b", "2")])

check(r.rpush("l", *range(600)), 600)
check(r.lrange("l", 297, 299), ["297", "298", "299"])
check(r.lpop("l", 2), ["0", "1"])
check(r.lpos("l", 300), 298)
check(r.lmove("l", "m", "RIGHT", "LEFT"), "599")
check(r.ltrim("l", 0, 1), True)
check(r.lmpop(2, "none", "l", direction="LEFT", count=5), ["l", ["2", "3"]])

check(r.sadd("{s}1", "a", "b", "c"), 3)
check(r.sadd("{s}2", "b"), 1)
check(r.sdiff("{s}1", "{s}2"), {"a", "c"})
check(r.smismember("{s}1", ["a", "z"]), [1, 0])
check(r.sintercard(2, ["{s}1", "{s}2"]), 1)
check(sorted(r.sscan_iter("{s}1")), ["a", "b", "c"])

check(r.zadd("z", {"one": 1, "two": 2.5, "three": 3}), 3)
check(r.zrange("z", 0, -1, withscores=True), [("one", 1.0), ("two", 2.5), ("three", 3.0)])
check(r.zrange("z", "+inf", "(1", byscore=True, desc=True, offset=0, num=1), ["three"])
check(r.zadd("z", {"one": 5}, gt=True, ch=True), 1)
check(r.zrevrank("z", "one"), 0)
check(r.zpopmin("z"), [("two", 2.5)])
check(sorted(r.zscan_iter("z")), [("one", 5.0), ("three", 3.0)])

check(r.geoadd("g", [13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"]), 2)
check(r.geodist("g", "Palermo", "Catania", unit="km"), 166.2742)
check(r.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC"), ["Catania", "Palermo"])
check(r.pfadd("p", "a", "b"), 1)
check(r.pfcount("p"), 2)

check(r.sort("l2", desc=True), [])
with r.pipeline(transaction=True) as pipe:
    pipe.watch("h")
    pipe.multi()
    pipe.hset("h", "c", 3)
    pipe.lpush("l3", "x")
    check(pipe.execute(), [1, 1])
with r.lock("locks:a", timeout=10) as lock:
    check(r.lock("locks:a", blocking=False).acquire(), False)
    check(lock.extend(10), True)
    check(lock.reacquire(), True)
check(r.exists("locks:a"), 0)
add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
check([add(keys=["n"], args=[2]), add(keys=["n"], args=[3])], [2, 5])
raw = redis.Redis(host=sys.argv[1], port=int(sys.argv[2]))
check(raw.restore("copy", 0, raw.dump("h")), b"OK")
check(r.hgetall("copy"), r.hgetall("h"))
check(r.object("encoding", "copy"), "listpack")
check(r.type("z"), "zset")
check(sorted(r.scan_iter(match="{s}*", _type="set")), ["{s}1", "{s}2"])
