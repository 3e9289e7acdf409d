import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { linearizability, registerModel } from '../../jepsen/checkers/linearizability.ts';
import type { Op, Verdict } from '../../jepsen/history.ts';
import { history } from './histories.ts';

const checker = linearizability({
  model: registerModel,
  cut(invoke, completion) {
    if (invoke.f === 'read') return { key: 'x', input: undefined, output: completion?.value };
    return {
      key: 'x',
      input: invoke.value,
      output: invoke.f === 'cas' ? completion?.value : (completion?.value ?? undefined),
    };
  },
});

const table: { name: string; valid: Verdict; ops: Op[] }[] = [
  { name: 'an empty history', valid: true, ops: [] },
  {
    name: 'a read that sees an earlier write',
    valid: true,
    ops: history([0, 'invoke', 'write', 1], [0, 'ok', 'write', 1], [1, 'invoke', 'read'], [1, 'ok', 'read', 1]),
  },
  {
    name: 'a stale read after the write was acknowledged',
    valid: false,
    ops: history([0, 'invoke', 'write', 1], [0, 'ok', 'write', 1], [1, 'invoke', 'read'], [1, 'ok', 'read', null]),
  },
  {
    name: 'either value while the write is under way',
    valid: true,
    ops: history(
      [0, 'invoke', 'write', 1],
      [1, 'invoke', 'read'],
      [1, 'ok', 'read', null],
      [2, 'invoke', 'read'],
      [2, 'ok', 'read', 1],
      [0, 'ok', 'write', 1],
    ),
  },
  {
    name: 'reads that go back while the write is under way',
    valid: false,
    ops: history(
      [0, 'invoke', 'write', 1],
      [1, 'invoke', 'read'],
      [1, 'ok', 'read', 1],
      [2, 'invoke', 'read'],
      [2, 'ok', 'read', null],
      [0, 'ok', 'write', 1],
    ),
  },
  {
    name: 'an unknown write that takes effect much later',
    valid: true,
    ops: history(
      [0, 'invoke', 'write', 1],
      [0, 'info', 'write', 1],
      [1, 'invoke', 'read'],
      [1, 'ok', 'read', null],
      [1, 'invoke', 'read'],
      [1, 'ok', 'read', 1],
    ),
  },
  {
    name: 'a refused write that is visible',
    valid: false,
    ops: history([0, 'invoke', 'write', 1], [0, 'fail', 'write', 1], [1, 'invoke', 'read'], [1, 'ok', 'read', 1]),
  },
  {
    name: 'two compare-and-sets that both succeed on one value',
    valid: false,
    ops: history(
      [0, 'invoke', 'write', 1],
      [0, 'ok', 'write', 1],
      [1, 'invoke', 'cas', [1, 2]],
      [2, 'invoke', 'cas', [1, 3]],
      [1, 'ok', 'cas', true],
      [2, 'ok', 'cas', true],
    ),
  },
  {
    name: 'a compare-and-set that fails although its value held throughout',
    valid: false,
    ops: history(
      [0, 'invoke', 'write', 1],
      [0, 'ok', 'write', 1],
      [1, 'invoke', 'cas', [1, 2]],
      [1, 'ok', 'cas', false],
    ),
  },
];

describe('the linearizability checker', () => {
  for (const { name, valid, ops } of table) {
    test(`calls ${name} ${valid === true ? 'valid' : 'invalid'}`, () => {
      assert.equal(checker.check(ops).valid, valid, checker.check(ops).problems.join('\n'));
    });
  }

  test('says unknown, not valid, when its bounds are too small', () => {
    const bounded = linearizability({
      model: registerModel,
      cut: (i, c) => ({ key: 'x', input: i.value, output: c?.value }),
      maxSteps: 2,
    });
    const ops = history(
      [0, 'invoke', 'write', 1],
      [1, 'invoke', 'write', 2],
      [2, 'invoke', 'write', 3],
      [0, 'ok', 'write', 1],
      [1, 'ok', 'write', 2],
      [2, 'ok', 'write', 3],
    );
    assert.equal(bounded.check(ops).valid, 'unknown');
  });

  test('names the operation that no order explains', () => {
    const stale = table.find(({ name }) => name.startsWith('a stale read'))!;
    assert.match(checker.check(stale.ops).problems[0]!, /process 1 read/);
  });

  /** A register that takes effect at a random point between invocation and completion is linearizable by construction. */
  function simulate(
    seedOps: readonly { process: number; write: number | undefined }[],
    order: readonly number[],
  ): Op[] {
    const events: { at: number; op: Omit<Op, 'index' | 'time'> }[] = [];
    let register: number | null = null;
    const busyUntil = new Map<number, number>();
    const effects = seedOps.map((op, i) => ({
      op,
      start: i * 4,
      effect: i * 4 + 1 + (order[i]! % 9),
      end: i * 4 + 12,
    }));
    const sequential = effects.filter(({ op, start, end }) => {
      if ((busyUntil.get(op.process) ?? -1) >= start) return false;
      busyUntil.set(op.process, end);
      return true;
    });
    const observed = new Map<object, number | null>();
    for (const entry of [...sequential].sort((a, b) => a.effect - b.effect)) {
      if (entry.op.write !== undefined) register = entry.op.write;
      observed.set(entry, register);
    }
    for (const entry of sequential) {
      const f = entry.op.write === undefined ? 'read' : 'write';
      const value = entry.op.write ?? null;
      events.push({ at: entry.start, op: { process: entry.op.process, type: 'invoke', f, value } });
      events.push({
        at: entry.end + 0.5,
        op: { process: entry.op.process, type: 'ok', f, value: f === 'read' ? observed.get(entry) : value },
      });
    }
    return events.sort((a, b) => a.at - b.at).map(({ op }, index) => ({ ...op, index, time: index }));
  }

  const script = fc.array(fc.record({ process: fc.nat(4), write: fc.option(fc.nat(1000), { nil: undefined }) }), {
    maxLength: 40,
  });

  test('accepts every history of a real atomic register', () => {
    fc.assert(
      fc.property(script, fc.array(fc.nat(100), { minLength: 40, maxLength: 40 }), (ops, order) => {
        assert.equal(checker.check(simulate(ops, order)).valid, true);
      }),
      { numRuns: 200 },
    );
  });

  test('rejects such a history once a read returns a value that nobody wrote', () => {
    fc.assert(
      fc.property(script, fc.array(fc.nat(100), { minLength: 40, maxLength: 40 }), fc.nat(), (ops, order, pick) => {
        const good = simulate(ops, order);
        const reads = good.filter((op) => op.type === 'ok' && op.f === 'read');
        fc.pre(reads.length > 0);
        const victim = reads[pick % reads.length]!;
        const bad = good.map((op) => (op === victim ? { ...op, value: 5000 } : op));
        assert.equal(checker.check(bad).valid, false);
      }),
      { numRuns: 200 },
    );
  });
});
