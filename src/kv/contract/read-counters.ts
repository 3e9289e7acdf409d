/** What replica reads of a node did since its start: plain numbers, for whoever shows them. */
import { BucketCounts } from '../../platform/index.ts';

/** Kinds of consistency that a read can name; see `Consistency`. */
export const READ_KINDS = ['linearizable', 'bounded', 'exact', 'session'] as const;

/** Who answered reads that named their consistency. */
export interface ReadsOfKind {
  replica: number;
  leader: number;
}

/** Counters of reads that say how old their answer may be. */
export class ReadCounters {
  readonly kinds: Readonly<Record<(typeof READ_KINDS)[number], ReadsOfKind>> = {
    linearizable: { replica: 0, leader: 0 },
    bounded: { replica: 0, leader: 0 },
    exact: { replica: 0, leader: 0 },
    session: { replica: 0, leader: 0 },
  };
  /** Reads that a lock sent on to the leader. */
  lockRedirects = 0;
  /** Age of what replicas have answered, milliseconds; exact reads have none. */
  readonly stalenessMs = new BucketCounts();
}
