/** What a leader tells of the changes that it applies. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ChangeListener } from '../../src/kv/contract/changes.ts';
import { encodePurge } from '../../src/kv/entry/index.ts';
import { bytes, LoneGroup } from '../support/lone-group.ts';

class Listener implements ChangeListener {
  isListening = true;
  readonly told: string[] = [];

  changed(_group: unknown, key: Buffer, hasExpired: boolean): void {
    this.told.push(`${key.toString('latin1')}${hasExpired ? ' (expired)' : ''}`);
  }

  deleted(_group: unknown, start: Buffer, end: Buffer): void {
    this.told.push(`${start.toString('latin1')}..${end.toString('latin1')}`);
  }

  began(): void {
    this.told.push('began');
  }
}

function stage(): { bed: LoneGroup; listener: Listener } {
  const listener = new Listener();
  const bed = new LoneGroup({ pipelineDepth: 8 }, undefined, { changes: listener });
  assert.deepEqual(listener.told.splice(0), ['began']);
  return { bed, listener };
}

describe('changes of a group', () => {
  test('are told when they are applied, ahead of the reply, each key of an entry once', () => {
    const { bed, listener } = stage();
    const first = bed.incr('n');
    bed.incr('n');
    bed.delete('other');
    bed.set('k', 'v');
    bed.scheduler.endTurn();
    assert.deepEqual(listener.told, []);
    const read = bed.run(() => listener.told.length);
    bed.raft.commit();
    assert.ok(first.isDone && read.isDone);
    assert.deepEqual(listener.told, ['n', 'k']);
    bed.run((view) => view.deleteRange(bytes('a'), bytes('z')));
    bed.settle();
    assert.deepEqual(listener.told.slice(2), ['a..z']);
  });

  test('that are refused are not told', () => {
    const { bed, listener } = stage();
    bed.set('n', '5');
    bed.settle();
    bed.incr('n');
    bed.incr('m');
    bed.scheduler.endTurn();
    bed.overtake((other) => other.set('n', '100'));
    listener.told.length = 0;
    bed.raft.commit(1);
    assert.deepEqual(listener.told, ['m']);
    bed.settle();
    assert.deepEqual(listener.told, ['m', 'n']);
  });

  test('say that what they replace had expired: once, by whoever comes first', () => {
    const { bed, listener } = stage();
    bed.set('over', 'x', 10);
    bed.set('purged', 'x', 10);
    bed.set('alive', 'x', 10_000);
    bed.settle();
    const versions = ['over', 'purged', 'alive'].map((key) => {
      const { commitTs } = bed.store.latest(bytes(key))!;
      return { key: bytes(key), commitTs };
    });
    bed.clock.advance(50);
    listener.told.length = 0;
    bed.set('over', 'y');
    bed.set('alive', 'y');
    bed.settle();
    bed.raft.apply(encodePurge(bed.hlc.next(), versions));
    bed.set('purged', 'z');
    bed.settle();
    assert.deepEqual(listener.told, ['over (expired)', 'alive', 'purged (expired)', 'purged']);
  });

  test('are told by the leader only, and nobody asks for them while nobody listens', () => {
    const { bed, listener } = stage();
    listener.isListening = false;
    bed.set('a', '1');
    bed.settle();
    listener.isListening = true;
    bed.set('b', '1');
    bed.scheduler.endTurn();
    bed.raft.stepDown();
    bed.raft.apply(bed.raft.log.at(-1)!);
    assert.deepEqual(listener.told, []);
    bed.raft.leaderId = bed.executor['nodeId' as never];
    bed.raft.lead();
    assert.deepEqual(listener.told, ['began']);
  });
});
