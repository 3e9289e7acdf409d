/**
 * How many timestamps and how many requests a second the oracle of a cluster grants: in process, where its group is led, and
 * over the leader proxy with messages as bytes between two nodes in memory. No disk and no sockets: what is measured is the
 * clock, the confirmation of the lease, the coalescing and the codec.
 *
 *   node bench/oracle.ts [--batch 1024] [--callers 256] [--seconds 2]
 */
import { parseArgs } from 'node:util';
import { RouteEngine } from '../src/distribution/routes/route-engine.ts';
import { GroupStateMachine } from '../src/kv/apply/state-machine.ts';
import { OracleChannel } from '../src/kv/oracle/channel.ts';
import { OracleClient } from '../src/kv/oracle/client.ts';
import { OracleLeader, serveOracle } from '../src/kv/oracle/leader.ts';
import { createKvService } from '../src/kv/service/service.ts';
import {
  type FrameHandler,
  groupId,
  hlcTimestamp,
  type NodeId,
  nodeId,
  type PeerNetwork,
  SeededRandom,
  SystemClock,
  SystemScheduler,
} from '../src/platform/index.ts';
import type { RaftGroup } from '../src/raftengine/contract/types.ts';
import { EntryKind } from '../src/raftengine/core/types.ts';
import { openGroupStore } from '../src/store/group/open.ts';
import { SimulatedLevels } from '../src/store/level/simulated-level.ts';

const { values } = parseArgs({
  options: {
    batch: { type: 'string', default: '1024' },
    callers: { type: 'string', default: '256' },
    seconds: { type: 'string', default: '2' },
  },
});
const batch = Number(values.batch);
const callers = Number(values.callers);
const seconds = Number(values.seconds);

const ORACLE = groupId(1);
const clock = new SystemClock();
const scheduler = new SystemScheduler();
const NONE = hlcTimestamp(0n);

/** Two ends of a wire on which frames arrive in the next turn. */
const handlers = new Map<NodeId, FrameHandler>();
function end(id: number): PeerNetwork {
  const self = nodeId(id);
  const network: Partial<PeerNetwork> = {
    self,
    onFrame: (_lane, handler) => void handlers.set(self, handler),
    onPeerLost: () => undefined,
    queuedBytes: () => 0,
    send: (to, _lane, frame) => {
      setImmediate(() => handlers.get(to)?.(self, frame));
      return true;
    },
  };
  return network as PeerNetwork;
}

/** A node; the first leads the group, the second has no replica of it. */
async function openNode(id: number) {
  const kv = createKvService({
    routes: new RouteEngine(0),
    membersOf: () => [nodeId(1)],
    network: end(id),
    clock,
    scheduler,
    random: new SeededRandom(id),
  });
  const leader = new OracleLeader((group) => kv.executor(group));
  serveOracle(kv, leader);
  const channel = new OracleChannel({ kv, leader, clock });
  const client = new OracleClient({ channel, scheduler, localTs: () => kv.nowTs() });
  if (id !== 1) return { client, leader };
  const levels = new SimulatedLevels();
  const store = await openGroupStore({ location: 'bench', openLevel: levels.openLevel, folders: levels });
  const conf = { voters: [nodeId(1)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const stateMachine = new GroupStateMachine({ store, initialConf: conf });
  const raft: Pick<RaftGroup, 'groupId' | 'propose' | 'holdsLease' | 'readBarrier' | 'leader'> = {
    groupId: ORACLE,
    propose: (payload, done) =>
      scheduler.endOfTurn(() => {
        const index = stateMachine.applied().index + 1;
        const entry = { index, term: 1, kind: EntryKind.Normal, payload, conf: undefined };
        done({ kind: 'applied', index, result: stateMachine.apply([entry])[0] });
      }),
    holdsLease: () => true,
    readBarrier: async () => undefined,
    leader: () => ({ nodeId: nodeId(1), term: 1 }),
  };
  kv.addGroup({ raft: raft as RaftGroup, stateMachine, store });
  const founding = { index: 1, term: 1, kind: EntryKind.Normal, payload: Buffer.alloc(0), conf };
  stateMachine.apply([founding]);
  stateMachine.onLeadership({ kind: 'serving', term: 1 });
  return { client, leader };
}

const report = (name: string, timestamps: number, requests: number, elapsedMs: number, cpuMs: number): void => {
  const rate = (count: number, unit: number, name: string): string =>
    `${((count * 1000) / elapsedMs / unit).toFixed(1)} ${name}/s`.padStart(12);
  const cost = `${((cpuMs * 1e6) / Math.max(1, requests)).toFixed(0)} ns`.padStart(9);
  console.log(
    `${name.padEnd(34)}${rate(timestamps, 1e6, 'M')} timestamps${rate(requests, 1e3, 'k')} requests${cost} CPU a request`,
  );
};

/** Runs `work` in turns of the event loop for the given time. */
async function measure(name: string, work: () => Promise<{ timestamps: number; requests: number }>): Promise<void> {
  await work();
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  let timestamps = 0;
  let requests = 0;
  while (performance.now() - startMs < seconds * 1000) {
    const done = await work();
    timestamps += done.timestamps;
    requests += done.requests;
  }
  const { user, system } = process.cpuUsage(cpu);
  report(name, timestamps, requests, performance.now() - startMs, (user + system) / 1000);
}

const first = await openNode(1);
const second = await openNode(2);
await new Promise((resolve) => setTimeout(resolve, 50));

console.log(`${batch} timestamps a request, ${callers} callers`);
const TURN = 256;
await measure('oracle, in process', async () => {
  let requests = 0;
  for (let at = 0; at < TURN; at++) {
    first.leader.get({ kind: 'get', group: ORACLE, count: batch, after: NONE, isShadow: false }, (_error, grant) => {
      if (grant?.kind === 'granted') requests++;
    });
  }
  await new Promise((resolve) => setImmediate(resolve));
  return { timestamps: requests * batch, requests };
});
for (const [name, { client }] of [
  ['client, on the leader', first],
  ['client, over the proxy', second],
] as const) {
  await measure(name, async () => {
    const before = client.stats();
    let failures = 0;
    await new Promise<void>((resolve) => {
      let left = callers;
      for (let at = 0; at < callers; at++) {
        client.request(NONE, (error) => {
          if (error !== undefined) failures++;
          if (--left === 0) resolve();
        });
      }
    });
    if (failures > 0) throw new Error(`${failures} of ${callers} callers failed`);
    const after = client.stats();
    return { timestamps: after.timestamps - before.timestamps, requests: after.requests - before.requests };
  });
}
process.exit(0);
