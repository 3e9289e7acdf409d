/**
 * The end of a majority that is gone for good, as a log write: everything in a survivor's log counts as committed, and
 * behind it stand membership changes that leave it as the only voter. Each changes one voter and so takes effect without a joint
 * configuration. This breaks what Raft promises: what only the lost ones had is lost, what nobody had committed may stay.
 */
import { assert, type GroupId, type LogIndex, type NodeId } from '../../platform/index.ts';
import type { GroupLog, LogWrite } from '../contract/index.ts';
import {
  type ConfChangeStep,
  type ConfState,
  decodeConfChange,
  type Entry,
  EntryKind,
  encodeConfChange,
  nextConf,
} from '../core/index.ts';

/** Entries of one look at the log. */
const CHUNK_BYTES = 1024 * 1024;

export interface Recovery {
  readonly groupId: GroupId;
  readonly survivor: NodeId;
  /** Others that are well and go on as learners. */
  readonly learners: readonly NodeId[];
  /** Said in each of the changes; stays in the log as long as they do. */
  readonly context: Buffer;
}

/** The membership at the end of a log, with everything in it taken as committed. */
function confAtEnd(log: GroupLog, appliedIndex: LogIndex, applied: ConfState): ConfState {
  let conf = applied;
  for (let index = Math.max(appliedIndex + 1, log.firstIndex()); index <= log.lastIndex(); ) {
    const entries = log.entries(index, log.lastIndex() + 1, CHUNK_BYTES);
    assert(entries !== undefined && entries.length > 0, 'what was not applied is still in the log');
    for (const entry of entries) {
      if (entry.kind !== EntryKind.ConfChange) continue;
      const result = nextConf(conf, decodeConfChange(entry.payload));
      if ('conf' in result) conf = result.conf;
    }
    index += entries.length;
  }
  return conf;
}

/**
 * What is to be written to the survivor's log while its replica is closed; opened again, it leads alone.
 * @param appliedIndex what its state machine has applied, with the membership `applied`
 */
export function recoveryWrite(log: GroupLog, appliedIndex: LogIndex, applied: ConfState, recovery: Recovery): LogWrite {
  const { groupId, survivor, learners, context } = recovery;
  const stored = log.hardState();
  const lastIndex = Math.max(log.lastIndex(), appliedIndex);
  const term = Math.max(stored.term, log.term(log.lastIndex()) ?? 0) + 1;
  const entries: Entry[] = [];
  let conf = confAtEnd(log, appliedIndex, applied);
  const change = (steps: readonly ConfChangeStep[]): void => {
    const result = nextConf(conf, { steps, context });
    assert('conf' in result, 'a recovery only makes changes that can be made');
    conf = result.conf;
    const payload = encodeConfChange({ steps, context });
    entries.push({ term, index: lastIndex + entries.length + 1, kind: EntryKind.ConfChange, payload });
  };
  if (conf.votersOutgoing.length > 0) change([]);
  if (!conf.voters.includes(survivor)) change([{ kind: 'addVoter', nodeId: survivor }]);
  for (const node of conf.voters) {
    if (node === survivor) continue;
    change([{ kind: learners.includes(node) ? 'addLearner' : 'remove', nodeId: node }]);
  }
  for (const node of conf.learners) if (!learners.includes(node)) change([{ kind: 'remove', nodeId: node }]);
  return {
    groupId,
    hardState: { term, vote: survivor, commitIndex: lastIndex + entries.length },
    entries,
    resetTo: undefined,
  };
}
