/** Logs and states that belong together or not, when a replica is opened. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupId, nodeId } from '../../src/platform/index.ts';
import type { GroupLog } from '../../src/raftengine/contract/types.ts';
import { repairOf } from '../../src/raftengine/founding/starting-point.ts';
import { GROUP, SimulatedEngines, votersOf } from '../support/simulated-engines.ts';

const SEVEN = groupId(7);
const CONF = votersOf(1);

/** A log that holds entries of term 2 from `first` to `last`. */
const logOf = (first: number, last: number, term = 2): GroupLog =>
  ({
    firstIndex: () => first,
    lastIndex: () => last,
    term: (index: number) => (index >= first - 1 && index <= last ? term : undefined),
    hardState: () => ({ term: last === 0 ? 0 : 5, vote: nodeId(3), commitIndex: 1 }),
  }) as unknown as GroupLog;

const at = (index: number, term = 2) => ({ index, term, conf: CONF });
const torn = (message: RegExp) => ({ code: 'REPLICA_TORN', message });

describe('a stored log and a stored state', () => {
  test('belong together when the log begins at or before what was applied and holds it', () => {
    for (const applied of [9, 10, 15, 20])
      assert.equal(repairOf(SEVEN, logOf(10, 20), at(applied), undefined), undefined);
  });

  test('of a founder begin together', () => {
    const write = repairOf(SEVEN, logOf(1, 0, 0), at(1, 1), undefined);
    assert.deepEqual(write?.hardState, { term: 0, vote: 3, commitIndex: 1 });
    assert.deepEqual(write?.resetTo, at(1, 1));
    assert.throws(() => repairOf(SEVEN, logOf(1, 0, 0), at(2, 1), undefined), torn(/which its log does not have/));
  });

  test('are put together when a snapshot was being installed, and when it is the one that was', () => {
    for (const applied of [at(30, 6), at(15, 6)]) {
      const write = repairOf(SEVEN, logOf(10, 20), applied, applied.index);
      assert.deepEqual(write, {
        groupId: SEVEN,
        hardState: { term: 6, vote: 0, commitIndex: applied.index },
        entries: [],
        resetTo: applied,
      });
      for (const installing of [undefined, 29]) {
        assert.throws(
          () => repairOf(SEVEN, logOf(10, 20), applied, installing),
          torn(/entry (30|15) of term 6.*\(10 to 20\)/),
        );
      }
    }
  });

  test('are torn when the state is older than the log', () => {
    assert.throws(() => repairOf(SEVEN, logOf(10, 20), at(8), undefined), torn(/begins at 10, after .* \(8\)/));
    assert.throws(() => repairOf(SEVEN, logOf(2, 20), at(0, 0), undefined), torn(/begins at 2, after .* \(0\)/));
  });
});

test('a replica whose last frames were lost, and whose state has them, does not begin', async () => {
  const cluster = await SimulatedEngines.found({ founders: [1], seed: 3 });
  const node = await cluster.serving();
  for (const text of ['a', 'b', 'c']) assert.equal((await cluster.propose(node, text)).kind, 'applied');
  node.list.flush();
  node.crash();
  const { disk } = node.machine;
  const file = await cluster.simulation.runToEnd(disk.open('node/log/0000000001.wal', { durable: true }));
  const used = file.readSync(0, 1024 * 1024).findLastIndex((byte) => byte !== 0);
  await cluster.simulation.runToEnd(file.write(Buffer.alloc(200), used - 200));
  await assert.rejects(cluster.restart(1), { code: 'REPLICA_TORN', groupId: GROUP });
});
