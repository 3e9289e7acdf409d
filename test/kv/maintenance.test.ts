import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BusyError } from '../../src/kv/contract/errors.ts';
import { AwaitedKeys, type WaitState } from '../../src/kv/contract/waiting.ts';
import { decodeEntry } from '../../src/kv/entry/decoded-entry.ts';
import { type ExpiryWork, Maintenance, type MaintenanceOptions } from '../../src/kv/leader/maintenance.ts';
import { hlcTimestamp, NEVER } from '../../src/platform/index.ts';
import { bytes, LoneGroup } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

class MaintainedGroup extends LoneGroup {
  readonly memory: MemoryStore;
  readonly maintenance: Maintenance;
  readonly errors: unknown[] = [];

  constructor(options: Partial<MaintenanceOptions> = {}, expiryWork?: ExpiryWork) {
    const memory = new MemoryStore();
    super({}, memory);
    this.memory = memory;
    const { executor, store, scheduler } = this;
    const onError = (error: unknown) => this.errors.push(error);
    this.maintenance = new Maintenance([{ executor, store }], scheduler, options, onError, expiryWork);
    this.maintenance.start();
  }

  /** Moves time and lets promises and proposals run. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 50) {
      this.scheduler.advance(50);
      for (let round = 0; round < 20; round++) {
        await Promise.resolve();
        this.settle();
      }
    }
  }

  opcodes(): string[] {
    return this.raft.log.map((payload) => decodeEntry(payload).opcode);
  }
}

describe('maintenance', () => {
  test('deletes expired keys on the leader, in bounded batches', async () => {
    const bed = new MaintainedGroup({ purgeBatchKeys: 10 });
    for (let at = 0; at < 25; at++) bed.set(`k${at}`, 'v', 2000);
    bed.set('stays', 'v');
    bed.settle();
    await bed.pass(1500);
    assert.equal(bed.memory.liveKeys(), 26);
    await bed.pass(2000);
    assert.equal(bed.memory.liveKeys(), 1);
    assert.equal(bed.opcodes().filter((opcode) => opcode === 'purgeExpired').length, 3);
    assert.equal(bed.maintenance.expiredKeys, 25);
    assert.deepEqual(bed.errors, []);
  });

  test('leaves expired keys where they are while it is told to', async () => {
    const bed = new MaintainedGroup();
    bed.maintenance.isPurging = false;
    bed.set('k', 'v', 100);
    bed.settle();
    await bed.pass(3000);
    assert.equal(bed.memory.liveKeys(), 1);
    const read = bed.get('k');
    bed.settle();
    assert.equal(read.reply, undefined);
    bed.maintenance.isPurging = true;
    await bed.pass(3000);
    assert.equal(bed.memory.liveKeys(), 0);
  });

  test('does not purge what was written again meanwhile', async () => {
    const bed = new MaintainedGroup();
    bed.set('k', 'old', 100);
    bed.settle();
    bed.clock.advance(200);
    bed.set('k', 'new');
    bed.settle();
    await bed.pass(1500);
    const read = bed.get('k');
    bed.settle();
    assert.equal(read.reply, 'new');
  });

  test('is noticed by whoever waits for a key that has gone', async () => {
    const bed = new MaintainedGroup();
    bed.set('k', 'v', 2000);
    bed.settle();
    let reply: unknown;
    const wait: WaitState = { waitedMs: 0, isNotice: false, readyKey: undefined, isSuspended: false, isEnded: false };
    bed.executor.submit({
      wait,
      evaluate: (view) =>
        view.get(bytes('k')) === undefined ? 'gone' : new AwaitedKeys([bytes('k')], { name: 'any', takesTurns: false }),
      complete: (_, answered) => {
        reply = answered;
      },
    });
    await bed.pass(1500);
    assert.equal(reply, undefined);
    await bed.pass(2000);
    assert.equal(reply, 'gone');
  });

  test('does nothing in an idle group', async () => {
    const bed = new MaintainedGroup();
    bed.set('k', 'v');
    bed.settle();
    await bed.pass(3000);
    const entries = bed.raft.log.length;
    const calls = bed.memory.expiredCalls;
    await bed.pass(60_000);
    assert.equal(bed.raft.log.length, entries);
    assert.equal(bed.memory.expiredCalls, calls);
  });

  test('proposes nothing where this node does not lead', async () => {
    const bed = new MaintainedGroup();
    bed.set('k', 'v', 100);
    bed.settle();
    bed.raft.stepDown();
    const entries = bed.raft.log.length;
    await bed.pass(3000);
    assert.equal(bed.raft.log.length, entries);
  });

  test('does the work that an expiry calls for instead of deleting the row', async () => {
    let calls = 0;
    const bed = new MaintainedGroup({}, (key) => {
      if (!key.equals(bytes('alarm'))) return undefined;
      return (view) => {
        calls++;
        view.put(bytes('result'), bytes(`${calls}`), NEVER);
        // The first time there is more to do at once.
        if (calls === 1) view.put(key, bytes('again'), hlcTimestamp(view.ts + 1n));
        else view.delete(key);
      };
    });
    bed.set('alarm', 'v', 100);
    bed.set('plain', 'v', 100);
    bed.settle();
    // One round.
    await bed.pass(1500);
    assert.equal(calls, 2);
    assert.equal(bed.memory.liveKeys(), 1);
    const read = bed.get('result');
    bed.settle();
    assert.equal(read.reply, '2');
    assert.equal(bed.maintenance.expiredKeys, 1);
    assert.deepEqual(bed.errors, []);
  });

  test('deletes a row whose work fails for good, says so, and tries again what could not be done now', async () => {
    let tries = 0;
    const bed = new MaintainedGroup({}, (key) => {
      if (key.equals(bytes('plain'))) return undefined;
      return (view) => {
        if (key.equals(bytes('broken'))) throw new Error('a bug');
        if (++tries < 3) throw new BusyError('try again later');
        view.delete(key);
      };
    });
    for (const key of ['broken', 'busy', 'plain']) bed.set(key, 'v', 100);
    bed.settle();
    await bed.pass(1500);
    assert.equal(bed.memory.liveKeys(), 1);
    assert.deepEqual(
      bed.errors.map((error) => (error as Error).message),
      ['a bug'],
    );
    await bed.pass(3000);
    assert.equal(tries, 3);
    assert.equal(bed.memory.liveKeys(), 0);
  });

  test('goes on after a round that failed', async () => {
    const bed = new MaintainedGroup();
    const { expired } = bed.memory;
    bed.memory.expired = async () => {
      throw new Error('disk trouble');
    };
    bed.set('k', 'v', 100);
    bed.settle();
    await bed.pass(1500);
    assert.equal(bed.errors.length, 1);
    bed.memory.expired = expired;
    await bed.pass(1500);
    assert.equal(bed.store.latest(bytes('k'))?.isTombstone, true);
  });
});
