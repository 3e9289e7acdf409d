/** Rows that have to be brought from afar come in few rounds, each of which evaluates the command from the start. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { openHash, openList, openOrdered, openSet } from '../../../../src/adapter/redis/bodies/index.ts';
import type { LiveValue } from '../../../../src/kv/index.ts';
import { BufferedView } from '../../../../src/kv/txn/transaction-view.ts';
import { accessTo, bytesOf, type TestAccess } from './memory-rows.ts';

const COUNT = 20_000;
const KEY = bytesOf('key');
const kinds = ['hash', 'list', 'set', 'order'] as const;
type Kind = (typeof kinds)[number];

function filled(kind: Kind, elementOf: (at: number) => Buffer, count = COUNT): TestAccess {
  const access = accessTo();
  const elements = Array.from({ length: count }, (_, at) => elementOf(at));
  if (kind === 'hash') {
    const hash = openHash(access, KEY);
    for (const element of elements) hash.set(element, element);
    hash.save();
  } else if (kind === 'list') {
    const list = openList(access, KEY);
    list.pushLast(elements);
    list.save();
  } else if (kind === 'set') {
    const set = openSet(access, KEY);
    for (const element of elements) set.add(element);
    set.save();
  } else {
    const order = openOrdered(access, KEY);
    for (const [at, element] of elements.entries()) order.set(element, at);
    order.save();
  }
  return access;
}

/** Evaluates until all rows are there. @returns rounds, and rows that were brought */
function bring(access: TestAccess, command: (access: TestAccess) => void): { rounds: number; rows: number } {
  const known = new Map<string, LiveValue | undefined>();
  for (let rounds = 0; ; rounds++) {
    const view = new BufferedView(access.view.ts, known);
    try {
      command({ ...access, view } as unknown as TestAccess);
      assert.equal(view.missing, undefined);
      return { rounds, rows: known.size };
    } catch (error) {
      if (view.missing === undefined) throw error;
      for (const key of view.missing) known.set(key.toString('latin1'), access.view.get(key));
    }
  }
}

describe('a large body that is brought from afar', () => {
  const bodies = {} as Record<Kind, TestAccess>;
  before(() => {
    for (const kind of kinds) bodies[kind] = filled(kind, (at) => bytesOf(`element number ${at}`));
  });
  const rowsOf = (kind: Kind): number => bodies[kind].view.keys().length;

  test('comes as a whole in few rounds, and no row that is not needed', () => {
    const all: Record<Kind, (access: TestAccess) => void> = {
      hash: (access) => assert.equal([...openHash(access, KEY).entries()].length, COUNT),
      list: (access) => assert.equal(openList(access, KEY).range(0, COUNT).length, COUNT),
      set: (access) => assert.equal([...openSet(access, KEY).members()].length, COUNT),
      order: (access) => assert.equal([...openOrdered(access, KEY).entries()].length, COUNT),
    };
    for (const kind of kinds) {
      const { rounds, rows } = bring(bodies[kind], all[kind]);
      assert.ok(rounds <= 16, `${kind}: ${rounds} rounds`);
      assert.ok(rows <= rowsOf(kind), kind);
    }
  });

  test('comes backwards in as few rounds', () => {
    const { rounds } = bring(bodies.order, (access) => {
      const entries = [...openOrdered(access, KEY).range({ by: 'rank', from: 0, to: COUNT }, { isReverse: true })];
      assert.equal(entries.length, COUNT);
      assert.equal(entries[0]!.score, COUNT - 1);
    });
    assert.ok(rounds <= 16, `${rounds} rounds`);
  });

  test('is not brought as a whole for a few elements in the middle', () => {
    const list = bring(bodies.list, (access) => {
      assert.equal(openList(access, KEY).range(COUNT / 2, COUNT / 2 + 100).length, 101);
    });
    assert.ok(list.rounds <= 10 && list.rows <= 60, `list: ${list.rounds} rounds, ${list.rows} rows`);
    const rank = bring(bodies.order, (access) => {
      assert.equal(openOrdered(access, KEY).rank(bytesOf(`element number ${COUNT / 2 + 77}`)), COUNT / 2 + 77);
    });
    assert.ok(rank.rounds <= 10 && rank.rows <= 60, `rank: ${rank.rounds} rounds, ${rank.rows} rows`);
  });

  test('comes with the rows of its long elements', () => {
    const long = filled('list', (at) => Buffer.alloc(300, `element ${at} `), 2_000);
    const { rounds } = bring(long, (access) => {
      assert.equal(openList(access, KEY).range(0, 2_000).length, 2_000);
    });
    assert.ok(rounds <= 16, `${rounds} rounds`);
  });
});
