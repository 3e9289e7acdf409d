/** Fields that expire: redis-server 7.0, which the other commands are compared with, knows none of these. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import type { Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { Evaluator, START_MS } from './evaluate.ts';

const LAYOUTS: readonly (readonly [string, BodyLimits])[] = [
  ['in the head', DEFAULT_BODY_LIMITS],
  ['in rows', { ...DEFAULT_BODY_LIMITS, packedBytes: 0, packedElements: 0, pageBytes: 64, inlineBytes: 24 }],
];

const text = (reply: Reply): unknown =>
  Array.isArray(reply) ? reply.map(text) : Buffer.isBuffer(reply) ? reply.toString('latin1') : reply;

/** Runs commands given as one line each. */
class Hashes extends Evaluator {
  constructor(bodyLimits: BodyLimits) {
    super();
    this.bodyLimits = bodyLimits;
  }

  do(line: string): unknown {
    const [name, ...args] = line.split(' ');
    return text(this.run(name!, ...args));
  }

  fails(line: string, message: string): void {
    assert.throws(() => this.do(line), { message }, line);
  }
}

for (const [layout, bodyLimits] of LAYOUTS) {
  describe(`a hash with its fields ${layout}`, () => {
    const start = (): Hashes => {
      const hashes = new Hashes(bodyLimits);
      hashes.do('HSET h a 1 b 2 c 3');
      return hashes;
    };

    test('gives fields an expiry, tells it, and takes it back', () => {
      const h = start();
      assert.deepEqual(h.do('HEXPIRE h 10 FIELDS 3 a b x'), [1, 1, -2]);
      assert.deepEqual(h.do('HPEXPIRE h 2500 fields 1 b'), [1]);
      assert.deepEqual(h.do('HTTL h FIELDS 4 a b c x'), [10, 3, -1, -2]);
      assert.deepEqual(h.do('HPTTL h FIELDS 2 a b'), [10_000, 2_500]);
      assert.deepEqual(h.do('HPEXPIRETIME h FIELDS 2 a b'), [START_MS + 10_000, START_MS + 2_500]);
      assert.deepEqual(h.do('HEXPIRETIME h FIELDS 2 a b'), [START_MS / 1000 + 10, START_MS / 1000 + 3]);
      assert.deepEqual(h.do('HEXPIREAT h 2000000000 FIELDS 1 a'), [1]);
      assert.deepEqual(h.do('HPEXPIREAT h 2000000000001 FIELDS 1 b'), [1]);
      assert.deepEqual(h.do('HPEXPIRETIME h FIELDS 2 a b'), [2_000_000_000_000, 2_000_000_000_001]);
      assert.deepEqual(h.do('HPERSIST h FIELDS 3 a c x'), [1, -1, -2]);
      assert.deepEqual(h.do('HTTL h FIELDS 1 a'), [-1]);
      assert.equal(h.do('TTL h'), -1);
    });

    test('answers for keys that do not exist as for fields that do not', () => {
      const h = start();
      assert.deepEqual(h.do('HEXPIRE none 10 FIELDS 2 a b'), [-2, -2]);
      assert.deepEqual(h.do('HTTL none FIELDS 1 a'), [-2]);
      assert.deepEqual(h.do('HPERSIST none FIELDS 1 a'), [-2]);
      assert.deepEqual(h.do('HGETEX none EX 10 FIELDS 1 a'), [null]);
      assert.deepEqual(h.do('HGETDEL none FIELDS 1 a'), [null]);
      assert.equal(h.do('EXISTS none'), 0);
    });

    test('sets an expiry only where the condition holds', () => {
      const h = start();
      h.do('HEXPIRE h 100 FIELDS 1 a');
      assert.deepEqual(h.do('HEXPIRE h 200 NX FIELDS 2 a b'), [0, 1]);
      assert.deepEqual(h.do('HEXPIRE h 300 xx FIELDS 2 a c'), [1, 0]);
      assert.deepEqual(h.do('HEXPIRE h 250 GT FIELDS 3 a b c'), [0, 1, 0]);
      assert.deepEqual(h.do('HEXPIRE h 275 LT FIELDS 3 a b c'), [1, 0, 1]);
      assert.deepEqual(h.do('HTTL h FIELDS 3 a b c'), [275, 250, 275]);
      // The same time is neither later nor earlier.
      assert.deepEqual(h.do('HEXPIRE h 275 GT FIELDS 1 a'), [0]);
      assert.deepEqual(h.do('HEXPIRE h 275 LT FIELDS 1 a'), [0]);
    });

    test('deletes fields whose new expiry has passed', () => {
      const h = start();
      h.do('HEXPIRE h 100 FIELDS 1 b');
      assert.deepEqual(h.do('HPEXPIREAT h 1 NX FIELDS 3 a b x'), [2, 0, -2]);
      assert.deepEqual(h.do('HEXPIRE h 0 FIELDS 2 b b'), [2, -2]);
      assert.deepEqual(h.do('HKEYS h'), ['c']);
      assert.deepEqual(h.do('HPEXPIREAT h 0 FIELDS 1 c'), [2]);
      assert.equal(h.do('EXISTS h'), 0);
    });

    test('does not have a field from the millisecond of its expiry on, for no command', () => {
      const h = start();
      h.do('HPEXPIRE h 1000 FIELDS 2 a b');
      h.nowMs += 999;
      assert.equal(h.do('HGET h a'), '1');
      assert.equal(h.do('HLEN h'), 3);
      h.nowMs += 1;
      assert.equal(h.do('HGET h a'), null);
      assert.equal(h.do('HLEN h'), 1);
      assert.equal(h.do('HEXISTS h b'), 0);
      assert.equal(h.do('HSTRLEN h a'), 0);
      assert.deepEqual(h.do('HMGET h a b c'), [null, null, '3']);
      assert.deepEqual(h.do('HKEYS h'), ['c']);
      assert.deepEqual(h.do('HVALS h'), ['3']);
      assert.deepEqual(h.do('HRANDFIELD h -3 WITHVALUES'), ['c', '3', 'c', '3', 'c', '3']);
      assert.deepEqual(h.do('HRANDFIELD h 3'), ['c']);
      assert.deepEqual(h.do('HSCAN h 0'), ['0', ['c', '3']]);
      assert.deepEqual(h.do('HTTL h FIELDS 2 a c'), [-2, -1]);
      assert.deepEqual(h.do('HEXPIRE h 5 FIELDS 1 a'), [-2]);
      assert.deepEqual(h.do('HPERSIST h FIELDS 1 a'), [-2]);
      assert.deepEqual(h.do('HGETEX h PERSIST FIELDS 1 a'), [null]);
      assert.deepEqual(h.do('HGETDEL h FIELDS 1 a'), [null]);
      assert.equal(h.do('HDEL h a b'), 0);
      assert.equal(h.do('HSETNX h a new'), 1);
      assert.equal(Number(h.do('HINCRBY h b 5')), 5);
      assert.equal(h.do('HLEN h'), 3);
      assert.deepEqual(h.do('HTTL h FIELDS 2 a b'), [-1, -1]);
    });

    test('ends with its last field', () => {
      const h = start();
      h.do('HPEXPIRE h 1000 FIELDS 3 a b c');
      h.do('HPEXPIRE h 2000 FIELDS 1 b');
      h.nowMs += 1_999;
      assert.equal(h.do('EXISTS h'), 1);
      assert.equal(h.do('HLEN h'), 1);
      h.nowMs += 1;
      assert.equal(h.do('EXISTS h'), 0);
      assert.equal(h.do('TTL h'), -2);
      assert.deepEqual(h.do('HKEYS h'), []);
      h.do('SET h text');
      assert.equal(h.do('GET h'), 'text');
    });

    test('keeps the expiry of its key apart from that of its fields', () => {
      const h = start();
      h.do('HPEXPIRE h 1000 FIELDS 3 a b c');
      h.do('PEXPIRE h 5000');
      assert.equal(h.do('PTTL h'), 5_000);
      assert.deepEqual(h.do('HPTTL h FIELDS 1 a'), [1_000]);
      assert.equal(h.do('PEXPIRE h 4000 GT'), 0);
      assert.equal(h.do('HSET h d 4'), 1);
      h.nowMs += 1_000;
      assert.equal(h.do('HLEN h'), 1);
      assert.equal(h.do('PTTL h'), 4_000);
      assert.equal(h.do('PERSIST h'), 1);
      assert.equal(h.do('PERSIST h'), 0);
      assert.equal(h.do('TTL h'), -1);
      h.do('HPEXPIRE h 9000 FIELDS 1 d');
      h.do('PEXPIRE h 500');
      h.nowMs += 500;
      assert.equal(h.do('EXISTS h'), 0);
      // An expiry of the key that is later than the last field's does not keep the hash.
      h.do('HSET h a 1');
      h.do('HPEXPIRE h 100 FIELDS 1 a');
      h.do('PEXPIRE h 5000');
      h.nowMs += 100;
      assert.equal(h.do('EXISTS h'), 0);
      assert.equal(h.do('HSET h a 1'), 1);
      assert.equal(h.do('PTTL h'), -1);
    });

    test('takes the expiries of its fields along when it is renamed or copied', () => {
      const h = start();
      h.do('HPEXPIRE h 1000 FIELDS 3 a b c');
      h.do('PEXPIRE h 5000');
      assert.equal(h.do('COPY h copy'), 1);
      h.do('RENAME h renamed');
      for (const key of ['copy', 'renamed']) {
        assert.deepEqual(h.do(`HPTTL ${key} FIELDS 2 a c`), [1_000, 1_000]);
        assert.equal(h.do(`PTTL ${key}`), 5_000);
      }
      h.nowMs += 1_000;
      assert.equal(h.do('EXISTS copy renamed'), 0);
    });

    test('forgets an expiry when the field is set, and keeps it when it is incremented', () => {
      const h = start();
      h.do('HPEXPIRE h 1000 FIELDS 3 a b c');
      h.do('HSET h a 2');
      h.do('HINCRBY h b 1');
      h.do('HINCRBYFLOAT h c 0.5');
      assert.deepEqual(h.do('HPTTL h FIELDS 3 a b c'), [-1, 1_000, 1_000]);
      h.do('HMSET h b 1');
      assert.deepEqual(h.do('HPTTL h FIELDS 2 b c'), [-1, 1_000]);
    });

    test('HGETEX answers values and sets, removes or leaves their expiry', () => {
      const h = start();
      assert.deepEqual(h.do('HGETEX h EX 10 FIELDS 2 a x'), ['1', null]);
      assert.deepEqual(h.do('HGETEX h px 500 FIELDS 1 b'), ['2']);
      assert.deepEqual(h.do('HGETEX h FIELDS 2 a c'), ['1', '3']);
      assert.deepEqual(h.do('HPTTL h FIELDS 3 a b c'), [10_000, 500, -1]);
      assert.deepEqual(h.do('HGETEX h EXAT 2000000000 FIELDS 1 a'), ['1']);
      assert.deepEqual(h.do('HGETEX h PXAT 2000000000001 FIELDS 1 b'), ['2']);
      assert.deepEqual(h.do('HPEXPIRETIME h FIELDS 2 a b'), [2_000_000_000_000, 2_000_000_000_001]);
      assert.deepEqual(h.do('HGETEX h PERSIST FIELDS 2 a c'), ['1', '3']);
      assert.deepEqual(h.do('HTTL h FIELDS 1 a'), [-1]);
      assert.deepEqual(h.do('HGETEX h PXAT 0 FIELDS 2 a a'), ['1', null]);
      assert.deepEqual(h.do('HGETEX h EX 0 FIELDS 2 b c'), ['2', '3']);
      assert.equal(h.do('EXISTS h'), 0);
    });

    test('HGETDEL answers values and deletes them, and the hash with the last one', () => {
      const h = start();
      assert.deepEqual(h.do('HGETDEL h FIELDS 3 a x a'), ['1', null, null]);
      assert.deepEqual(h.do('HGETDEL h FIELDS 2 b c'), ['2', '3']);
      assert.equal(h.do('EXISTS h'), 0);
    });

    test('HSETEX sets values with one expiry, if all or none of the fields exist', () => {
      const h = start();
      assert.equal(h.do('HSETEX h EX 10 FIELDS 2 a 10 d 40'), 1);
      assert.deepEqual(h.do('HPTTL h FIELDS 3 a b d'), [10_000, -1, 10_000]);
      assert.equal(h.do('HSETEX h KEEPTTL FIELDS 2 a 11 b 21'), 1);
      assert.deepEqual(h.do('HPTTL h FIELDS 2 a b'), [10_000, -1]);
      assert.equal(h.do('HSETEX h FIELDS 1 a 12'), 1);
      assert.deepEqual(h.do('HPTTL h FIELDS 1 a'), [-1]);
      assert.equal(h.do('HSETEX h FNX PX 100 FIELDS 2 x 1 a 2'), 0);
      assert.equal(h.do('HSETEX h FXX PX 100 FIELDS 2 x 1 a 2'), 0);
      assert.equal(h.do('HEXISTS h x'), 0);
      assert.equal(h.do('HSETEX h FXX PXAT 2000000000001 FIELDS 2 a 5 b 6'), 1);
      assert.equal(h.do('HSETEX h EXAT 2000000000 FNX FIELDS 2 x 7 y 8'), 1);
      assert.deepEqual(h.do('HPEXPIRETIME h FIELDS 2 a x'), [2_000_000_000_001, 2_000_000_000_000]);
      assert.deepEqual(h.do('HMGET h a b x y'), ['5', '6', '7', '8']);
      assert.equal(h.do('HSETEX none FXX FIELDS 1 a 1'), 0);
      assert.equal(h.do('HSETEX none EXAT 0 FIELDS 1 a 1'), 1);
      assert.equal(h.do('EXISTS none'), 0);
      assert.equal(h.do('HSETEX h PXAT 1 FIELDS 1 a 1'), 1);
      assert.equal(h.do('HEXISTS h a'), 0);
      // An expired field does not exist for a condition.
      h.do('HPEXPIRE h 10 FIELDS 1 b');
      h.nowMs += 10;
      assert.equal(h.do('HSETEX h FNX FIELDS 1 b 1'), 1);
    });
  });
}

describe('commands on fields that expire', () => {
  test('refuse what makes no sense, in the order in which Redis looks', () => {
    const h = new Hashes(DEFAULT_BODY_LIMITS);
    h.do('HSET h a 1');
    h.do('SET s text');
    const wrongType = 'WRONGTYPE Operation against a key holding the wrong kind of value';
    const notInteger = 'ERR value is not an integer or out of range';
    const noFields = 'ERR Mandatory argument FIELDS is missing or not at the right position';
    const noCount = 'ERR Number of fields must be a positive integer';
    const otherCount = 'ERR The `numfields` parameter must match the number of arguments';
    h.fails('HEXPIRE s x FIELDS 1 a', wrongType);
    h.fails('HEXPIRE h x FIELDS 1 a', notInteger);
    h.fails('HEXPIRE h -1 FIELDS 1 a', 'ERR invalid expire time, must be >= 0');
    h.fails('HEXPIRE h 70368744178 FIELDS 1 a', "ERR invalid expire time in 'hexpire' command");
    h.fails('HPEXPIREAT h 70368744177664 FIELDS 1 a', "ERR invalid expire time in 'hpexpireat' command");
    assert.deepEqual(h.do('HPEXPIREAT h 70368744177663 FIELDS 1 a'), [1]);
    h.fails('HPEXPIRE h 70368744177663 FIELDS 1 a', "ERR invalid expire time in 'hpexpire' command");
    h.fails('HEXPIRE h 1 JUNK FIELDS 1 a', noFields);
    h.fails('HEXPIRE h 1 NX GT FIELDS 1 a', noFields);
    h.fails('HEXPIRE h 1 FIELDS 0 a', 'ERR Parameter `numFields` should be greater than 0');
    h.fails('HEXPIRE h 1 FIELDS x a', 'ERR Parameter `numFields` should be greater than 0');
    h.fails('HEXPIRE h 1 FIELDS 2 a', otherCount);
    h.fails('HEXPIRE h 1 NX FIELDS 1', otherCount);
    h.fails('HEXPIRE none 1 FIELDS 2 a', otherCount);
    for (const head of ['HTTL h', 'HPERSIST h', 'HGETDEL h', 'HGETEX h', 'HGETEX h EX 10', 'HGETEX h PERSIST']) {
      h.fails(`${head} JUNK 1 a`, noFields);
      h.fails(`${head} FIELDS 0 a`, noCount);
      h.fails(`${head} FIELDS x a`, noCount);
      h.fails(`${head} FIELDS 2 a`, otherCount);
      h.fails(`${head.replace(' h', ' s')} FIELDS 2 a`, wrongType);
    }
    h.fails('HGETEX h EX x JUNK', notInteger);
    h.fails('HGETEX h EX 10 FIELDS', noCount);
    h.fails('HGETEX h PXAT 70368744177664 FIELDS 1 a', "ERR invalid expire time in 'hgetex' command");
    const arity = "ERR wrong number of arguments for 'hsetex' command";
    h.fails('HSETEX h FIELDS 1 a', arity);
    h.fails('HSETEX h FIELDS 2 a 1', arity);
    h.fails('HSETEX h FIELDS 1 a 1 b', arity);
    h.fails('HSETEX h FIELDS 0 a 1', 'ERR invalid number of fields');
    h.fails('HSETEX s FIELDS 0 a 1', 'ERR invalid number of fields');
    h.fails('HSETEX s FIELDS 1 a 1', wrongType);
    h.fails('HSETEX h FNX FXX FIELDS 1 a 1', 'ERR Only one of FXX or FNX arguments can be specified');
    const oneTime = 'ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified';
    h.fails('HSETEX h EX 10 KEEPTTL FIELDS 1 a 1', oneTime);
    h.fails('HSETEX h KEEPTTL PX 10 FIELDS 1 a 1', oneTime);
    h.fails('HSETEX h EX -1 FIELDS 1 a 1', 'ERR invalid expire time, must be >= 0');
    h.fails('HSETEX h EX 70368744178 FIELDS 1 a 1', "ERR invalid expire time in 'hsetex' command");
    h.fails('HSETEX h FNX FNX EX', 'ERR Only one of FXX or FNX arguments can be specified');
    h.fails('HSETEX h FNX KEEPTTL junk EX', 'ERR unknown argument: junk');
  });
});
