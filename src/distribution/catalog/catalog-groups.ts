/** Operations on groups. A group's row says that it may own ranges; what it owns is decided by routes and its own log. */
import { type GroupId, groupId, type NodeId } from '../../platform/index.ts';
import { CatalogError, type GroupOp, type GroupRow } from '../contract/index.ts';
import { CatalogDraft, type CatalogPlan, type PlanContext } from './catalog-draft.ts';
import type { CatalogState } from './catalog-state.ts';
import { checkInService } from './catalog-withdrawals.ts';

/** Most rows of groups, removed ones included. */
export const MAX_GROUPS = 16_384;
/** Length of the name of a request that makes a group. */
export const REQUEST_ID_BYTES = 16;
/** Most voters that a group begins with. */
export const MAX_FOUNDERS = 9;

/** A group that the catalog begins with. */
export interface BootstrapGroup {
  readonly id: GroupId;
  readonly founders: readonly NodeId[];
  readonly preferredLeader: NodeId | undefined;
}

/** @throws CatalogError INVALID_GROUP when this cannot be a group */
export function checkGroup({ id, founders, preferredLeader }: BootstrapGroup): void {
  const invalid = (problem: string): CatalogError => new CatalogError('INVALID_GROUP', `group ${id} ${problem}`);
  if (!Number.isInteger(id) || id < 1 || id > 0xffff_ffff) throw invalid('has no id from 1 to 2^32-1');
  if (founders.length === 0 || founders.length > MAX_FOUNDERS) throw invalid(`needs 1 to ${MAX_FOUNDERS} founders`);
  if (founders.some((node) => !Number.isInteger(node) || node < 1 || node > 0xffff)) {
    throw invalid('has a founder that cannot be a node');
  }
  if (new Set(founders).size !== founders.length) throw invalid('names a founder twice');
  if (preferredLeader !== undefined && !founders.includes(preferredLeader)) {
    throw invalid(`prefers node ${preferredLeader} as its leader, which is not one of its founders`);
  }
}

/**
 * A group that may get a range.
 * @throws CatalogError GROUP_NOT_FOUND, GROUP_REMOVED
 */
export function activeGroup(state: CatalogState, id: GroupId): GroupRow {
  const group = state.groups.get(id);
  if (group === undefined)
    throw new CatalogError('GROUP_NOT_FOUND', `there is no group ${id}; list the groups to see which there are`);
  if (group.state !== 'ACTIVE') throw new CatalogError('GROUP_REMOVED', `group ${id} was removed`);
  return group;
}

/** @throws CatalogError, see the operations of `GroupOp` */
export function planGroup(state: CatalogState, op: GroupOp, context: PlanContext): CatalogPlan<GroupRow> {
  const draft = CatalogDraft.over(state, context);
  return op.kind === 'createGroup' ? createGroup(draft, op) : removeGroup(draft, op.id);
}

function createGroup(draft: CatalogDraft, op: Extract<GroupOp, { kind: 'createGroup' }>): CatalogPlan<GroupRow> {
  const { groups, nodes } = draft.state;
  const { founders, preferredLeader, requestId } = op;
  if (requestId !== undefined && requestId.length !== REQUEST_ID_BYTES) {
    throw new CatalogError(
      'INVALID_GROUP',
      `the name of a request has ${REQUEST_ID_BYTES} bytes, not ${requestId.length}`,
    );
  }
  const made = requestId === undefined ? undefined : madeBy(draft.state, requestId);
  if (made !== undefined) return draft.commitRows(repeated(made, op));
  const id = op.id ?? nextGroupId(draft.state);
  checkGroup({ id, founders, preferredLeader });
  const old = groups.get(id);
  if (old !== undefined) {
    // A repetition, whose first answer was lost.
    if (old.state === 'ACTIVE' && sameNodes(old.founders, founders) && old.preferredLeader === preferredLeader) {
      return draft.commitRows(old);
    }
    throw new CatalogError(
      'GROUP_EXISTS',
      `group ${id} exists${old.state === 'REMOVED' ? ' no more' : ''}; choose another id`,
    );
  }
  const unknown = founders.filter((node) => !nodes.has(node));
  if (unknown.length > 0) {
    throw new CatalogError(
      'NODE_NOT_FOUND',
      `group ${id} would be on nodes that are not here: ${unknown.join(', ')}; list the nodes to see which there are`,
    );
  }
  checkInService(draft.state, { id, founders });
  if (groups.size >= MAX_GROUPS) throw new CatalogError('GROUP_LIMIT', `there are ${MAX_GROUPS} groups`);
  return draft.commitRows(draft.addGroup({ id, founders, preferredLeader, requestId }));
}

function madeBy({ groups }: CatalogState, requestId: Buffer): GroupRow | undefined {
  for (const group of groups.values()) if (group.requestId?.equals(requestId) === true) return group;
  return undefined;
}

/** The group that a request made before, also when it is gone again. @throws CatalogError when that was another request */
function repeated(made: GroupRow, { id, founders }: Extract<GroupOp, { kind: 'createGroup' }>): GroupRow {
  if ((id === undefined || id === made.id) && sameNodes(made.founders, founders)) return made;
  throw new CatalogError(
    'GROUP_EXISTS',
    `a request of this name made group ${made.id}, which is another one; give every request its own name`,
  );
}

const sameNodes = (left: readonly NodeId[], right: readonly NodeId[]): boolean =>
  left.length === right.length && left.every((node) => right.includes(node));

const nextGroupId = (state: CatalogState): GroupId => groupId(Math.max(0, ...state.groups.keys()) + 1);

function removeGroup(draft: CatalogDraft, id: GroupId): CatalogPlan<GroupRow> {
  const { groups, meta, routes, jobs } = draft.state;
  const group = groups.get(id);
  if (group === undefined)
    throw new CatalogError('GROUP_NOT_FOUND', `there is no group ${id}; list the groups to see which there are`);
  if (group.state === 'REMOVED') return draft.commitRows(group);
  if (id === meta?.catalogGroup) throw new CatalogError('GROUP_BUSY', `group ${id} holds the catalog`);
  const [route] = routes.ofGroup(id);
  if (route !== undefined) throw new CatalogError('GROUP_BUSY', `group ${id} owns route ${route.id}; move it first`);
  for (const job of jobs.values()) {
    if (job.src !== id && job.dst !== id) continue;
    throw new CatalogError('GROUP_BUSY', `job ${job.id} moves between groups ${job.src} and ${job.dst}; wait for it`);
  }
  return draft.commitRows(draft.changeGroup(group, { state: 'REMOVED', preferredLeader: undefined }));
}
