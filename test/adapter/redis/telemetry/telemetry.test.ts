/** What a node keeps about its clients' commands: bounded, cut as Redis cuts it, drawn as Redis draws it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  LatencyEvents,
  LatencyHistogram,
  quoted,
  SlowLog,
  sparkline,
  withoutSecrets,
} from '../../../../src/adapter/redis/telemetry/index.ts';

const words = (...line: string[]): Buffer[] => line.map((word) => Buffer.from(word, 'latin1'));
const texts = (args: readonly Buffer[]): string[] => args.map((arg) => arg.toString('latin1'));

const slow = (...line: string[]) => ({ atSeconds: 1, micros: 2, args: words(...line), address: 'a:1', name: '' });

describe('the slow log', () => {
  test('keeps the newest, newest first, under numbers that are not used again', () => {
    const log = new SlowLog();
    for (const name of ['a', 'b', 'c']) log.add(slow(name), 2);
    assert.deepEqual(
      log.latest(10).map(({ id, args }) => [id, ...texts(args)]),
      [
        [2, 'c'],
        [1, 'b'],
      ],
    );
    assert.equal(log.latest(1).length, 1);
    log.reset();
    log.add(slow('d'), 2);
    assert.deepEqual([log.length, log.latest(9)[0]!.id], [1, 3]);
  });

  test('is bounded whatever the setting says', () => {
    const log = new SlowLog();
    for (let nth = 0; nth < 17_000; nth++) log.add(slow('a'), 1e9);
    assert.equal(log.length, 16_384);
    log.add(slow('a'), 0);
    assert.equal(log.length, 0);
  });

  test('cuts what is long and says how much there is more', () => {
    const log = new SlowLog();
    log.add(slow('set', 'x'.repeat(129), ...Array.from({ length: 31 }, (_, at) => String(at))), 9);
    const args = texts(log.latest(1)[0]!.args);
    assert.deepEqual(
      [args.length, args[1], args[31]],
      [32, `${'x'.repeat(128)}... (1 more bytes)`, '... (2 more arguments)'],
    );
  });
});

describe('a command that is shown', () => {
  test('has no secrets', () => {
    const shown = (...line: string[]) => texts(withoutSecrets(words(...line))).join(' ');
    assert.equal(shown('AUTH', 'u', 'p'), 'AUTH (redacted) (redacted)');
    assert.equal(shown('hello', '3', 'AUTH', 'u', 'p', 'SETNAME', 'n'), 'hello 3 AUTH (redacted) (redacted) SETNAME n');
    assert.equal(shown('ACL', 'SETUSER', 'u', '>p'), 'ACL SETUSER (redacted) (redacted)');
    assert.equal(
      shown('CONFIG', 'SET', 'timeout', '1', 'requirepass', 'p'),
      'CONFIG SET timeout 1 requirepass (redacted)',
    );
    assert.equal(shown('CONFIG'), 'CONFIG');
    assert.equal(shown('GET', 'auth'), 'GET auth');
  });

  test('is printable', () => {
    assert.equal(quoted(Buffer.from('a "\\\n\r\t\x07\b\x00\xff~', 'latin1')), '"a \\"\\\\\\n\\r\\t\\a\\b\\x00\\xff~"');
  });
});

describe('latency events', () => {
  test('are the worst of each second, the newest 160 of them, and the longest ever', () => {
    const events = new LatencyEvents();
    events.add('command', 900, 0);
    for (let second = 1; second <= 200; second++)
      for (const took of [5, second, 2]) events.add('command', took + 0.9, second);
    const { samples, longestMs } = events.find('command')!;
    assert.deepEqual([samples.length, samples[0]!.atSeconds, longestMs], [160, 41, 900]);
    assert.deepEqual(samples.at(-1), { atSeconds: 200, tookMs: 200 });
    assert.deepEqual(
      [events.forget('command'), events.forget('command'), events.find('command')],
      [true, false, undefined],
    );
  });
});

describe('a histogram of latencies', () => {
  const observing = (...tookMs: number[]): LatencyHistogram => {
    const histogram = new LatencyHistogram();
    for (const one of tookMs) histogram.observe(one);
    return histogram;
  };

  test('has the steps that Redis has', () => {
    // What redis-server 7.0.15 says of DEBUG SLEEP 0.02 and 0.1, and of calls of 63 and 232 microseconds.
    assert.deepEqual(observing(21.36, 100.14).steps(), [
      { micros: 33_816, calls: 1 },
      { micros: 135_266, calls: 2 },
    ]);
    assert.deepEqual(observing(0.063, 0.232, 0.0005).steps(), [
      { micros: 1, calls: 1 },
      { micros: 66, calls: 2 },
      { micros: 264, calls: 3 },
    ]);
    assert.deepEqual(observing(1e9).steps(), [{ micros: 1_082_130, calls: 1 }]);
  });

  test('tells percentiles within a thirty-second', () => {
    const took = fc.double({ min: 0.001, max: 100_000, noNaN: true });
    fc.assert(
      fc.property(fc.array(took, { minLength: 1, maxLength: 50 }), fc.integer({ min: 1, max: 100 }), (all, percent) => {
        const histogram = observing(...all);
        const sorted = [...all].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.round((percent / 100) * all.length)) - 1]! * 1000;
        const told = histogram.percentileMicros(percent);
        assert.ok(told >= exact - 0.001 && told <= exact * (1 + 1 / 32) + 0.001, `${told} for ${exact}`);
        assert.equal(histogram.calls, all.length);
        assert.equal(histogram.steps().at(-1)!.calls, all.length);
      }),
    );
  });
});

describe('a sparkline', () => {
  test('is drawn as Redis draws it', () => {
    assert.equal(sparkline([{ value: 100, label: '0s' }], 80), ' \n \n \n_\n \n0\ns\n');
    const columns = [0, 3, 6, 9, 12].map((value, at) => ({ value, label: `${at}s` }));
    assert.equal(sparkline(columns, 80), '   _#\n  _||\n _|||\n_||||\n     \n01234\nsssss\n');
    assert.equal(sparkline(columns.slice(0, 2), 1), ' \n \n \n_\n \n0\ns\n\n#\n|\n|\n|\n \n1\ns\n');
  });
});
