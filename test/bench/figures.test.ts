import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { chartSvg } from '../../bench/chart.ts';
import { treeCpuSeconds } from '../../bench/cpu.ts';
import { type BenchFile, type CurvesFile, doubtsOf } from '../../bench/kept-figures.ts';
import { Ledger } from '../../bench/ledger.ts';
import { formatQuiet, OthersWatch } from '../../bench/others.ts';
import type { Measure } from '../../bench/report.ts';
import { THIS_PROCESS } from '../../bench/role-cpu.ts';
import { runRounds } from '../../bench/rounds.ts';

const kept = { at: '2026-01-31T12:00:00.000Z', machine: {}, rounds: 3, secondsPerLoad: 3, othersShare: 0.02 };
const row = (measure: Measure, kvorum: readonly number[]) => ({ measure, samples: { kvorum } });
const BENCH: BenchFile = {
  ...kept,
  syncMs: 1,
  rows: [row('set', [100, 110, 120]), row('get', [100, 110, 120]), row('failover', [700, 2000, 900])],
  cpu: [],
};
const CURVES: CurvesFile = kept;

describe('figures of the pages', () => {
  test('are kept of a machine on which rounds are alike and others do little', () => {
    assert.deepEqual(doubtsOf(BENCH, CURVES), []);
    const oneSwings = { ...BENCH, rows: [...BENCH.rows, row('incrHotKey', [100, 110, 140])] };
    assert.deepEqual(doubtsOf(oneSwings, CURVES), []);
  });

  test('are not kept of one that others use, or of a single round', () => {
    assert.match(doubtsOf({ ...BENCH, othersShare: 0.11 }, CURVES).join(), /others used 11 % .* during bench$/);
    assert.match(doubtsOf(BENCH, { ...CURVES, othersShare: 0.5 }).join(), /others used 50 % .* during bench:curves/);
    assert.match(doubtsOf({ ...BENCH, rounds: 1 }, CURVES).join(), /bench had a single round/);
  });

  test('are not kept when more than a third of the rates swing, which are named', () => {
    const swinging = { ...BENCH, rows: [row('set', [100, 90, 130]), row('get', [100, 110, 120])] };
    const doubts = doubtsOf(swinging, CURVES);
    assert.match(doubts.join(), /^1 of 2 rates .* 1\.25x:\n {2}1\.44x {2}kvorum, SET, 50 clients$/);
  });
});

describe('who uses the machine', { skip: process.platform !== 'linux' }, () => {
  test('is not the benchmark itself, nor what it has started and what that has started', async () => {
    const usedSeconds = 0.3;
    const spin = `while (process.cpuUsage().user < ${usedSeconds * 1e6});`;
    const nested = `require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(spin)}])`;
    const before = treeCpuSeconds();
    await Promise.all(
      [spin, nested].map((code) => new Promise((ended) => spawn(process.execPath, ['-e', code]).once('exit', ended))),
    );
    assert.ok(treeCpuSeconds() - before >= 2 * usedSeconds, 'both have ended, and are counted');
    const others = new OthersWatch();
    await others.during(async () => void spawnSync(process.execPath, ['-e', spin]));
    assert.ok(others.share >= 0 && others.share < 1, String(others.share));
  });

  test('is told, with how to get a quiet machine where that is needed', () => {
    assert.equal(formatQuiet(0.04, true), 'Others used 4 % of the processors while it was measured.');
    assert.match(formatQuiet(0.04, false), /the machine is not quiet/);
    assert.match(formatQuiet(0.2, true), /^Others used 20 % .*\n.*the machine is not quiet/);
  });
});

describe('rounds', () => {
  test('are as many as were asked for and end in time', async () => {
    const done: number[] = [];
    assert.equal(await runRounds(2, 1, async (round) => void done.push(round)), 2);
    assert.deepEqual(done, [0, 1]);
    const slowly = () => new Promise<void>((resolve) => setTimeout(resolve, 30));
    assert.equal(await runRounds(5, 40 / 60_000, slowly), 1);
  });

  test('of systems that take turns are held against each other', async () => {
    const ledger = new Ledger();
    for (const [ours, theirs] of [
      [50, 100],
      [60, 100],
      [55, 100],
    ] as const) {
      await ledger.measure('SET', 'kvorum', THIS_PROCESS, async () => ({ perSecond: ours, commands: 10 }));
      await ledger.measure('SET', 'redis', THIS_PROCESS, async () => ({ perSecond: theirs, commands: 10 }));
    }
    assert.match(
      ledger.formatRates(['kvorum', 'redis']),
      /^SET +50 \/ 55 \/ 60\/s +100\/s +0\.50 \/ 0\.55 \/ 0\.60x$/m,
    );
    const [one, other] = ['kvorum', 'redis'].map((system) => ({ load: 'SET', system })) as [
      { load: string; system: string },
      { load: string; system: string },
    ];
    assert.equal(ledger.judge(one, other, 0.55).passed, true);
    assert.equal(ledger.judge(one, other, 0.56).passed, false);
    assert.equal(ledger.judge(one, { load: 'GET', system: 'redis' }, 1).passed, undefined);
    assert.match(ledger.formatCosts(), /^SET +kvorum +process /m);
  });
});

test('a chart has its lines between its axes, marked at round numbers', () => {
  const point = (x: number, y: number) => ({ x, y, lowest: y / 2, highest: y * 2 });
  const svg = chartSvg({
    title: 'a < b',
    x: { title: 'clients', isLogarithmic: true },
    y: { title: 'a second', isLogarithmic: false },
    series: [{ name: 'kvorum', colour: '#123456', points: [point(1, 10), point(200, 40)] }],
  });
  const marks = [...svg.matchAll(/text-anchor="(?:end|middle)" fill="#555">([^<]+)</g)].map(([, mark]) => mark);
  assert.deepEqual(marks, ['0', '20', '40', '60', '80', '1', '2', '5', '10', '20', '50', '100', '200']);
  const numbers = [...svg.matchAll(/ (?:cx|x1|x2)="([\d.]+)"/g)].map(([, at]) => Number(at));
  assert.ok(Math.min(...numbers) >= 80 && Math.max(...numbers) <= 700, String(numbers));
  assert.match(svg, /<polyline points="80\.0,306\.5 700\.0,194\.0"/);
  assert.match(svg, /a &lt; b/);
});
