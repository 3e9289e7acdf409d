import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeEntry } from '../../src/kv/entry/decoded-entry.ts';
import { Maintenance, type MaintenanceOptions } from '../../src/kv/leader/maintenance.ts';
import { bytes, LoneGroup } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

class MaintainedGroup extends LoneGroup {
  readonly memory: MemoryStore;
  readonly maintenance: Maintenance;
  readonly errors: unknown[] = [];

  constructor(options: Partial<MaintenanceOptions> = {}) {
    const memory = new MemoryStore();
    super({}, memory);
    this.memory = memory;
    const { executor, store, scheduler } = this;
    this.maintenance = new Maintenance([{ executor, store }], scheduler, options, (error) => this.errors.push(error));
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
