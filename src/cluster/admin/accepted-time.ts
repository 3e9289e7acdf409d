/** What it takes to go by the time of groups that are ahead of the clocks. */

import { caughtUpAfter } from '../../kv/index.ts';
import type { Millis } from '../../platform/index.ts';
import type { GroupTime, TsoReport } from '../contract/index.ts';

/** A healthy group leads by less: a window, and a few changes of leaders in a row. */
const HEALTHY_LEAD_MS: Millis = 5_000;
/** What groups reserve while it is being done. */
const MARGIN_MS: Millis = 2_000;

/** By how much a group leads the time of the nodes. */
export const leadOf = ({ ceilingMs, leadMs }: GroupTime, { clockMs, acceptedLeadMs }: TsoReport): Millis =>
  Math.max(0, leadMs, ceilingMs - clockMs - acceptedLeadMs);

/** What is to be accepted. */
export interface Acceptance {
  /** By how much the time of all nodes jumps ahead. */
  readonly leadMs: Millis;
  /** Value of the setting `time.caughtUpAt`. */
  readonly caughtUpAtMs: Millis;
}

/** What makes all nodes go by the group that is furthest; undefined when none is ahead of what is usual. */
export function acceptanceOf(report: TsoReport): Acceptance | undefined {
  const leadMs = Math.max(0, ...report.groups.map((group) => leadOf(group, report)));
  if (leadMs <= HEALTHY_LEAD_MS) return undefined;
  return { leadMs, caughtUpAtMs: caughtUpAfter(report.clockMs, report.acceptedLeadMs + leadMs + MARGIN_MS) };
}
