/**
 * `npm run bench:oracle`: how many timestamps and how many requests a second the oracle of a cluster grants: in process, where its group is led, and
 * over the leader proxy with messages as bytes between two nodes in memory. No disk and no sockets: what is measured is the
 * clock, the confirmation of the lease, the coalescing and the codec.
 */
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
import { Ledger } from './ledger.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { conclude } from './results.ts';
import { THIS_PROCESS } from './role-cpu.ts';

interface Options extends BenchmarkOptions {
  readonly batch: number;
  readonly callers: number;
}

const program = benchmark({
  script: 'bench:oracle',
  says: 'Measures how many timestamps and requests a second the oracle of a cluster grants, in one process.',
  peers: 'nobody: neither redis-server nor etcd grants timestamps.',
  rounds: 3,
  seconds: 2,
  hasData: false,
})
  .option('--batch <count>', 'timestamps of a request', count(1e6), 1_024)
  .option('--callers <count>', 'at a time', count(1e5), 256);
program.parse();
const options = program.opts<Options>();
const { batch, callers, seconds } = options;
const ledger = new Ledger();
const SYSTEM = 'oracle';

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
    onStream: () => undefined,
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
  const raft: Pick<RaftGroup, 'groupId' | 'propose' | 'holdsLease' | 'readBarrier' | 'leader' | 'onLeaderChange'> = {
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
    onLeaderChange: () => undefined,
  };
  kv.addGroup({ raft: raft as RaftGroup, stateMachine, store });
  const founding = { index: 1, term: 1, kind: EntryKind.Normal, payload: Buffer.alloc(0), conf };
  stateMachine.apply([founding]);
  stateMachine.onLeadership({ kind: 'serving', term: 1 });
  return { client, leader };
}

/** Runs `work`, which says how many requests it made and how many timestamps they brought, in turns of the event loop for the given time. */
async function measure(name: string, work: () => Promise<{ timestamps: number; requests: number }>): Promise<void> {
  await work();
  for (const what of ['timestamps', 'requests'] as const) {
    await ledger.measure(`${name}, ${what}`, SYSTEM, THIS_PROCESS, async () => {
      const startMs = performance.now();
      let commands = 0;
      while (performance.now() - startMs < seconds * 1000) commands += (await work())[what];
      const perSecond = (commands * 1000) / (performance.now() - startMs);
      // A timestamp costs too little to be shown.
      return what === 'requests' ? { perSecond, commands } : { perSecond };
    });
  }
}

const first = await openNode(1);
const second = await openNode(2);
await new Promise((resolve) => setTimeout(resolve, 50));

const TURN = 256;
for (let left = options.rounds; left > 0; left--) {
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
}
const tables = [
  `${batch} timestamps a request, ${callers} callers`,
  ledger.formatRates([SYSTEM]),
  ledger.formatCosts('us of CPU of one'),
];
const facts = { options, lines: ledger.facts() };
process.exit(conclude({ name: 'oracle', facts, tables, verdicts: [], others: ledger.others }, options));
