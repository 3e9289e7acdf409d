import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDynamoServer } from '../../../src/adapter/dynamodb/index.ts';
import type { ReplicaReads, ScanPage, TransactionRunner } from '../../../src/kv/index.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import { FakeKv } from '../../support/fake-kv.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';

/** Leads every group, and has lost the others: nothing that is asked of it is answered before it refuses. */
class LonelyKv extends FakeKv {
  asked = 0;

  override scan(): Promise<ScanPage> {
    this.asked++;
    return new Promise(() => undefined);
  }
}

test('a node that stops does not wait for the groups that its work on tables has asked', async () => {
  const kv = new LonelyKv();
  const clock = new ManualClock();
  const scheduler = new ManualScheduler(clock);
  const failures: unknown[] = [];
  const server = openDynamoServer({
    kv,
    transactions: {} as TransactionRunner,
    reads: {} as ReplicaReads,
    clock,
    scheduler,
    random: new SeededRandom(1),
    logger: undefined,
    listen: undefined,
    feature: () => ({ kind: 'active' }),
    onBackgroundError: (error) => failures.push(error),
  });
  // The first look for jobs, and the first round of upkeep.
  scheduler.advance(1_000);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  assert.ok(kv.asked > 0);
  let isStopped = false;
  void server.stop().then(() => {
    isStopped = true;
  });
  // No time passes: what waits for any does not settle.
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  assert.equal(isStopped, true);
  assert.deepEqual(failures, []);
});
