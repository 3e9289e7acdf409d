/**
 * One version of the directory: every key has exactly one route. Immutable; `apply` gives the successor and shares what did
 * not change.
 *
 * Rows are stored without their end: it is the start of the next row. So a table cannot hold a gap or an overlap, and
 * whether a delta describes one is checked where the delta touches: every new row must end where its successor starts,
 * and where a start came or went the row before it must be part of the delta.
 */
import { assert, type GroupId, groupId, hlcTimestamp } from '../../platform/index.ts';
import {
  type CatalogDelta,
  type CatalogIncarnation,
  type CatalogVersion,
  type Route,
  type RouteId,
  RouteTableError,
} from '../contract/index.ts';
import { BTree, BTreeLoader, Place } from './btree.ts';

/*
 * Record: id u53, jobId u53, parentId u53, spanEpoch u53, createdVersion u53, modifiedVersion u53, splitAtTs u64,
 * minWriteTs u64, groupId u32, state u8. In memory only.
 */
const RECORD_BYTES = 8 * 8 + 4 + 1;
const GROUP_AT = 64;
const STATE_AT = 68;
const TWO_32 = 0x1_0000_0000;

const readUint53 = (buffer: Buffer, at: number): number =>
  buffer.readUInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);

function writeUint53(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / TWO_32), at);
  buffer.writeUInt32BE(value >>> 0, at + 4);
}

function encodeRecord(route: Route, record: Buffer): Buffer {
  writeUint53(record, route.id, 0);
  writeUint53(record, route.jobId, 8);
  writeUint53(record, route.parentId, 16);
  writeUint53(record, route.spanEpoch, 24);
  writeUint53(record, route.createdVersion, 32);
  writeUint53(record, route.modifiedVersion, 40);
  record.writeBigUInt64BE(route.splitAtTs, 48);
  record.writeBigUInt64BE(route.minWriteTs, 56);
  record.writeUInt32BE(route.groupId, GROUP_AT);
  record[STATE_AT] = route.state === 'MOVING' ? 1 : 0;
  return record;
}

function decodeRecord(records: Buffer, index: number, start: Buffer, end: Buffer | undefined): Route {
  const at = index * RECORD_BYTES;
  return {
    id: readUint53(records, at),
    start,
    end,
    groupId: groupId(records.readUInt32BE(at + GROUP_AT)),
    state: records[at + STATE_AT] === 1 ? 'MOVING' : 'ACTIVE',
    jobId: readUint53(records, at + 8),
    parentId: readUint53(records, at + 16),
    splitAtTs: hlcTimestamp(records.readBigUInt64BE(at + 48)),
    minWriteTs: hlcTimestamp(records.readBigUInt64BE(at + 56)),
    spanEpoch: readUint53(records, at + 24),
    createdVersion: readUint53(records, at + 32),
    modifiedVersion: readUint53(records, at + 40),
  };
}

/** Key of the group index: the group, then the start of the route. */
function groupKey(group: GroupId, start: Buffer): Buffer {
  const key = Buffer.allocUnsafe(4 + start.length);
  key.writeUInt32BE(group, 0);
  key.set(start, 4);
  return key;
}

const sameKey = (left: Buffer | undefined, right: Buffer | undefined): boolean =>
  left === undefined || right === undefined ? left === right : left.equals(right);

const show = (key: Buffer | undefined): string => (key === undefined ? '+inf' : `'${key.toString('latin1')}'`);

// Searches are synchronous, so one of each serves them all.
const place = new Place();
const scratchRecord = Buffer.alloc(RECORD_BYTES);

/** One immutable version of the directory; see the top of the file. */
export class RouteTable {
  readonly version: CatalogVersion;
  readonly incarnation: CatalogIncarnation;
  /** Greatest route id that was ever in the table; new rows must be above it. */
  readonly maxRouteId: RouteId;
  private readonly routes: BTree;
  private readonly byGroup: BTree;

  /** For this module and its loader; use `RouteTable.empty`, `apply` or `RouteTableLoader`. */
  constructor(
    version: CatalogVersion,
    incarnation: CatalogIncarnation,
    maxRouteId: RouteId,
    routes: BTree,
    byGroup: BTree,
  ) {
    this.version = version;
    this.incarnation = incarnation;
    this.maxRouteId = maxRouteId;
    this.routes = routes;
    this.byGroup = byGroup;
  }

  /** Version 0: nothing is known, every lookup answers undefined. */
  static empty(incarnation: CatalogIncarnation): RouteTable {
    return new RouteTable(0, incarnation, 0, BTree.empty(RECORD_BYTES), BTree.empty(0));
  }

  /** The same routes in another life of the catalog. */
  inIncarnation(incarnation: CatalogIncarnation): RouteTable {
    if (incarnation === this.incarnation) return this;
    return new RouteTable(this.version, incarnation, this.maxRouteId, this.routes, this.byGroup);
  }

  /** Number of routes. */
  get size(): number {
    return this.routes.size;
  }

  /** The route that `key` lies in; undefined only in an empty table. Its keys are views that must not be changed. */
  lookup(key: Buffer): Route | undefined {
    if (!this.routes.floor(key, place)) return undefined;
    return this.at(place);
  }

  /** The group of the route that `key` lies in: `lookup` without an allocation. */
  groupOf(key: Buffer): GroupId | undefined {
    if (!this.routes.floor(key, place)) return undefined;
    return groupId(place.leaf.records.readUInt32BE(place.index * RECORD_BYTES + GROUP_AT));
  }

  /** Where the row of the route that holds `key` is: for who keeps something per row and must not allocate. */
  locate(key: Buffer, found: Place): boolean {
    return this.routes.floor(key, found);
  }

  /** The route whose row `locate` found. */
  routeAt(found: Place): Route {
    return this.at(found);
  }

  /** The route that starts exactly at `start`. */
  startingAt(start: Buffer): Route | undefined {
    return this.routes.find(start, place) ? this.at(place) : undefined;
  }

  /** The last route that starts below `key`. */
  before(key: Buffer): Route | undefined {
    return this.routes.floor(key, place, true) ? this.at(place) : undefined;
  }

  private at(found: Place): Route {
    const end = found.nextKey();
    // The start of the key space is the first row's start, so a floor search cannot end before its row.
    return decodeRecord(found.leaf.records, found.index, found.key(), end);
  }

  /** Routes that share a key with `[start, end)`, in order; O(log n + routes). `end` undefined is the end of the key space. */
  *overlap(start: Buffer, end: Buffer | undefined): Generator<Route> {
    if (end !== undefined && Buffer.compare(start, end) >= 0) return;
    let held: { leaf: { readonly records: Buffer }; index: number; key: Buffer } | undefined;
    for (const { leaf, index } of this.routes.walk(start)) {
      const key = leaf.keys.key(index);
      if (held !== undefined) yield decodeRecord(held.leaf.records, held.index, held.key, key);
      held = { leaf, index, key };
      if (end !== undefined && Buffer.compare(key, end) >= 0) return;
    }
    if (held !== undefined) yield decodeRecord(held.leaf.records, held.index, held.key, undefined);
  }

  /** All routes in order. */
  all(): Generator<Route> {
    return this.overlap(Buffer.alloc(0), undefined);
  }

  /** Routes of a group in order of their starts; O(log n) for each. */
  *ofGroup(group: GroupId): Generator<Route> {
    for (const { leaf, index } of this.byGroup.walk(groupKey(group, Buffer.alloc(0)))) {
      const key = leaf.keys.key(index);
      const owner = key.readUInt32BE(0);
      if (owner > group) return;
      if (owner === group) yield this.startingAt(key.subarray(4))!;
    }
  }

  /** Groups that have a route, ascending; O(log n) for each. */
  groups(): GroupId[] {
    const groups: GroupId[] = [];
    let from: Buffer = Buffer.alloc(4);
    while (true) {
      const next = this.nextGroup(from);
      if (next === undefined) return groups;
      groups.push(groupId(next));
      if (next === 0xffff_ffff) return groups;
      from = groupKey(groupId(next + 1), Buffer.alloc(0));
    }
  }

  private nextGroup(from: Buffer): number | undefined {
    for (const { leaf, index } of this.byGroup.walk(from)) {
      if (leaf.keys.compare(index, from) >= 0) return leaf.keys.key(index).readUInt32BE(0);
    }
    return undefined;
  }

  /**
   * The next version. This table stays as it is.
   * @throws RouteTableError when the delta is not that of the next version, or when its rows would leave a gap or an
   *   overlap, use an id twice, or delete what is not there
   */
  apply(delta: CatalogDelta): RouteTable {
    if (delta.version !== this.version + 1) {
      throw new RouteTableError(`delta ${delta.version} does not follow version ${this.version}`);
    }
    let { routes, byGroup, maxRouteId } = this;
    const ids = new Set<RouteId>();
    /** Starts of new and changed rows. */
    const written = new Set<string>();
    const deleted: Buffer[] = [];
    const added: Buffer[] = [];

    for (const mutation of delta.mutations) {
      const id = mutation.kind === 'delete' ? mutation.id : mutation.route.id;
      if (ids.has(id)) throw new RouteTableError(`delta ${delta.version} names route ${id} twice`);
      ids.add(id);
      if (mutation.kind !== 'delete') continue;
      const row = this.startingAt(mutation.start);
      if (row?.id !== id) throw new RouteTableError(`no route ${id} starts at ${show(mutation.start)}`);
      routes = routes.delete(row.start);
      byGroup = byGroup.delete(groupKey(row.groupId, row.start));
      deleted.push(mutation.start);
    }
    for (const mutation of delta.mutations) {
      if (mutation.kind !== 'upsert') continue;
      const { route } = mutation;
      written.add(route.start.toString('latin1'));
      const isUpdate = routes.find(route.start, place);
      if (isUpdate) {
        const old = this.at(place);
        if (old.id !== route.id) {
          throw new RouteTableError(`routes ${old.id} and ${route.id} both start at ${show(route.start)}`);
        }
        byGroup = byGroup.delete(groupKey(old.groupId, old.start));
      } else {
        if (route.id <= this.maxRouteId) throw new RouteTableError(`route id ${route.id} was used before`);
        maxRouteId = Math.max(maxRouteId, route.id);
        added.push(route.start);
      }
      routes = routes.set(route.start, encodeRecord(route, scratchRecord));
      byGroup = byGroup.set(groupKey(route.groupId, route.start));
    }

    for (const mutation of delta.mutations) {
      if (mutation.kind === 'upsert') checkEnd(routes, mutation.route);
    }
    for (const start of added) {
      if (!this.routes.find(start, place)) checkBefore(routes, start, written);
    }
    for (const start of deleted) {
      if (!routes.find(start, place)) checkBefore(routes, start, written);
    }
    if (!routes.find(Buffer.alloc(0), place))
      throw new RouteTableError('no route starts at the start of the key space');
    assert(byGroup.size === routes.size, 'the group index has every route once');
    return new RouteTable(delta.version, this.incarnation, maxRouteId, routes, byGroup);
  }
}

/** A row must end where the next one starts. */
function checkEnd(routes: BTree, route: Route): void {
  const isFound = routes.find(route.start, place);
  assert(isFound, 'a row that was written is there');
  const next = place.nextKey();
  if (sameKey(route.end, next)) return;
  throw new RouteTableError(
    `route ${route.id} [${show(route.start)}, ${show(route.end)}) is followed by a route from ${show(next)}`,
  );
}

/** Where a start came or went, the row before it has another end now, so it must be one of the written rows. */
function checkBefore(routes: BTree, start: Buffer, written: ReadonlySet<string>): void {
  if (start.length === 0 || !routes.floor(start, place, true)) return;
  if (!written.has(place.key().toString('latin1'))) {
    throw new RouteTableError(`the route before ${show(start)} does not end there any more`);
  }
}

/** Builds a table in O(n) from routes that come in order of their starts, page by page. */
export class RouteTableLoader {
  private readonly routes = new BTreeLoader(RECORD_BYTES);
  /** Keys of the group index; routes come in order, so the keys of each group do. */
  private readonly index = new Map<GroupId, Buffer[]>();
  private readonly ids: RouteId[] = [];
  private lastEnd: Buffer | undefined = Buffer.alloc(0);

  /** Number of routes so far. */
  get size(): number {
    return this.ids.length;
  }

  /** @throws RouteTableError when the route does not start where the last one ended */
  add(route: Route): void {
    if (!sameKey(route.start, this.lastEnd)) {
      throw new RouteTableError(`route ${route.id} starts at ${show(route.start)}, not at ${show(this.lastEnd)}`);
    }
    if (route.end !== undefined && Buffer.compare(route.start, route.end) >= 0) {
      throw new RouteTableError(`route ${route.id} is empty`);
    }
    this.routes.add(route.start, encodeRecord(route, scratchRecord));
    const key = groupKey(route.groupId, route.start);
    const ofGroup = this.index.get(route.groupId);
    if (ofGroup === undefined) this.index.set(route.groupId, [key]);
    else ofGroup.push(key);
    this.ids.push(route.id);
    this.lastEnd = route.end;
  }

  /** @throws RouteTableError when keys are not covered or an id occurs twice */
  finish(version: CatalogVersion, incarnation: CatalogIncarnation): RouteTable {
    if (this.lastEnd !== undefined) throw new RouteTableError(`no route covers the keys from ${show(this.lastEnd)} on`);
    const ids = Float64Array.from(this.ids).sort();
    for (let at = 1; at < ids.length; at++) {
      if (ids[at] === ids[at - 1]) throw new RouteTableError(`two routes have the id ${ids[at]}`);
    }
    const byGroup = new BTreeLoader(0);
    for (const [, keys] of [...this.index].sort(([a], [b]) => a - b)) {
      for (const key of keys) byGroup.add(key);
    }
    return new RouteTable(version, incarnation, ids.at(-1)!, this.routes.finish(), byGroup.finish());
  }
}
