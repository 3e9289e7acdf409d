/** How a node begins: what the catalog's leader founds a cluster with, and stores opened some at a time. */

import type { FoundingConfiguration } from '../cluster/index.ts';
import type { ClusterFounding } from '../config/index.ts';

/** The founding as the catalog's leader carries it out. */
export const foundingConfiguration = (founding: ClusterFounding, nowMs: number): FoundingConfiguration => ({
  incarnation: nowMs,
  groups: founding.groups.map(({ id, voters, preferredLeader }) => ({
    id,
    founders: voters,
    preferredLeader,
    ranges: founding.ranges.filter((range) => range.groupId === id).map(({ start, end }) => ({ start, end })),
  })),
});

/** Stores that are opened at a time: opening is mostly waiting for the disk. */
export const OPEN_AT_ONCE = 16;

/** Runs steps, so many at a time. @throws what the first one that failed threw, when none is under way any more */
export async function inBatches(size: number, steps: readonly (() => Promise<void>)[]): Promise<void> {
  for (let at = 0; at < steps.length; at += size) {
    const outcomes = await Promise.allSettled(steps.slice(at, at + size).map((step) => step()));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}
