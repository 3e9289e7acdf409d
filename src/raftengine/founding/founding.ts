/** The entry before the first one: what the founders of a group agree on without a vote. */
import type { LogIndex, NodeId, Term } from '../../platform/index.ts';
import type { CommittedEntry } from '../contract/index.ts';
import { type ConfState, EntryKind, encodeConfChange } from '../core/index.ts';
import { encodeAddresses } from '../wire/index.ts';

/** A founded group's log starts after this point, so that a replica that joins later always begins with a snapshot and learns the founders from it. */
export const FOUNDING_INDEX: LogIndex = 1;
export const FOUNDING_TERM: Term = 1;

/**
 * The entry that every founder applies to its empty state machine. A group whose founders are not known at the next start
 * must make it durable before its replica is added to the engine: the log does not hold it.
 * @param addressOf where a founder listens, undefined when that is not known
 */
export function foundingEntry(conf: ConfState, addressOf: (node: NodeId) => string | undefined): CommittedEntry {
  const steps = conf.voters.map((nodeId) => ({ kind: 'addVoter' as const, nodeId }));
  const addresses = conf.voters.flatMap((nodeId) => {
    const address = addressOf(nodeId);
    return address === undefined ? [] : [[nodeId, address] as const];
  });
  return {
    index: FOUNDING_INDEX,
    term: FOUNDING_TERM,
    kind: EntryKind.ConfChange,
    payload: encodeConfChange({ steps, context: encodeAddresses(addresses) }),
    conf,
  };
}
