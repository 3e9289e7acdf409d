/** A group of one without network and log: its executor, its state machine and a store. What is proposed is committed at the end of a turn. */
import { GroupStateMachine } from '../src/kv/apply/state-machine.ts';
import { GroupExecutor } from '../src/kv/leader/executor.ts';
import { Hlc } from '../src/kv/time/hlc.ts';
import { groupId, nodeId, SystemClock, SystemScheduler } from '../src/platform/index.ts';
import type { ProposalOutcome, RaftGroup } from '../src/raftengine/contract/types.ts';
import { EntryKind } from '../src/raftengine/core/types.ts';
import type { GroupStore, GroupStoreOptions } from '../src/store/contract/types.ts';
import { openGroupStore } from '../src/store/group/open.ts';

export interface Bed {
  readonly executor: GroupExecutor;
  readonly store: GroupStore;
  /** Ends the turn and applies what was proposed. */
  turn(): void;
  /** Of all entries so far. */
  entryBytes(): number;
}

/** Opens one that owns all keys. */
export async function openBed(options: GroupStoreOptions): Promise<Bed> {
  const store = await openGroupStore(options);
  const conf = { voters: [nodeId(1)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const stateMachine = new GroupStateMachine({ store, initialConf: conf });
  let proposals: { payload: Buffer; done: (outcome: ProposalOutcome) => void }[] = [];
  let endOfTurn: (() => void)[] = [];
  let bytes = 0;
  const raft: Pick<RaftGroup, 'groupId' | 'propose' | 'holdsLease' | 'readBarrier' | 'leader'> = {
    groupId: groupId(1),
    propose: (payload, done) => {
      proposals.push({ payload, done });
      bytes += payload.length;
    },
    holdsLease: () => true,
    readBarrier: async () => undefined,
    leader: () => ({ nodeId: nodeId(1), term: 1 }),
  };
  // What waits for a moment, such as an entry for the crowd that is about to come, waits in real time.
  const timers = new SystemScheduler();
  const executor = new GroupExecutor({
    nodeId: nodeId(1),
    raft: raft as RaftGroup,
    stateMachine,
    store,
    hlc: new Hlc(new SystemClock()),
    scheduler: {
      after: (ms, callback) => timers.after(ms, callback),
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
  return { executor, store, turn, entryBytes: () => bytes };
}
