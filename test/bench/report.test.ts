import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseCsv } from '../../bench/peers/redis-benchmark.ts';
import { buildReport, formatReport } from '../../bench/report.ts';
import { areQuiet, median, rangeOf } from '../../bench/spread.ts';

describe('the benchmark report', () => {
  const samples = {
    set: { kvorum: [36_000, 44_000, 40_000], redis: [100_000], etcd: [9000, 8800, 8000] },
    get: { kvorum: [30_000, 50_000], redis: [100_000] },
    setPipelined: { kvorum: [90_000], redis: [600_000] },
    incrHotKey: { kvorum: [31_000] },
    sequentialP50: { kvorum: [0.25], etcd: [0.76] },
    failover: { kvorum: [2100] },
  };
  const rows = buildReport(samples);
  const verdict = (measure: string) => rows.find((row) => row.measure === measure)?.bar?.passed;

  test('compares medians and judges every bar that can be judged', () => {
    assert.equal(verdict('set'), true);
    assert.equal(verdict('setPipelined'), false);
    assert.equal(verdict('incrHotKey'), false);
    assert.equal(verdict('sequentialP50'), true);
    assert.equal(verdict('failover'), false);
    assert.deepEqual(rows.find((row) => row.measure === 'set')!.ratios.redis, [0.36]);
  });

  test('gives no verdict where a peer is missing, and no row where kvorum is', () => {
    const alone = buildReport({ set: { kvorum: [1] }, get: { redis: [1] }, setPipelined: { kvorum: [100_000] } });
    assert.deepEqual(
      alone.map((row) => [row.measure, row.bar?.passed]),
      [
        ['set', undefined],
        ['setPipelined', true],
      ],
    );
  });

  test('is one aligned table', () => {
    const lines = formatReport(rows).split('\n');
    assert.equal(lines.length, 1 + rows.length);
    assert.match(
      lines[1]!,
      /^SET, 50 clients +36,000 \/ 40,000 \/ 44,000\/s +100,000\/s +8,000 \/ 8,800 \/ 9,000\/s +0\.36x +4\.00 \/ 5\.00 \/ 5\.00x +>= 4x etcd +pass$/,
    );
    assert.match(lines[3]!, /^GET, 50 clients {2,}30,000 \/ 40,000 \/ 50,000\/s .*not judged$/);
    assert.match(lines.at(-1)!, /2100 ms .*<= 2 s +FAIL$/);
  });

  test('says nothing of rounds that lie far apart', () => {
    assert.equal(areQuiet([100, 120, 125], undefined, [7]), true);
    assert.equal(areQuiet([100, 126]), false);
    assert.equal(rangeOf([3, 1, 2], String), '1 / 2 / 3');
    assert.equal(rangeOf([2], String), '2');
  });

  test('medians are those of odd and even numbers of rounds', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
  });
});

test('the figures of redis-benchmark are read by name', () => {
  const output = '"test","rps","avg_latency_ms","p50_latency_ms"\n"SET","1234.5","0.4","0.3"\n';
  assert.equal(parseCsv(output).get('rps'), 1234.5);
  assert.equal(parseCsv(output).get('p50_latency_ms'), 0.3);
  assert.throws(() => parseCsv('Could not connect'), /something unexpected/);
});
