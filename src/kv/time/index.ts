/**
 * Timestamps: the hybrid logical clock, the clock of each group with its replicated ceiling, what readers pin. A group's timestamps
 * rise whatever the clocks of the nodes do.
 */

export { AssignedTimestamps } from './assigned-timestamps.ts';
export {
  type Authority,
  type AuthorityMode,
  applyFence,
  type FenceCommand,
  type FenceReply,
  FIRST_AUTHORITY,
  reachedTs,
} from './authority.ts';
export {
  type ClockLimits,
  DEFAULT_CLOCK_LIMITS,
  GroupClock,
  type RenewalOutcome,
  renewalOutcome,
} from './group-clock.ts';
export { type ClockComparison, Hlc, MAX_TAKE } from './hlc.ts';
export { caughtUpAfter, clockAt, NodeClock, type NodeClockStatus } from './node-clock.ts';
export { type ReadPin, ReadPins } from './pins.ts';
