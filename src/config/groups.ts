/**
 * Which groups a cluster begins with: a number of them, or a list with voters and ranges of their own. Group 1 is the
 * catalog's; it holds the reserved keys and every key that no other group was given, so a list is total by itself. This is
 * read when a cluster is founded; from then on the catalog knows the groups and their ranges.
 */
import { KEYSPACES_OF_ADAPTERS, SLOTTED_KEYS } from '../adapter/keyspaces.ts';
import { type BootstrapRange, MAX_BOOTSTRAP_RANGES, RESERVED_END } from '../distribution/index.ts';
import { type GroupId, groupId, type NodeId, nodeId } from '../platform/index.ts';
import { InvalidSettingValue, type Setting } from './setting.ts';

const { databaseCount: DATABASE_COUNT, slotCount: SLOT_COUNT } = SLOTTED_KEYS;

/** The group that holds the catalog. */
export const CATALOG_GROUP: GroupId = groupId(1);
/** More groups than this are made later, one at a time, not founded together. */
export const MAX_DATA_GROUPS = 1000;
const MAX_GROUP_ID = 0xffff_ffff;

/** A range as it is written: Redis hash slots of one database, or bare bounds of storage keys. */
export interface WrittenRange {
  /** `first-last`, both inclusive. */
  readonly slots?: string;
  /** Database of the slots; default 0. */
  readonly db?: number;
  /** Inclusive; text, or `hex:` and hexadecimal digits; default: the start of the key space. */
  readonly start?: string;
  /** Exclusive; default: the end of the key space. */
  readonly end?: string;
}

/** A group as it is written. */
export interface WrittenGroup {
  readonly id: number;
  /** Default: all members. */
  readonly voters?: readonly number[];
  /** Required, and may be empty, for every group but the catalog's, which by default has the rest. */
  readonly ranges?: readonly WrittenRange[];
  readonly preferredLeader?: number;
}

/** A number of data groups beside the catalog's, or all groups one by one. */
export type GroupsSetting = number | readonly WrittenGroup[];

/** A group that the cluster is founded with. */
export interface FoundingGroup {
  readonly id: GroupId;
  /** Ascending. */
  readonly voters: readonly NodeId[];
  /** The replica that stands for election at once. */
  readonly preferredLeader: NodeId | undefined;
}

/** What a cluster is founded with. */
export interface ClusterFounding {
  /** By id; the catalog's is the first. */
  readonly groups: readonly FoundingGroup[];
  /** Every key once, in order. */
  readonly ranges: readonly BootstrapRange[];
}

const shown = (raw: unknown): string => JSON.stringify(raw) ?? String(raw);
const isRecord = (raw: unknown): raw is Record<string, unknown> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw);
const isWhole = (raw: unknown, min: number, max: number): raw is number =>
  typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= min && raw <= max;

function checkKeys(raw: Record<string, unknown>, known: readonly string[], what: string): void {
  const strange = Object.keys(raw).find((key) => !known.includes(key));
  if (strange !== undefined)
    throw new InvalidSettingValue(`${what} has no ${strange}; it may have ${known.join(', ')}`);
}

function parseRange(raw: unknown, what: string): WrittenRange {
  if (!isRecord(raw))
    throw new InvalidSettingValue(`${what} is written {slots: first-last} or {start, end}, not ${shown(raw)}`);
  checkKeys(raw, ['slots', 'db', 'start', 'end'], what);
  const { slots, db, start, end } = raw;
  const isOne = slots === undefined ? db === undefined : start === undefined && end === undefined;
  if (!isOne) throw new InvalidSettingValue(`${what} has either slots (and db), or start and end`);
  if (slots !== undefined) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(String(slots)) ?? [];
    if (first === undefined || Number(first) > Number(last) || Number(last) >= SLOT_COUNT) {
      throw new InvalidSettingValue(
        `${what}: slots are written first-last, from 0 to ${SLOT_COUNT - 1}, not ${shown(slots)}`,
      );
    }
    if (db !== undefined && !isWhole(db, 0, DATABASE_COUNT - 1)) {
      throw new InvalidSettingValue(`${what}: db is a number from 0 to ${DATABASE_COUNT - 1}, not ${shown(db)}`);
    }
    return { slots: `${Number(first)}-${Number(last)}`, ...(db === undefined ? {} : { db }) };
  }
  for (const bound of [start, end]) {
    if (bound !== undefined && (typeof bound !== 'string' || /^hex:(?!([0-9a-f]{2})*$)/i.test(bound))) {
      throw new InvalidSettingValue(`${what}: a bound is text, or hex: and pairs of digits, not ${shown(bound)}`);
    }
  }
  return {
    ...(start === undefined ? {} : { start: start as string }),
    ...(end === undefined ? {} : { end: end as string }),
  };
}

function parseGroup(raw: unknown): WrittenGroup {
  if (!isRecord(raw) || !isWhole(raw.id, 1, MAX_GROUP_ID)) {
    throw new InvalidSettingValue(`a group needs an id from 1 to ${MAX_GROUP_ID}, not ${shown(raw)}`);
  }
  const what = `group ${raw.id}`;
  checkKeys(raw, ['id', 'voters', 'ranges', 'preferredLeader'], what);
  const { id, voters, ranges, preferredLeader } = raw;
  if (voters !== undefined) {
    if (!Array.isArray(voters) || !voters.every((voter) => isWhole(voter, 1, 65535))) {
      throw new InvalidSettingValue(`${what}: voters is a list of node ids, not ${shown(voters)}`);
    }
    if (voters.length === 0) throw new InvalidSettingValue(`${what} has no voters`);
    if (new Set(voters).size < voters.length) throw new InvalidSettingValue(`${what} names a voter twice`);
  }
  if (ranges !== undefined && !Array.isArray(ranges)) {
    throw new InvalidSettingValue(`${what}: ranges is a list, not ${shown(ranges)}`);
  }
  if (ranges === undefined && id !== CATALOG_GROUP) {
    throw new InvalidSettingValue(`${what} names no ranges; one that begins without keys has an empty list`);
  }
  if (preferredLeader !== undefined && !isWhole(preferredLeader, 1, 65535)) {
    throw new InvalidSettingValue(`${what}: preferredLeader is a node id, not ${shown(preferredLeader)}`);
  }
  return {
    id: id as number,
    ...(voters === undefined ? {} : { voters: voters as number[] }),
    ...(ranges === undefined
      ? {}
      : { ranges: (ranges as unknown[]).map((range, at) => parseRange(range, `range ${at + 1} of ${what}`)) }),
    ...(preferredLeader === undefined ? {} : { preferredLeader: preferredLeader as number }),
  };
}

function fromText(raw: string): unknown {
  const text = raw.trim();
  if (/^\d+$/.test(text)) return Number(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidSettingValue(`must be a number or a JSON list of groups: ${(error as Error).message}`);
  }
}

/** The groups of a new cluster: `3`, or a list of groups (JSON on the command line, structured in a file). */
export function groupsSetting(common: {
  readonly description: string;
  readonly defaultValue: number;
}): Setting<GroupsSetting> {
  return {
    placeholder: 'count|list',
    description: common.description,
    defaultValue: common.defaultValue,
    isSwitch: false,
    parse(raw) {
      const value = typeof raw === 'string' ? fromText(raw) : raw;
      if (Array.isArray(value)) {
        const groups = value.map(parseGroup);
        const twice = groups.find((group, at) => groups.findIndex((other) => other.id === group.id) < at);
        if (twice !== undefined) throw new InvalidSettingValue(`group ${twice.id} is listed twice`);
        if (!groups.some((group) => group.id === CATALOG_GROUP)) {
          throw new InvalidSettingValue(`group ${CATALOG_GROUP}, which holds the catalog, is missing`);
        }
        return groups;
      }
      if (!isWhole(value, 0, MAX_DATA_GROUPS)) {
        throw new InvalidSettingValue(
          `must be a number from 0 to ${MAX_DATA_GROUPS} or a list of groups, not ${shown(raw)}`,
        );
      }
      return value;
    },
    format: (value) => (typeof value === 'number' ? String(value) : JSON.stringify(value)),
  };
}

interface NamedRange extends BootstrapRange {
  /** How a message names it. */
  readonly name: string;
}

const FIRST = Buffer.alloc(0);

const boundOf = (text: string): Buffer =>
  text.startsWith('hex:') ? Buffer.from(text.slice(4), 'hex') : Buffer.from(text);

function resolveRange(range: WrittenRange, group: GroupId): NamedRange {
  if (range.slots !== undefined) {
    const [first, last] = range.slots.split('-').map(Number) as [number, number];
    const db = range.db ?? 0;
    const bounds = { start: SLOTTED_KEYS.slotStart(db, first), end: SLOTTED_KEYS.slotStart(db, last + 1) };
    return { ...bounds, groupId: group, name: `slots ${range.slots} of database ${range.db ?? 0} (group ${group})` };
  }
  const { start, end } = range;
  return {
    start: start === undefined ? FIRST : boundOf(start),
    end: end === undefined ? undefined : boundOf(end),
    groupId: group,
    name: `the keys from ${start ?? 'the first'} to ${end ?? 'the last'} (group ${group})`,
  };
}

const keyText = (key: Buffer): string => (key.length === 0 ? 'the first key' : `hex:${key.toString('hex')}`);

/** Named ranges in order, made total: keys that nobody names are the catalog group's, unless that has ranges of its own. */
function completeRanges(named: readonly NamedRange[], isCatalogListed: boolean, problems: string[]): BootstrapRange[] {
  const sorted = named.toSorted((left, right) => Buffer.compare(left.start, right.start));
  const ranges: BootstrapRange[] = [];
  const add = (start: Buffer, end: Buffer | undefined, group: GroupId): void => {
    const last = ranges.at(-1);
    if (last?.groupId === group) ranges[ranges.length - 1] = { ...last, end };
    else ranges.push({ start, end, groupId: group });
  };
  const fill = (start: Buffer, end: Buffer | undefined): void => {
    if (isCatalogListed) {
      problems.push(`no group has the keys from ${keyText(start)} to ${end === undefined ? 'the last' : keyText(end)}`);
    }
    add(start, end, CATALOG_GROUP);
  };
  let from: Buffer | undefined = FIRST;
  let before: NamedRange | undefined;
  for (const range of sorted) {
    const least: Buffer = Buffer.compare(range.start, RESERVED_END) > 0 ? range.start : RESERVED_END;
    if (range.end !== undefined && Buffer.compare(range.end, least) <= 0) {
      problems.push(`there are no keys in ${range.name} that a group could have`);
      continue;
    }
    if (from === undefined || Buffer.compare(range.start, from) < 0) {
      problems.push(`${range.name} overlap ${before?.name ?? 'others'}`);
      continue;
    }
    if (Buffer.compare(range.start, from) > 0) fill(from, range.start);
    add(range.start, range.end, range.groupId);
    from = range.end;
    before = range;
  }
  if (from !== undefined) fill(from, undefined);
  return ranges;
}

const hex = (bound: Buffer): string => `hex:${bound.toString('hex')}`;

/** Data groups `2..count + 1` divide the slots of database 0 evenly, and what adapters divide; leaders are dealt out to the members in turn. */
function writtenGroups(count: number, members: readonly number[]): WrittenGroup[] {
  const preferred = (id: number): number => members[(id - 1) % members.length]!;
  const groups: WrittenGroup[] = [{ id: CATALOG_GROUP, preferredLeader: preferred(CATALOG_GROUP) }];
  const parts = KEYSPACES_OF_ADAPTERS.all
    .flatMap(({ foundingParts }) => foundingParts ?? [])
    .map((part) => part(count));
  for (let at = 0; at < count; at++) {
    const first = Math.floor((at * SLOT_COUNT) / count);
    const last = Math.floor(((at + 1) * SLOT_COUNT) / count) - 1;
    const others = parts
      .flatMap((part) => part[at] ?? [])
      .map(({ start, end }) => ({ start: hex(start), end: hex(end) }));
    groups.push({ id: at + 2, ranges: [{ slots: `${first}-${last}` }, ...others], preferredLeader: preferred(at + 2) });
  }
  return groups;
}

/**
 * What a cluster of these members is founded with.
 * @param members node ids, at least one
 * @returns the founding, and what is wrong with it: it may be used only when that is empty
 */
export function foundingOf(
  setting: GroupsSetting,
  members: readonly number[],
): { readonly founding: ClusterFounding; readonly problems: readonly string[] } {
  const ids = members.toSorted((left, right) => left - right);
  const written = (typeof setting === 'number' ? writtenGroups(setting, ids) : setting).toSorted((a, b) => a.id - b.id);
  const problems: string[] = [];
  const groups = written.map(({ id, voters = ids, preferredLeader }): FoundingGroup => {
    for (const voter of voters) {
      if (!ids.includes(voter))
        problems.push(`voter ${voter} of group ${id} is not a member; the members are ${ids.join(', ')}`);
    }
    if (preferredLeader !== undefined && !voters.includes(preferredLeader)) {
      problems.push(
        `the preferred leader ${preferredLeader} of group ${id} is not one of its voters ${voters.join(', ')}`,
      );
    }
    return {
      id: groupId(id),
      voters: voters.toSorted((left, right) => left - right).map(nodeId),
      preferredLeader: preferredLeader === undefined ? undefined : nodeId(preferredLeader),
    };
  });
  const named = written.flatMap(({ id, ranges }) => (ranges ?? []).map((range) => resolveRange(range, groupId(id))));
  const isCatalogListed = written[0]?.ranges !== undefined && written[0].ranges.length > 0;
  const ranges = completeRanges(named, isCatalogListed, problems);
  if (ranges.length > MAX_BOOTSTRAP_RANGES) {
    problems.push(
      `${ranges.length} ranges; a cluster begins with at most ${MAX_BOOTSTRAP_RANGES}, more come from splits`,
    );
  }
  return { founding: { groups, ranges }, problems };
}
