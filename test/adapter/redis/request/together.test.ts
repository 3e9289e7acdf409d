/** Evaluations of requests that run as one transaction: how many there are, and in how many rounds of reading. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GroupRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import { type Outcome, runTogether, type TogetherItem } from '../../../../src/adapter/redis/request/together.ts';
import type { KeyView } from '../../../../src/kv/contract/view.ts';
import { NEVER } from '../../../../src/platform/index.ts';
import { FakeState, FakeView } from '../../../support/fake-kv.ts';
import { ManualClock } from '../../../support/manual-time.ts';
import { BufferedRunner } from './several-groups.ts';

const COUNT = 8;
const SUM = Buffer.from('sum');

/** Counts one more. */
function add(view: KeyView): number {
  const sum = Number(view.get(SUM)?.value.toString() ?? '0') + 1;
  view.put(SUM, Buffer.from(String(sum)), NEVER);
  return sum;
}

async function run(state: FakeState, evaluate: (view: KeyView, nth: number) => number) {
  const runner = new BufferedRunner(state);
  const outcomes: Outcome[] = [];
  let evaluations = 0;
  const items = Array.from({ length: COUNT }, (_, nth): TogetherItem => {
    const request = {
      journey: { deadlineMs: Number.MAX_SAFE_INTEGER },
      storageKeys: () => [SUM],
      evaluate: (view: KeyView) => {
        evaluations++;
        return evaluate(view, nth);
      },
      assignTo: () => {},
      repeatDraws: () => {},
      emitEffects: () => {},
    };
    return {
      request: request as unknown as GroupRequest,
      source: {},
      keys: request.storageKeys(),
      kin: undefined,
      byItself: () => Promise.reject(new Error('they run together')),
      settle: (outcome) => outcomes.push(outcome),
    };
  });
  await runTogether({ clock: new ManualClock(), commandTimeoutMs: 1_000 }, runner, items);
  assert.deepEqual(
    outcomes,
    items.map((_, nth) => ({ reply: nth + 1 })),
  );
  return { evaluations, rounds: runner.rounds };
}

describe('requests that run together', () => {
  test('are evaluated again only when what they read is not known or has changed', async () => {
    const state = new FakeState();
    const before = new FakeView(state);
    // The later ones find one key after the other, for so many rounds that the earlier ones are done with.
    for (let nth = 0; nth < COUNT; nth++)
      for (let step = 0; step < nth; step++)
        before.put(Buffer.from(`${nth}-${step}`), Buffer.from(`${nth}-${step + 1}`), NEVER);
    before.apply();
    const { evaluations, rounds } = await run(state, (view, nth) => {
      for (let at: Buffer | undefined = Buffer.from(`${nth}-0`); at !== undefined; ) at = view.get(at)?.value;
      return add(view);
    });
    // Without that all of them are in every round.
    assert.ok(evaluations <= (COUNT * (COUNT + 5)) / 2, `${evaluations} evaluations in ${rounds} rounds`);
  });

  test('find out in one round what each will read once those before it have written', async () => {
    const { rounds } = await run(new FakeState(), (view) => {
      const id = add(view);
      assert.equal(view.get(Buffer.from(`job-${id}`)), undefined);
      return id;
    });
    assert.equal(rounds, 2);
  });
});
