/**
 * Commands that look at more rows than a turn has time for: those that write are refused, those that only read go on over rows that are
 * read beforehand. An object is `o`, a letter; a row behind it goes on with `e`, an incarnation of one byte and a number.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EvaluationTooLongError } from '../../src/kv/contract/errors.ts';
import type { KeyView } from '../../src/kv/contract/view.ts';
import { encodeBatch } from '../../src/kv/entry/entry.ts';
import type { ExecutorLimits } from '../../src/kv/leader/executor-options.ts';
import type { ObjectRules } from '../../src/kv/leader/long-reads.ts';
import type { AccessListener } from '../../src/kv/leader/view.ts';
import { hlcTimestamp, NEVER } from '../../src/platform/index.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { bytes, LoneGroup, Outcome, text } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

const HEAD_BYTES = 2;

const objects: ObjectRules = {
  align: (key) => (key[0] === 0x6f ? key.subarray(0, HEAD_BYTES) : key),
  after: (key) =>
    key[0] === 0x6f
      ? Buffer.concat([key.subarray(0, HEAD_BYTES), Buffer.from([0xff])])
      : Buffer.concat([key, Buffer.alloc(1)]),
  bodies: {
    bodyOf: (key) =>
      key[0] === 0x6f && key.length > HEAD_BYTES + 1
        ? {
            headLength: HEAD_BYTES,
            prefixLength: HEAD_BYTES + 2,
            incarnation: key.subarray(HEAD_BYTES + 1, HEAD_BYTES + 2),
          }
        : undefined,
    incarnationIn: (_head, value) => (value[0] === 0x4c ? value.subarray(1, 2) : undefined),
  },
};

const rowKey = (letter: string, number: number, at: number): Buffer => bytes(`o${letter}e${number}${at}`);

function bedOf(limits: Partial<ExecutorLimits> = {}, onAccess: AccessListener = () => {}): LoneGroup {
  return new LoneGroup(
    { softRows: 20, maxRowsPerCommand: 100, ...limits },
    new MemoryStore({ bodies: objects.bodies }),
    {
      objects,
      onAccess,
    },
  );
}

interface Command<Reply> {
  readonly evaluate: (view: KeyView) => Reply;
  readonly keys?: readonly string[];
  readonly isWrite?: boolean;
  readonly readsPart?: boolean;
  readonly hasOtherWay?: boolean;
  readonly source?: object;
  readonly order?: number;
}

let completions = 0;

function ask<Reply>(bed: LoneGroup, { evaluate, keys = [], ...rest }: Command<Reply>): Outcome<Reply> {
  const outcome = new Outcome<Reply>();
  bed.executor.submit({
    ...rest,
    storageKeys: () => keys.map(bytes),
    evaluate: (view) => {
      outcome.evaluations++;
      return evaluate(view);
    },
    complete: (error, reply) => {
      outcome.order = ++completions;
      outcome.calls.push({ error, reply: reply as Reply | undefined });
    },
  });
  return outcome;
}

/** What waits for nothing but a turn of the program comes to where it waits for more. */
async function microtasks(): Promise<void> {
  for (let micro = 0; micro < 50; micro++) await Promise.resolve();
}

/** Turns pass until all are done; `between` comes before each. */
async function until(
  bed: LoneGroup,
  outcomes: readonly Outcome<unknown>[],
  between: (turn: number) => void = () => {},
) {
  for (let turn = 0; outcomes.some(({ isDone }) => !isDone); turn++) {
    assert.ok(turn < 1_000, 'it ends');
    await microtasks();
    between(turn);
    bed.settle();
    bed.scheduler.passTurn();
  }
}

/** Writes an object of so many rows, all with the same value, in pieces as large as a command may be. */
function fill(bed: LoneGroup, letter: string, number: number, rows: number, value: string): void {
  for (let from = 0; from < rows; from += 50) {
    bed.run((view) => {
      for (let at = from; at < Math.min(rows, from + 50); at++)
        view.put(rowKey(letter, number, at), bytes(value), NEVER);
    });
  }
  bed.run((view) => view.put(bytes(`o${letter}`), bytes(`L${number}${rows}`), NEVER));
  bed.settle();
}

/** All values of an object's rows. */
function valuesOf(view: KeyView, letter: string): string {
  const head = text(view.get(bytes(`o${letter}`)));
  if (head === undefined) return 'none';
  const [number, rows] = [Number(head[1]), Number(head.slice(2))];
  const values = new Map<string, number>();
  for (let at = 0; at < rows; at++) {
    const value = text(view.get(rowKey(letter, number, at))) ?? 'gone';
    values.set(value, (values.get(value) ?? 0) + 1);
  }
  return [...values].map(([value, times]) => `${times} ${value}`).join();
}

const read = (bed: LoneGroup, letter = 'a', rest: Partial<Command<string>> = {}): Outcome<string> =>
  ask(bed, { evaluate: (view) => valuesOf(view, letter), keys: [`o${letter}`], isWrite: false, ...rest });

const touch = (view: KeyView, rows: number): void => {
  for (let at = 0; at < rows; at++) view.get(bytes(`k${at}`));
};

describe('a command that writes and touches too many rows', () => {
  test('is refused, and nothing of it happens', () => {
    const bed = bedOf();
    const most = bed.run((view) => {
      touch(view, 99);
      view.put(bytes('x'), bytes('most'), NEVER);
    });
    bed.settle();
    assert.equal(most.error, undefined);
    const entries = bed.raft.log.length;
    const beyond = bed.run((view) => {
      view.put(bytes('x'), bytes('beyond'), NEVER);
      touch(view, 100);
    });
    assert.ok(beyond.error instanceof EvaluationTooLongError);
    assert.equal(beyond.error.message, 'the command touches more than 100 rows beside those that it names');
    const writer = bed.run((view) => {
      for (let at = 0; at < 101; at++) view.delete(bytes(`x${at}`));
    });
    assert.ok(writer.error instanceof EvaluationTooLongError);
    bed.settle();
    assert.equal(bed.raft.log.length, entries);
    assert.equal(bed.get('x').reply, 'most');
  });

  test('is refused although it has caught that, and can do no more', () => {
    const bed = bedOf();
    let rows = 0;
    const outcome = bed.run((view) => {
      view.put(bytes('x'), bytes('1'), NEVER);
      for (let at = 0; at < 300; at++) {
        try {
          view.get(bytes(`k${at}`));
          rows++;
        } catch {}
      }
      return 'done';
    });
    assert.ok(outcome.error instanceof EvaluationTooLongError);
    assert.equal(rows, 99);
    assert.equal(bed.get('x').reply, undefined);
  });

  test('is refused for its time once it has touched many', () => {
    const bed = bedOf({ maxRowsPerCommand: 65_536 });
    const slow = (rows: number) =>
      bed.run((view) => {
        touch(view, rows / 2);
        bed.clock.advance(300);
        touch(view, rows / 2);
        view.put(bytes('x'), bytes(String(rows)), NEVER);
      });
    const few = slow(1_000);
    bed.settle();
    assert.equal(few.error, undefined, 'a busy machine is not the fault of a small command');
    assert.ok(slow(5_000).error instanceof EvaluationTooLongError);
    assert.equal(bed.get('x').reply, '1000');
  });

  test('is refused early when there is another way for it', () => {
    const bed = bedOf({ maxRowsPerCommand: 1_000 });
    const touching = (rows: number, hasOtherWay: boolean) =>
      ask(bed, {
        hasOtherWay,
        evaluate: (view) => {
          touch(view, rows);
          view.put(bytes('x'), bytes('1'), NEVER);
        },
      });
    const outcomes = [touching(500, false), touching(19, true)];
    bed.settle();
    for (const { error } of outcomes) assert.equal(error, undefined);
    assert.ok(touching(21, true).error instanceof EvaluationTooLongError);
  });

  test('may touch some for everything that it names, however long that takes', () => {
    const bed = bedOf({ maxRowsPerTurn: 100_000, maxTurnMs: 10_000 });
    const keys = Array.from({ length: 600 }, (_, at) => `k${at}`);
    const touching = (rows: number) =>
      ask(bed, {
        keys,
        evaluate: (view) => {
          for (let at = 0; at < rows; at++) {
            if (at % 1_000 === 0) bed.clock.advance(200);
            view.put(bytes(`k${at % keys.length}`), bytes('v'), NEVER);
          }
        },
      });
    const most = [touching(8 * 600), touching(8 * 600 + 99)];
    bed.settle();
    for (const { error } of most) assert.equal(error, undefined, 'eight a key, in a second');
    assert.ok(touching(8 * 600 + 101).error instanceof EvaluationTooLongError);
    assert.equal(bed.get('k0').reply, 'v');
  });

  test('is refused for its time only once what it names is done', () => {
    const bed = bedOf({ maxRowsPerCommand: 65_536 });
    const slow = (named: number) =>
      ask(bed, {
        keys: Array.from({ length: named }, (_, at) => `k${at}`),
        evaluate: (view) => {
          touch(view, 2_500);
          bed.clock.advance(300);
          touch(view, 2_500);
          view.put(bytes('x'), bytes('1'), NEVER);
        },
      });
    assert.ok(slow(100).error instanceof EvaluationTooLongError);
    const named = slow(700);
    bed.settle();
    assert.equal(named.error, undefined);
    assert.equal(named.isDone, true);
  });

  test('that is not known to only read is one', () => {
    const bed = bedOf();
    assert.ok(bed.run((view) => touch(view, 200)).error instanceof EvaluationTooLongError);
  });
});

describe('commands of one turn that each take their time', () => {
  test('are not all evaluated in it, though they touch few rows', () => {
    const bed = bedOf();
    const slow = (at: number) =>
      ask(bed, {
        evaluate: (view) => {
          touch(view, 99);
          bed.clock.advance(25);
          view.put(bytes(`x${at}`), bytes('1'), NEVER);
        },
      });
    const outcomes = Array.from({ length: 8 }, (_, at) => slow(at));
    assert.equal(
      outcomes.filter(({ evaluations }) => evaluations > 0).length,
      4,
      'a look at the second, the time of two more',
    );
    for (let turn = 0; turn < 4; turn++) {
      bed.settle();
      bed.scheduler.passTurn();
    }
    for (const { error, isDone } of outcomes) assert.deepEqual([error, isDone], [undefined, true]);
  });
});

describe('a command that only reads and reads many rows', () => {
  test('is answered from rows that are read beforehand', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 500, 'v');
    const outcome = read(bed);
    assert.equal(outcome.isDone, false);
    await until(bed, [outcome]);
    assert.equal(outcome.reply, '500 v');
    assert.equal(outcome.evaluations, 2);
    fill(bed, 'b', 1, 10, 'v');
    assert.equal(read(bed, 'b').reply, '10 v', 'a short one at once');
  });

  test('goes that way by its time too, once it has read some thousand rows', async () => {
    const bed = bedOf({ softRows: 20_000 });
    fill(bed, 'a', 1, 100, 'v');
    const readFor = (rows: number, tookMs: number): Outcome<number> =>
      ask(bed, {
        keys: ['oa'],
        isWrite: false,
        evaluate: (view) => {
          for (let at = 0; at < rows; at++) {
            view.get(rowKey('a', 1, at % 100));
            if (at % 1_000 === 999) bed.clock.advance(tookMs);
          }
          return rows;
        },
      });
    assert.equal(readFor(6_000, 3).evaluations, 1, 'eighteen milliseconds');
    assert.equal(readFor(3_500, 20).evaluations, 1, 'few rows on a busy machine');
    const long = readFor(6_000, 6);
    assert.equal(long.isDone, false);
    await until(bed, [long]);
    assert.deepEqual([long.evaluations, long.reply], [2, 6_000]);
  });

  test('goes that way by the time that its pages take; one that writes and has another way after four times as long', () => {
    const bed = bedOf({ softRows: 20_000, maxRowsPerCommand: 65_536 });
    const keys = Array.from({ length: 400 }, (_, at) => bytes(`k${at}`));
    bed.run((view) => {
      for (const key of keys) view.put(key, Buffer.alloc(1_024), NEVER);
    });
    const readBy = (msA100: number, rest: Partial<Command<void>>): number => {
      bed.settle();
      bed.scheduler.passTurn();
      let read = 0;
      const evaluate = (view: KeyView): void => {
        for (; read < 400; read++) {
          if (read % 100 === 0) bed.clock.advance(msA100);
          view.get(keys[read]!);
        }
      };
      ask(bed, { evaluate, keys: ['k0'], ...rest });
      return read;
    };
    assert.deepEqual([readBy(9, { isWrite: false }), readBy(15, { isWrite: false })], [400, 386]);
    assert.deepEqual([readBy(36, { hasOtherWay: true }), readBy(45, { hasOtherWay: true })], [400, 386]);
  });

  test('goes that way when it is about to compute for long; one that writes does so where it is', async () => {
    const bed = bedOf();
    const computing = (isWrite: boolean) => {
      let computed = 0;
      const evaluate = (view: KeyView): number => {
        view.works?.(21);
        return ++computed;
      };
      return ask(bed, { evaluate, isWrite });
    };
    const [reader, writer] = [computing(false), computing(true)];
    assert.deepEqual([reader.evaluations, reader.isDone], [1, false]);
    await until(bed, [reader, writer]);
    assert.deepEqual([reader.reply, reader.evaluations], [1, 2]);
    assert.deepEqual([writer.reply, writer.evaluations], [1, 1]);
  });

  test('goes that way by its bytes too, unless it has named as many rows', async () => {
    const bed = bedOf({ softRows: 1_000, softBytes: 20_000 });
    fill(bed, 'a', 1, 40, 'v'.repeat(400));
    fill(bed, 'b', 1, 40, 'v'.repeat(600));
    assert.equal(read(bed, 'a').evaluations, 1);
    const beyond = read(bed, 'b');
    assert.equal(beyond.isDone, false, 'pages of 24,000 bytes');
    await until(bed, [beyond]);
    assert.equal(beyond.evaluations, 2);
    const keys = Array.from({ length: 40 }, (_, at) => rowKey('b', 1, at).toString());
    const named = ask(bed, {
      keys: ['ob', ...keys],
      isWrite: false,
      evaluate: (view) => keys.filter((key) => view.get(bytes(key)) !== undefined).length,
    });
    assert.equal(named.reply, 40);
    fill(bed, 'c', 1, 10, 'v'.repeat(100_000));
    assert.equal(read(bed, 'c').isDone, true, 'a long value counts as 1,024 bytes');
  });

  test('goes that way when what it names is very large, each of it looked up once', async () => {
    const bed = bedOf();
    const mib = 1024 * 1024;
    bed.run((view) => view.put(bytes('large'), Buffer.alloc(6 * mib), NEVER));
    bed.settle();
    const bytesIn = (times: number): Outcome<number> =>
      ask(bed, {
        keys: ['large'],
        isWrite: false,
        evaluate: (view) => {
          let sum = 0;
          for (let at = 0; at < times; at++) sum += view.get(bytes('large'))!.value.length;
          return sum;
        },
      });
    assert.equal(bytesIn(3).reply, 18 * mib, 'the last one may go beyond');
    const beyond = bytesIn(4);
    assert.equal(beyond.isDone, false);
    await until(bed, [beyond]);
    assert.equal(beyond.reply, 24 * mib);
    assert.equal(beyond.evaluations, 2);
  });

  test('sees one moment, whatever is written meanwhile, and everything that was acknowledged before', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 3_000, 'first');
    bed.run((view) => view.put(rowKey('a', 1, 0), bytes('acknowledged'), NEVER));
    bed.settle();
    const outcome = read(bed);
    await until(bed, [outcome], (turn) => {
      bed.run((view) => {
        for (let at = 10 * turn; at < 10 * turn + 10; at++) view.put(rowKey('a', 1, at), bytes(`turn ${turn}`), NEVER);
      });
    });
    const [one, two, ...others] = outcome.reply!.split(',');
    assert.deepEqual(others, [], 'rows of one moment, at most with those of the turn that it began in');
    assert.match(one!, /1 acknowledged|10 turn 0/);
    assert.match(two!, /29\d\d first/);
  });

  for (const is of [1, 2]) {
    const was = 3 - is;
    test(`does not mix up what an object is and what it was (${is}, ${was})`, async () => {
      const booked: [string, number][] = [];
      const bed = bedOf({}, (key, isWrite, size) => {
        if (!isWrite && key.length === HEAD_BYTES) booked.push([key.toString(), size]);
      });
      fill(bed, 'a', was, 300, 'old');
      fill(bed, 'a', is, 60, 'new');
      bed.run((view) => view.delete(rowKey('a', is, 7)));
      bed.settle();
      const outcome = read(bed);
      await until(bed, [outcome]);
      assert.equal(outcome.reply, '59 new,1 gone');
      const size = Array.from({ length: 60 }, (_, at) => (at === 7 ? 0 : rowKey('a', is, at).length + 3));
      const total = size.reduce((sum, one) => sum + one, 'L260'.length);
      assert.deepEqual(booked.at(-1), ['oa', total], 'what it is, and no more, is booked under the object');
    });
  }

  test('reads objects too that it had not named', async () => {
    const bed = bedOf();
    for (const letter of ['a', 'b', 'c']) fill(bed, letter, 1, 40, letter);
    const outcome = ask(bed, {
      evaluate: (view) => ['a', 'b', 'c'].map((letter) => valuesOf(view, letter)).join(';'),
      keys: ['oa'],
      isWrite: false,
    });
    await until(bed, [outcome]);
    assert.equal(outcome.reply, '40 a;40 b;40 c');
  });

  test('is given the rows that it says it will read, when it wants a part of an object', async () => {
    const bed = bedOf({ maxReadRows: 500 });
    fill(bed, 'a', 1, 3_000, 'v');
    const part: Command<string> = {
      keys: ['oa'],
      isWrite: false,
      readsPart: true,
      evaluate: (view) => {
        if (view.get(bytes('oa')) === undefined) return 'none';
        const rows = Array.from({ length: 100 }, (_, at) => rowKey('a', 1, 1_000 + at));
        if (view.hasWholeObjects !== true) view.prefetch?.(rows);
        const found = rows.filter((row) => text(view.get(row)) === 'v').length;
        return `${found} and ${view.get(rowKey('a', 1, 5_000)) === undefined ? 'no more' : 'more'}`;
      },
    };
    const outcome = ask(bed, part);
    await until(bed, [outcome]);
    assert.equal(outcome.reply, '100 and no more');
    assert.equal(outcome.evaluations, 4, 'stopped, over the head, over the rows, over what is not there');
    const all = ask(bed, { ...part, readsPart: false });
    await until(bed, [all]);
    assert.match(all.error!.message, /reads more than 500 rows/);
  });

  test('is given all rows after all, when it does not say which rows it will read', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 3_000, 'v');
    const outcome = read(bed, 'a', { readsPart: true });
    await until(bed, [outcome]);
    assert.equal(outcome.reply, '3000 v');
    assert.ok(outcome.evaluations < 20, `${outcome.evaluations} evaluations`);
  });

  test('is refused when what it reads does not fit into memory, like one that asks for ever more', async () => {
    const bed = bedOf({ maxReadRows: 200, maxReadBytes: 4_000 });
    fill(bed, 'a', 1, 250, 'v');
    fill(bed, 'b', 1, 30, 'v'.repeat(200));
    fill(bed, 'c', 1, 190, 'v');
    const outcomes = ['a', 'b', 'c'].map((letter) => read(bed, letter));
    const restless = ask(bed, {
      isWrite: false,
      evaluate: (view) => {
        for (let at = 0; ; at++) view.get(bytes(`k${at}`));
      },
    });
    await until(bed, [...outcomes, restless]);
    assert.deepEqual(
      outcomes.map(({ error }) => error?.message),
      [...Array.from({ length: 2 }, () => 'the command reads more than 200 rows or 4000 bytes'), undefined],
    );
    assert.ok(restless.error instanceof EvaluationTooLongError);
  });

  test('says what it throws', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 40, 'v');
    const outcome = read(bed, 'a', {
      evaluate: (view) => {
        valuesOf(view, 'a');
        throw new RangeError('no');
      },
    });
    await until(bed, [outcome]);
    assert.ok(outcome.error instanceof RangeError);
  });

  test('keeps the order of its source: what came before it it sees, what comes behind it waits', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 40, 'v');
    const source = {};
    const write = (order: number): Outcome<string> =>
      ask(bed, {
        source,
        order,
        keys: ['oa'],
        evaluate: (view) => {
          view.put(rowKey('a', 1, order), bytes(`write ${order}`), NEVER);
          return 'OK';
        },
      });
    const outcomes = [write(1), read(bed, 'a', { source, order: 2 }), write(3), read(bed, 'a', { source, order: 4 })];
    await until(bed, outcomes);
    assert.deepEqual(
      outcomes.map(({ reply }) => reply),
      ['OK', '39 v,1 write 1', 'OK', '38 v,1 write 1,1 write 3'],
    );
  });

  test('sees what came before it also when that has to be done again', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 40, 'v');
    const source = {};
    const increment = ask(bed, {
      source,
      order: 1,
      keys: ['oa'],
      evaluate: (view) => {
        const before = text(view.get(rowKey('a', 1, 3)))!;
        view.put(rowKey('a', 1, 3), bytes(`${before}+`), NEVER);
        return before;
      },
    });
    const outcome = read(bed, 'a', { source, order: 2 });
    const behind = ask(bed, {
      source,
      order: 3,
      keys: ['oa'],
      evaluate: (view) => view.put(rowKey('a', 1, 5), bytes('behind'), NEVER),
    });
    let foreignTs = bed.store.latest(bytes('oa'))!.commitTs;
    for (const value of ['w', 'x']) {
      bed.scheduler.endTurn();
      await microtasks();
      // Somebody whose entry was ahead in the log has written what it had read.
      foreignTs = hlcTimestamp(foreignTs + 1n);
      const foreign = { unit: 0, key: rowKey('a', 1, 3), value: bytes(value), expireTs: NEVER, end: undefined };
      bed.raft.apply(encodeBatch(foreignTs, 1, [], [foreign]));
      bed.raft.commit();
      await microtasks();
    }
    await until(bed, [increment, outcome, behind]);
    assert.equal(increment.evaluations, 3);
    assert.equal(increment.reply, 'x');
    assert.equal(outcome.reply, '39 v,1 x+');
  });

  test('sees nothing by halves of what is on its way when it begins', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 3_000, 'v');
    bed.set('other', '1');
    bed.scheduler.endTurn();
    const outcome = read(bed);
    await microtasks();
    bed.run((view) => {
      for (const at of [0, 2_999]) view.put(rowKey('a', 1, at), bytes('w'), NEVER);
    });
    // The entry that was in flight is through, the one that was gathered behind it is not.
    bed.raft.commit();
    await microtasks();
    await until(bed, [outcome]);
    assert.equal(outcome.reply, '2 w,2998 v');
  });

  test('is told when this node leads no more', async () => {
    const bed = bedOf();
    fill(bed, 'a', 1, 5_000, 'v');
    const outcomes = [read(bed), read(bed)];
    bed.scheduler.passTurn();
    await microtasks();
    bed.raft.stepDown();
    await until(bed, outcomes);
    for (const { error } of outcomes) assert.ok(error instanceof NotLeaderError);
  });
});
