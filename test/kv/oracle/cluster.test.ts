/** The oracle of whole nodes on simulated machines, whose clocks are seconds apart. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupId } from '../../../src/platform/index.ts';
import { Role } from '../../../src/raftengine/core/types.ts';
import { startSkewedCluster } from '../../sim/cluster/skewed-cluster.ts';

const PATIENCE_MS = 60_000;

describe('the oracle of a cluster', () => {
  test('grants in real-time order to every node, over skewed clocks, a lost leader and two changes of the oracle', async () => {
    const { simulation, nodes, until } = await startSkewedCluster(11);
    const order: { askedMs: number; answeredMs: number; ts: bigint; epoch: number }[] = [];
    let failures = 0;
    let isOver = false;
    for (const node of nodes) {
      const ask = (): void => {
        const { process } = node;
        if (isOver) return;
        if (process === undefined) {
          simulation.schedule(10, 'ask later', ask);
          return;
        }
        const askedMs = simulation.nowMs();
        process.node.oracle.request(0n as never, (error, granted) => {
          if (granted === undefined) {
            failures++;
            assert.ok(error !== undefined);
          } else order.push({ askedMs, answeredMs: simulation.nowMs(), ts: granted.ts, epoch: granted.epoch });
        });
        simulation.schedule(3, 'ask again', ask);
      };
      ask();
    }
    const epochOf = (): number => order.at(-1)?.epoch ?? -1;
    const running = () => nodes.find(({ process }) => process !== undefined)!.process!.node;
    const change = async (oracle: number): Promise<void> => {
      const epoch = epochOf();
      const set = running().catalog.run({ kind: 'setSetting', name: 'tso.group', value: String(oracle) });
      await simulation.runToEnd(set, PATIENCE_MS);
      await until(`group ${oracle} is the oracle`, () => epochOf() > epoch);
      await until('every replica of it knows', () =>
        nodes.every(({ process }) => {
          const authority = process?.node.host.get(groupId(oracle))?.stateMachine.authority;
          return authority === undefined || authority.oracle === oracle;
        }),
      );
    };
    await until('timestamps are granted', () => order.length > 100);
    await change(3);
    const leader = nodes.find((node) => node.raft(groupId(3))?.status().role === Role.Leader)!;
    const before = order.length;
    leader.crash(true);
    await until('another one grants', () => order.length > before + 200);
    leader.start();
    await change(1);
    isOver = true;
    await simulation.runFor(5_000);
    const answered = [...order].sort((a, b) => a.answeredMs - b.answeredMs);
    const asked = [...order].sort((a, b) => a.askedMs - b.askedMs);
    let largest = 0n;
    let at = 0;
    for (const one of asked) {
      for (; at < answered.length && answered[at]!.answeredMs < one.askedMs; at++) {
        if (answered[at]!.ts > largest) largest = answered[at]!.ts;
      }
      assert.ok(one.ts > largest, `asked at ${one.askedMs}: above everything that was answered before`);
    }
    assert.equal(new Set(order.map(({ ts }) => ts)).size, order.length, 'nothing is given twice');
    assert.ok(order.length > 500, `${order.length} timestamps, ${failures} failures`);
    for (const { process } of nodes) assert.equal(process?.node.oracle.stats().inversions ?? 0, 0);
  });
});
