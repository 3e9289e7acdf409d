/** Entries of transactions that share a log entry: who may, in which order, and that it changes nothing for them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { GroupStateMachine } from '../../../src/kv/apply/state-machine.ts';
import type { TxnAnswer } from '../../../src/kv/apply/txn-state.ts';
import { CorruptEntryError } from '../../../src/kv/contract/errors.ts';
import { EntryReader } from '../../../src/kv/entry/entry.ts';
import { encodeTogether, readTogether } from '../../../src/kv/entry/txn-entries.ts';
import { TxnBatcher, type TxnPart } from '../../../src/kv/leader/txn-batcher.ts';
import type { Scheduler } from '../../../src/platform/index.ts';
import { EntryKind } from '../../../src/raftengine/core/types.ts';
import { BusyError, NotLeaderError } from '../../../src/raftengine/errors.ts';
import { ASSIGN_ALL, bytes, CONF } from '../../support/lone-group.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { entry, finish, put, range, read, ts, txn } from './entries.ts';

/** A part that is its own name. */
const part = (name: string, keys: readonly string[] | undefined, isUrgent = true): TxnPart => ({
  keys: keys?.map(bytes),
  bytes: 10,
  isUrgent,
  build: () => Buffer.from(`\x10\x01${name}`),
});
const nameOf = (payload: Buffer): string => payload.subarray(2).toString();

/** A log that commits an entry when it is told to. */
class BatchedLog {
  readonly entries: string[][] = [];
  readonly batcher: TxnBatcher;
  private readonly turn: (() => void)[] = [];
  private readonly open: ((error?: Error) => void)[] = [];

  constructor() {
    const scheduler: Pick<Scheduler, 'endOfTurn'> = { endOfTurn: (callback) => void this.turn.push(callback) };
    this.batcher = new TxnBatcher({
      scheduler: scheduler as Scheduler,
      propose: (build) => {
        const payload = build(ts(1));
        const isTogether = payload[0] === 0x18;
        const names = isTogether ? readTogether(new EntryReader(payload)).map(nameOf) : [nameOf(payload)];
        this.entries.push(names);
        // Each part is answered with its name.
        const answers = names.map((name) => ({ kind: 'changed', key: bytes(name) }) as TxnAnswer);
        const answer: TxnAnswer = isTogether ? { kind: 'together', answers } : answers[0]!;
        return new Promise((resolve, reject) => {
          this.open.push((error) => (error === undefined ? resolve(answer) : reject(error)));
        });
      },
    });
  }

  /** @returns what becomes the name of the part, or of the error */
  add(name: string, keys: readonly string[] | undefined, isUrgent?: boolean): Promise<string> {
    return this.batcher.add(part(name, keys, isUrgent)).then(
      (answer) => (answer as { readonly key: Buffer }).key.toString(),
      (error: Error) => error.name,
    );
  }

  endTurn(): void {
    for (const callback of this.turn.splice(0)) callback();
  }

  async commit(error?: Error): Promise<void> {
    this.open.shift()?.(error);
    for (let round = 0; round < 5; round++) await Promise.resolve();
    this.endTurn();
  }
}

describe('what transactions ask of a log', () => {
  test('leaves alone when it is alone, and together when it came while an entry was on its way', async () => {
    const bed = new BatchedLog();
    const first = bed.add('a', ['a']);
    bed.endTurn();
    const others = [bed.add('b', ['b']), bed.add('c', ['c'])];
    bed.endTurn();
    assert.deepEqual(bed.entries, [['a']]);
    await bed.commit();
    assert.deepEqual(bed.entries, [['a'], ['b', 'c']]);
    await bed.commit();
    assert.deepEqual(await Promise.all([first, ...others]), ['a', 'b', 'c']);
  });

  test('is in another entry than what touches the same key, or than what cannot say its keys', async () => {
    const bed = new BatchedLog();
    for (const [name, keys] of [
      ['a', ['x', 'y']],
      ['b', ['z']],
      ['c', ['y']],
      ['d', undefined],
      ['e', ['y']],
    ] as const) {
      void bed.add(name, keys);
    }
    bed.endTurn();
    for (let round = 0; round < 5; round++) await bed.commit();
    assert.deepEqual(bed.entries, [['a', 'b'], ['c'], ['d'], ['e']]);
  });

  test('is answered each for itself, in the order in which it was asked, whatever keys they have', async () => {
    const asked = fc.array(fc.option(fc.subarray(['p', 'q', 'r', 's', 't'], { minLength: 1 }), { freq: 8 }), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(asked, async (keysOfParts) => {
        const bed = new BatchedLog();
        const answers = keysOfParts.map((keys, at) => bed.add(`${at}`, keys ?? undefined));
        bed.endTurn();
        for (let round = 0; round <= keysOfParts.length; round++) await bed.commit();
        assert.deepEqual(
          await Promise.all(answers),
          keysOfParts.map((_, at) => `${at}`),
        );
        assert.deepEqual(bed.entries.flat(), [...keysOfParts.keys()].map(String));
        for (const names of bed.entries) {
          const keys = names.flatMap((name) => keysOfParts[Number(name)] ?? []);
          assert.equal(new Set(keys).size, keys.length, 'no key twice in an entry');
          if (names.some((name) => keysOfParts[Number(name)] === null)) assert.equal(names.length, 1);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('fails as a whole when the entry does, and what comes then is proposed again', async () => {
    const bed = new BatchedLog();
    const both = [bed.add('a', ['a']), bed.add('b', ['b'])];
    bed.endTurn();
    await bed.commit(new NotLeaderError(undefined));
    assert.deepEqual(await Promise.all(both), ['NotLeaderError', 'NotLeaderError']);
    const next = bed.add('c', ['c']);
    bed.endTurn();
    await bed.commit();
    assert.equal(await next, 'c');
  });

  test('is refused when too much waits, unless others wait for it', async () => {
    const bed = new BatchedLog();
    for (let at = 0; at < 20_000; at++) void bed.add('a', ['a']);
    assert.equal(await bed.add('b', ['b'], false), BusyError.name);
    void bed.add('c', ['c']);
  });
});

describe('an entry of several transactions', () => {
  const apply = (machine: GroupStateMachine, payload: Buffer): TxnAnswer => {
    const index = machine.applied().index + 1;
    return machine.apply([{ index, term: 1, kind: EntryKind.Normal, payload, conf: undefined }])[0] as TxnAnswer;
  };
  const open = (): { store: MemoryStore; machine: GroupStateMachine } => {
    const store = new MemoryStore();
    const machine = new GroupStateMachine({ store, initialConf: CONF });
    apply(machine, ASSIGN_ALL);
    return { store, machine };
  };
  const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'] as const;

  test('does what its parts do one after the other', () => {
    // One transaction a key, so that parts never share one; each may be anywhere in its life.
    const step = fc.record({
      keys: fc.subarray([...KEYS], { minLength: 1 }),
      kinds: fc.array(fc.constantFrom('prepare', 'commit', 'abort', 'onePhase', 'push'), {
        minLength: 6,
        maxLength: 6,
      }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const one = open();
        const other = open();
        for (const [at, { keys, kinds }] of steps.entries()) {
          const now = BigInt(100 * (at + 1));
          const build = (key: string, of: number, entryTs: bigint): Buffer => {
            const who = txn(`${key}${kinds[of]}`.slice(0, 1), 1n, key);
            switch (kinds[of]) {
              case 'prepare':
                return entry.prepare(entryTs, who, [put(key, `${at}`)]);
              case 'onePhase':
                return entry.onePhase(entryTs, { ...who, txnId: Buffer.alloc(16, at + 1) }, [put(key, `${at}`)]);
              case 'commit':
                return entry.commit(entryTs, now - 1n, finish(who, [key]));
              case 'abort':
                return entry.abort(entryTs, finish(who, [key]));
              default:
                return entry.push(entryTs, who, (1n << 62n) + now);
            }
          };
          const together = apply(one.machine, encodeTogether(keys.map((key, of) => build(key, of, now))));
          assert.equal(together.kind, 'together');
          const apart = keys.map((key, of) => apply(other.machine, build(key, of, now + BigInt(of))).kind);
          if (together.kind === 'together')
            assert.deepEqual(
              together.answers.map(({ kind }) => kind),
              apart,
            );
          assert.deepEqual(
            KEYS.map((key) => one.store.latest(bytes(key))?.value.toString()),
            KEYS.map((key) => other.store.latest(bytes(key))?.value.toString()),
          );
          assert.equal(one.machine.locks.size, other.machine.locks.size);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('stops a replica when two parts touch one key, because neither would see what the other wrote', () => {
    const { machine } = open();
    const [t, u] = [txn('t'), txn('u')];
    const twice = encodeTogether([entry.prepare(100n, t, [put('a', '1')]), entry.abort(100n, finish(u, ['a']))]);
    assert.throws(() => apply(machine, twice), CorruptEntryError);
  });

  test('holds nothing but entries of transactions, and no entry of several', () => {
    const inner = encodeTogether([entry.prepare(100n, txn('t'), [read('a')], [range('a', 'b')])]);
    for (const payload of [encodeTogether([inner]), encodeTogether([ASSIGN_ALL])]) {
      assert.throws(() => apply(open().machine, payload), CorruptEntryError);
    }
  });
});
