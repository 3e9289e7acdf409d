/**
 * Strings in chunks, and sketches, where they are not evaluated on one leader's store: over several groups, in transactions, and on replicas. Whole
 * nodes on simulated machines answer what one evaluation after the other over keys in memory does.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { GroupBench } from './group-bench.ts';

const elements = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, nth) => `element:${from + nth}`);

describe('strings in chunks over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    await bench.play(
      ['set', a, 'a'.repeat(6_000)],
      ['append', a, 'end'],
      ['setrange', b, '9000', 'behind a gap'],
      ['setbit', c, '100000', '1'],
      ['setbit', c, '7', '1'],
    );
  });

  test('are joined, compared and combined', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['mget', a, b, c],
      ['bitop', 'xor', 'combined', a, b, c],
      ['get', 'combined'],
      ['bitop', 'and', b, a, b],
      ['strlen', b],
      ['copy', a, c, 'replace'],
      ['rename', a, b],
      ['append', b, 'renamed'],
      ['mget', a, b, c],
      ['exists', a, b, c],
    );
  });

  test('are changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(['set', a, 'x'.repeat(5_000)], ['append', a, 'y'], ['set', b, 'z'.repeat(70_000)]);
    await bench.playTogether(
      ['setrange', a, '100', 'within'],
      ['append', b, 'more'],
      ['setbit', c, '50000', '1'],
      ['getrange', a, '90', '110'],
      ['bitcount', c],
      ['bitfield', b, 'set', 'u8', '#69999', '1', 'get', 'u8', '#69999'],
      ['strlen', b],
    );
    await bench.playTogether(['append', a, '!'], ['getrange', a, '-5', '-1']);
    await bench.play(['mget', a, b, c]);
  });

  test('are read on replicas', async () => {
    const [a, b] = bench.keys;
    await bench.play(['setrange', a, '4500', 'for the replicas'], ['setbit', b, '80', '1']);
    await bench.rest();
    await bench.look(
      ['get', a],
      ['strlen', a],
      ['getrange', a, '4490', '4520'],
      ['getbit', b, '80'],
      ['bitcount', b, '5', '20000'],
      ['bitpos', b, '0', '600'],
      ['bitfield_ro', b, 'get', 'u16', '#600'],
    );
  });
});

describe('sketches over several groups', () => {
  const bench = new GroupBench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    for (let from = 0; from < 4_000; from += 1_000) await bench.play(['pfadd', a, ...elements(from, 1_000)]);
    await bench.play(['pfadd', b, ...elements(3_000, 500)], ['pfadd', c, 'one', 'two', 'three']);
  });

  test('are counted together and merged', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['pfcount', a, b, c, 'none'],
      ['pfmerge', 'merged', b, c],
      ['get', 'merged'],
      ['pfmerge', c, a, b],
      ['pfcount', c],
      ['get', c],
      ['pfadd', c, 'one more'],
      ['get', c],
    );
  });

  test('are counted and changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['pfadd', a, 'in a transaction'],
      ['pfcount', a],
      ['pfcount', a, b],
      ['pfmerge', b, c],
      ['pfcount', b],
    );
    await bench.play(['get', a], ['get', b]);
  });

  test('are counted on replicas, which note nothing', async () => {
    const [a, b] = bench.keys;
    await bench.play(['pfadd', a, 'for the replicas'], ['pfadd', b, 'for them too']);
    const stale = await bench.ask(bench.client, ['get', a]);
    await bench.rest();
    await bench.look(['pfcount', a], ['pfcount', b]);
    assert.equal(await bench.ask(bench.client, ['get', a]), stale);
    const noted = bench.model.run('get', a);
    await bench.ask(bench.client, ['pfcount', a]);
    assert.equal(await bench.ask(bench.client, ['get', a]), noted);
  });
});
