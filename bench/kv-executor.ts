/**
 * How many simple operations a second one group's executor evaluates, encodes and applies, with no network and no disk: the
 * real store over a database in memory, and a Raft that commits at the end of each turn. What a cluster does is bounded by this.
 *
 *   node bench/kv-executor.ts [--turn 64] [--seconds 2]
 */
import { parseArgs } from 'node:util';
import { GroupStateMachine } from '../src/kv/apply/state-machine.ts';
import { GroupExecutor } from '../src/kv/leader/executor.ts';
import { Hlc } from '../src/kv/time/hlc.ts';
import { groupId, NEVER, nodeId, SystemClock } from '../src/platform/index.ts';
import type { ProposalOutcome, RaftGroup } from '../src/raftengine/contract/types.ts';
import { EntryKind } from '../src/raftengine/core/types.ts';
import { openGroupStore } from '../src/store/group/open.ts';
import { SimulatedLevels } from '../src/store/level/simulated-level.ts';

const { values } = parseArgs({
  options: { turn: { type: 'string', default: '64' }, seconds: { type: 'string', default: '2' } },
});
const turnSize = Number(values.turn);
const seconds = Number(values.seconds);

/** A group of one on a store in memory; `turn` ends the turn and applies what was proposed. */
async function openBed() {
  const levels = new SimulatedLevels();
  const store = await openGroupStore({ location: 'bench', openLevel: levels.openLevel, folders: levels });
  const conf = { voters: [nodeId(1)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const stateMachine = new GroupStateMachine({ store, initialConf: conf });
  let proposals: { payload: Buffer; done: (outcome: ProposalOutcome) => void }[] = [];
  let endOfTurn: (() => void)[] = [];
  const raft: Pick<RaftGroup, 'groupId' | 'propose' | 'holdsLease' | 'readBarrier' | 'leader'> = {
    groupId: groupId(1),
    propose: (payload, done) => {
      proposals.push({ payload, done });
    },
    holdsLease: () => true,
    readBarrier: async () => undefined,
    leader: () => ({ nodeId: nodeId(1), term: 1 }),
  };
  const executor = new GroupExecutor({
    nodeId: nodeId(1),
    raft: raft as RaftGroup,
    stateMachine,
    store,
    hlc: new Hlc(new SystemClock()),
    scheduler: {
      after: () => () => undefined,
      endOfTurn: (callback) => endOfTurn.push(callback),
      nextTurn: (callback) => endOfTurn.push(callback),
    },
  });
  stateMachine.onLeadership({ kind: 'serving', term: 1 });
  const turn = (): void => {
    const callbacks = endOfTurn;
    endOfTurn = [];
    for (const callback of callbacks) callback();
    const committed = proposals;
    proposals = [];
    for (const { payload, done } of committed) {
      const index = stateMachine.applied().index + 1;
      const entry = { index, term: 1, kind: EntryKind.Normal, payload, conf: undefined };
      done({ kind: 'applied', index, result: stateMachine.apply([entry])[0] });
    }
  };
  turn();
  void executor.spans.command({ kind: 'assign', start: Buffer.alloc(0), end: undefined, epoch: 1 });
  turn();
  return { executor, store, turn };
}

type Bed = Awaited<ReturnType<typeof openBed>>;
type Submit = (bed: Bed, at: number, done: () => void) => void;
const KEYS = Array.from({ length: 10_000 }, (_, at) => Buffer.from(`key:${String(at).padStart(12, '0')}`));
const VALUE = Buffer.alloc(100, 'x');

const workloads: Record<string, Submit> = {
  SET: (bed, at, complete) => {
    const key = KEYS[at % KEYS.length]!;
    bed.executor.submit({ evaluate: (view) => view.put(key, VALUE, NEVER), complete });
  },
  GET: (bed, at, complete) => {
    const key = KEYS[at % KEYS.length]!;
    bed.executor.submit({ evaluate: (view) => view.get(key)?.value, complete });
  },
  INCR: (bed, at, complete) => {
    const key = KEYS[at % KEYS.length]!;
    bed.executor.submit({
      evaluate: (view) => {
        const next = Number(view.get(key)?.value.toString('latin1') ?? '0') + 1;
        view.put(key, Buffer.from(String(next), 'latin1'), NEVER);
        return next;
      },
      complete,
    });
  },
  'INCR, one key': (bed, _at, complete) => workloads.INCR!(bed, 0, complete),
};

console.log(`${turnSize} operations a turn`);
for (const [name, submit] of Object.entries(workloads)) {
  const bed = await openBed();
  let operations = 0;
  let completed = 0;
  const done = (): void => {
    completed++;
  };
  const untilMs = performance.now() + seconds * 1000;
  const startMs = performance.now();
  while (performance.now() < untilMs) {
    for (let at = 0; at < turnSize; at++) submit(bed, operations++, done);
    bed.turn();
    const pressure = bed.store.pressure();
    if (pressure !== undefined) await pressure;
  }
  const elapsed = (performance.now() - startMs) / 1000;
  if (completed !== operations) throw new Error(`${operations} submitted, ${completed} completed`);
  const rate = Math.round(operations / elapsed / 1000);
  await bed.store.close();
  console.log(`${name.padEnd(14)} ${String(rate).padStart(6)} k operations/s`);
}
