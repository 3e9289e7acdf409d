/**
 * Counts what is asked of each range, on the node that serves it, in windows with an explicit start and end. It runs once
 * per key of every command, so finding the range's counter must cost less than the lookup that a request makes anyway:
 * counters are kept beside the leaves of the route table (which never change), and the last one is tried first.
 *
 * Memory is bounded: so many ranges are counted one by one, the others by group, and only warm ranges get a detail.
 */
import type { GroupId, Millis } from '../../platform/index.ts';
import type { Route, RouteId } from '../contract/index.ts';
import { type LeafNode, Place, type RouteTable } from '../routes/index.ts';
import { DetailCounter } from './load-detail.ts';
import { type LoadWindow, type RouteLoad, WRITE_WEIGHT } from './load-window.ts';

/** Bounds of a sampler. */
export interface SamplerLimits {
  /** Ranges that are counted one by one in a window; the rest is counted by group. */
  readonly routes: number;
  /** Ranges with a detail. */
  readonly details: number;
  /** Weighted operations in a window from which on a range gets a detail. */
  readonly detailFrom: number;
}

/** 4,096 ranges, 64 details of at most 200 KiB each, when all keys are as long as one that is kept can be. */
export const DEFAULT_SAMPLER_LIMITS: SamplerLimits = { routes: 4_096, details: 64, detailFrom: 5_000 };

/** On the average one operation of eight is sampled. Random gaps, so that nothing periodic is missed. */
const GAP_MASK = 15;

/** Counts of one range, or of a group's ranges that have no counter of their own. */
class Counter {
  readonly groupId: GroupId;
  /** Undefined for a group. */
  readonly route: Route | undefined;
  reads = 0;
  writes = 0;
  readBytes = 0;
  writtenBytes = 0;
  detail: DetailCounter | undefined;

  constructor(groupId: GroupId, route: Route | undefined) {
    this.groupId = groupId;
    this.route = route;
  }

  get weight(): number {
    return this.reads + WRITE_WEIGHT * this.writes;
  }

  next(): void {
    this.reads = 0;
    this.writes = 0;
    this.readBytes = 0;
    this.writtenBytes = 0;
    this.detail?.next();
  }

  result(route: Route): RouteLoad {
    const { reads, writes, readBytes, writtenBytes } = this;
    return {
      routeId: route.id,
      start: route.start,
      groupId: route.groupId,
      routeVersion: route.modifiedVersion,
      reads,
      writes,
      readBytes,
      writtenBytes,
      detail: this.detail?.result(),
    };
  }
}

/** See the top of the file. */
export class LoadSampler {
  private readonly limits: SamplerLimits;
  private startMs: Millis;
  private readonly byRoute = new Map<RouteId, Counter>();
  private readonly byGroup = new Map<GroupId, Counter>();
  private details = 0;
  /** Counters beside the rows of leaves of `table`. */
  private readonly besideLeaves = new Map<LeafNode, (Counter | undefined)[]>();
  private table: RouteTable | undefined;
  private readonly place = new Place();
  /** Row of `lastCounter` in `table`. */
  private lastLeaf: LeafNode | undefined;
  private lastIndex = 0;
  private lastCounters: (Counter | undefined)[] = [];
  /** Operations until the next sample. */
  private gap = 1;
  private randomState: number;

  /**
   * @param startMs start of the first window
   * @param seed of the choice of samples
   */
  constructor(startMs: Millis, seed: number, limits: SamplerLimits = DEFAULT_SAMPLER_LIMITS) {
    this.startMs = startMs;
    this.limits = limits;
    this.randomState = seed >>> 0 || 1;
  }

  /**
   * Counts one access.
   * @param table the newest route table
   * @param key a storage key; copied when it is kept
   * @param bytes of the value
   * @param times accesses that this one stands for, when others are passed over
   */
  record(table: RouteTable, key: Buffer, isWrite: boolean, bytes: number, times = 1): void {
    const counter = this.counterOf(table, key);
    if (counter === undefined) return;
    if (isWrite) {
      counter.writes += times;
      counter.writtenBytes += bytes * times;
    } else {
      counter.reads += times;
      counter.readBytes += bytes * times;
    }
    if (--this.gap > 0) return;
    const draw = this.draw();
    this.gap = 1 + (draw & GAP_MASK);
    this.sample(counter, key, isWrite ? WRITE_WEIGHT : 1, draw >>> 4);
  }

  private counterOf(table: RouteTable, key: Buffer): Counter | undefined {
    const { lastLeaf, lastIndex } = this;
    if (table === this.table && lastLeaf !== undefined) {
      const { keys } = lastLeaf;
      if (lastIndex + 1 < keys.count && keys.compare(lastIndex, key) <= 0 && keys.compare(lastIndex + 1, key) > 0) {
        return this.lastCounters[lastIndex];
      }
    }
    if (table !== this.table) this.forgetPlaces(table);
    const { place } = this;
    if (!table.locate(key, place)) return undefined;
    const { leaf, index } = place;
    let counters = leaf === lastLeaf ? this.lastCounters : this.besideLeaves.get(leaf);
    if (counters === undefined) {
      counters = new Array<Counter | undefined>(leaf.keys.count).fill(undefined);
      this.besideLeaves.set(leaf, counters);
    }
    this.lastLeaf = leaf;
    this.lastIndex = index;
    this.lastCounters = counters;
    const known = counters[index];
    if (known !== undefined) return known;
    const counter = this.counterFor(table.routeAt(place));
    counters[index] = counter;
    return counter;
  }

  private forgetPlaces(table: RouteTable | undefined): void {
    this.table = table;
    this.besideLeaves.clear();
    this.lastLeaf = undefined;
  }

  private counterFor(route: Route): Counter {
    const known = this.byRoute.get(route.id);
    // Changed since: what was counted before is not the load of what it is now.
    if (known?.route?.modifiedVersion === route.modifiedVersion) return known;
    if (known !== undefined) this.forget(route.id, known);
    if (this.byRoute.size < this.limits.routes) {
      // The keys of a looked up route are views of its leaf, which would keep the leaf.
      const end = route.end === undefined ? undefined : Buffer.from(route.end);
      const counter = new Counter(route.groupId, { ...route, start: Buffer.from(route.start), end });
      this.byRoute.set(route.id, counter);
      return counter;
    }
    let ofGroup = this.byGroup.get(route.groupId);
    if (ofGroup === undefined) {
      ofGroup = new Counter(route.groupId, undefined);
      this.byGroup.set(route.groupId, ofGroup);
    }
    return ofGroup;
  }

  private forget(id: RouteId, counter: Counter): void {
    if (counter.detail !== undefined) this.details--;
    this.byRoute.delete(id);
  }

  private sample(counter: Counter, key: Buffer, weight: number, draw: number): void {
    if (counter.detail === undefined) {
      const { route } = counter;
      if (route === undefined || this.details >= this.limits.details) return;
      if (counter.weight < this.limits.detailFrom) return;
      counter.detail = new DetailCounter(route);
      this.details++;
    }
    counter.detail.sample(key, weight, draw);
  }

  /** Marsaglia's xorshift: random enough to choose samples, and cheap. */
  private draw(): number {
    let state = this.randomState;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.randomState = state;
    return state >>> 0;
  }

  /** The ranges of the window that is open with most weighted operations, most first. */
  hottest(limit: number): readonly Pick<RouteLoad, 'routeId' | 'start' | 'groupId' | 'reads' | 'writes'>[] {
    const busy = [...this.byRoute.values()].filter(({ weight }) => weight > 0);
    busy.sort((left, right) => right.weight - left.weight);
    return busy
      .slice(0, limit)
      .flatMap(({ route, groupId, reads, writes }) =>
        route === undefined ? [] : [{ routeId: route.id, start: route.start, groupId, reads, writes }],
      );
  }

  /** When the window that is open began. */
  get windowStartMs(): Millis {
    return this.startMs;
  }

  /** Ends the window, begins the next one, and gives what was counted. Warm ranges keep their places and details. */
  closeWindow(nowMs: Millis): LoadWindow {
    const routes: RouteLoad[] = [];
    for (const [id, counter] of this.byRoute) {
      const { route, weight } = counter;
      if (route !== undefined && weight > 0) routes.push(counter.result(route));
      if (counter.detail !== undefined && weight >= this.limits.detailFrom) counter.next();
      else this.forget(id, counter);
    }
    const coarse = [...this.byGroup.values()].map(({ groupId, reads, writes }) => ({ groupId, reads, writes }));
    this.byGroup.clear();
    this.forgetPlaces(undefined);
    const window = { startMs: this.startMs, endMs: nowMs, routes, coarse };
    this.startMs = nowMs;
    return window;
  }
}
