/**
 * Leases of background work. Time is that of the commit, which never goes back; a holder that has died is not asked for
 * anything, its lease runs out. A holder stops working before `leaseUntilMs` by its own clock, less what clocks may differ.
 */

import { CatalogError, type WorkOp, type WorkRow } from '../contract/index.ts';
import { CatalogDraft, type CatalogPlan, type PlanContext } from './catalog-draft.ts';
import type { CatalogState } from './catalog-state.ts';

/** Most units of work that are known at a time. */
export const MAX_WORK = 4_096;
/** Longest name of a unit, in bytes. */
export const MAX_WORK_NAME_BYTES = 128;
/** Longest lease; whoever needs more time renews. */
export const MAX_LEASE_MS = 3_600_000;
/** Largest note of a holder, in bytes. */
export const MAX_WORK_PROGRESS_BYTES = 4_096;

const NOTHING: Buffer = Buffer.alloc(0);

type LeaseOp = Extract<WorkOp, { kind: 'leaseWork' }>;
type ReleaseOp = Extract<WorkOp, { kind: 'releaseWork' }>;

/** @throws CatalogError INVALID_WORK, NODE_NOT_FOUND, WORK_HELD, WORK_LIMIT, WORK_NOT_HELD */
export function planWork(state: CatalogState, op: WorkOp, context: PlanContext): CatalogPlan<WorkRow> {
  const draft = CatalogDraft.over(state, context);
  const bytes = Buffer.byteLength(op.name);
  if (bytes === 0 || bytes > MAX_WORK_NAME_BYTES) {
    throw new CatalogError('INVALID_WORK', `a unit of work has a name of 1 to ${MAX_WORK_NAME_BYTES} bytes`);
  }
  if (op.progress !== undefined && op.progress.length > MAX_WORK_PROGRESS_BYTES) {
    throw new CatalogError('INVALID_WORK', `a note has at most ${MAX_WORK_PROGRESS_BYTES} bytes`);
  }
  return op.kind === 'leaseWork' ? lease(draft, op) : release(draft, op);
}

/** True when the row's last holder is who asks. */
const isHolder = (row: WorkRow | undefined, op: WorkOp): boolean =>
  row?.holder === op.node && row.incarnation?.equals(op.incarnation) === true;

function lease(draft: CatalogDraft, op: LeaseOp): CatalogPlan<WorkRow> {
  const { state, context } = draft;
  const { name, leaseMs } = op;
  if (!Number.isInteger(leaseMs) || leaseMs < 1 || leaseMs > MAX_LEASE_MS) {
    throw new CatalogError('INVALID_WORK', `a lease is 1 to ${MAX_LEASE_MS} ms long`);
  }
  const node = state.nodes.get(op.node);
  if (node?.incarnation.equals(op.incarnation) !== true) {
    throw new CatalogError(
      'NODE_NOT_FOUND',
      `there is no node ${op.node} with this incarnation to do '${name}'; list the nodes to see which there are`,
    );
  }
  const old = state.work.get(name);
  const isOwn = isHolder(old, op);
  if (old?.holder !== undefined && !isOwn && context.nowMs < old.leaseUntilMs) {
    const leftMs = old.leaseUntilMs - context.nowMs;
    throw new CatalogError('WORK_HELD', `node ${old.holder} has '${name}' for ${leftMs} ms more`);
  }
  if (old === undefined && state.work.size >= MAX_WORK) {
    throw new CatalogError('WORK_LIMIT', `there are ${MAX_WORK} units of work`);
  }
  const untilMs = context.nowMs + leaseMs;
  const row: WorkRow = {
    name,
    revision: (old?.revision ?? 0) + 1,
    holder: op.node,
    incarnation: op.incarnation,
    // A renewal never shortens: its answer may be lost, and the holder goes on by the longer one that it knows.
    leaseUntilMs: isOwn ? Math.max(old!.leaseUntilMs, untilMs) : untilMs,
    progress: op.progress ?? old?.progress ?? NOTHING,
  };
  draft.putWork(row);
  return draft.commitRows(row);
}

function release(draft: CatalogDraft, op: ReleaseOp): CatalogPlan<WorkRow> {
  const old = draft.state.work.get(op.name);
  const free = { name: op.name, holder: undefined, incarnation: undefined, leaseUntilMs: 0 };
  // Repetitions, whose first answer was lost.
  if (old === undefined && op.isDone) return draft.commitRows({ ...free, revision: 0, progress: NOTHING });
  if (old !== undefined && old.holder === undefined && !op.isDone) return draft.commitRows(old);
  if (old === undefined || !isHolder(old, op)) {
    throw new CatalogError('WORK_NOT_HELD', `node ${op.node} does not have '${op.name}'`);
  }
  const row: WorkRow = { ...free, revision: old.revision + 1, progress: op.progress ?? old.progress };
  if (op.isDone) draft.removeWork(op.name);
  else draft.putWork(row);
  return draft.commitRows(row);
}
