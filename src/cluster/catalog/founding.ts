/**
 * What a cluster begins with: which groups there are and which ranges they own. The first leader of the catalog group stores
 * its configuration before it gives any range away; whoever goes on takes the stored one, so that two nodes that
 * were configured differently cannot give one range to two groups.
 */
import { Packr } from 'msgpackr';
import { type BootstrapOp, type BootstrapRange, RESERVED_END } from '../../distribution/index.ts';
import { type GroupId, groupId, type NodeId, nodeId } from '../../platform/index.ts';
import { FoundingError } from './errors.ts';

/** A group that the cluster begins with. */
export interface FoundingGroup {
  readonly id: GroupId;
  readonly founders: readonly NodeId[];
  readonly preferredLeader: NodeId | undefined;
  /** Storage keys; empty for a group that owns nothing at first. */
  readonly ranges: readonly { readonly start: Buffer; readonly end: Buffer | undefined }[];
}

/** All of them; the ranges of all groups together hold every key once. */
export interface FoundingConfiguration {
  readonly groups: readonly FoundingGroup[];
  /** Unix milliseconds at which the cluster was founded. */
  readonly incarnation: number;
}

/** A range that one group is to be given. */
export interface Assignment {
  readonly groupId: GroupId;
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}

/** Where the configuration that the cluster is founded by is stored: among the reserved keys, beside the catalog's rows. */
export const FOUNDING_KEY: Buffer = Buffer.from([0x00, 0x66]);

/** Every founding gives out epoch 1. */
export const FOUNDING_EPOCH = 1;

/** The catalog group owns the reserved keys, before and beside anything else. */
export const reservedAssignment = (catalogGroup: GroupId): Assignment => ({
  groupId: catalogGroup,
  start: Buffer.alloc(0),
  end: RESERVED_END,
});

/**
 * The ranges to give out, in key order and without the reserved keys, and the operation that makes the catalog of them.
 * @throws FoundingError when the ranges cannot be those of a cluster; `planCatalog` checks the rest
 */
export function foundingPlan(
  founding: FoundingConfiguration,
  catalogGroup: GroupId,
): { readonly assignments: readonly Assignment[]; readonly op: BootstrapOp } {
  const ranges: BootstrapRange[] = founding.groups
    .flatMap((group) => group.ranges.map(({ start, end }) => ({ start, end, groupId: group.id })))
    .sort((a, b) => Buffer.compare(a.start, b.start));
  const first = ranges[0];
  if (first === undefined || first.start.length > 0) {
    throw new FoundingError('no founding group has the first keys; one range must begin with the empty key', undefined);
  }
  for (const [index, range] of ranges.entries()) {
    const next = ranges[index + 1];
    const fits = next === undefined ? range.end === undefined : range.end?.equals(next.start) === true;
    if (fits) continue;
    const place = `range ${index + 1} of the founding configuration (group ${range.groupId})`;
    const problem = next === undefined ? 'ends before the last key' : 'does not end where the next one begins';
    throw new FoundingError(`${place} ${problem}`, undefined);
  }
  const assignments = ranges.map((range, index) => ({ ...range, start: index === 0 ? RESERVED_END : range.start }));
  const { incarnation } = founding;
  const groups = founding.groups.map(({ id, founders, preferredLeader }) => ({ id, founders, preferredLeader }));
  return { assignments, op: { kind: 'bootstrap', incarnation, catalogGroup, ranges, groups } };
}

const packr = new Packr({ useRecords: false, variableMapSize: true, copyBuffers: true });
const CODEC = 1;

/** The stored form. */
export function encodeFounding(founding: FoundingConfiguration): Buffer {
  return Buffer.concat([Buffer.of(CODEC), packr.pack(founding)]);
}

/** @throws FoundingError when another program stored it */
export function decodeFounding(bytes: Buffer): FoundingConfiguration {
  if (bytes[0] !== CODEC) throw new FoundingError(`the founding configuration has codec ${bytes[0]}`, undefined);
  const stored = packr.unpack(bytes.subarray(1)) as FoundingConfiguration;
  const groups = stored.groups.map((group) => ({
    id: groupId(group.id),
    founders: group.founders.map(nodeId),
    preferredLeader: group.preferredLeader,
    ranges: group.ranges.map(({ start, end }) => ({ start, end })),
  }));
  return { groups, incarnation: stored.incarnation };
}
