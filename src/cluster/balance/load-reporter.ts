/**
 * What a node tells the leader of the catalog group: which groups it leads and how they stand, every few seconds; and once a
 * window what was asked of their ranges. Windows begin and end at multiples of their length by the wall clock, so those of
 * different nodes belong together. A report that is lost is not repeated: the rules decline while something is missing.
 */
import {
  encodeWindow,
  type LoadWindow,
  type ReportedWindow,
  type Route,
  type RouteLoad,
  type RouteTable,
  scoreOf,
} from '../../distribution/index.ts';
import type { Cancel, Clock, GroupId, Millis, NodeId, Scheduler, Term } from '../../platform/index.ts';
import type { GroupStatus } from '../../raftengine/index.ts';
import type { GroupReport, LoadReport, MeasuredRange } from '../contract/index.ts';
import type { LoadRecorder } from './load-recorder.ts';

/** Periods of load signals; the same on all nodes. */
export interface LoadTimes {
  readonly windowMs: Millis;
  /** Between reports of groups. */
  readonly reportMs: Millis;
}

export const DEFAULT_LOAD_TIMES: LoadTimes = { windowMs: 60_000, reportMs: 5_000 };

/** Largest encoded window; the coldest ranges are told by group beyond it. */
export const MAX_WINDOW_BYTES = 1 << 20;
/** Ranges measured for one report: each is two questions to a database. */
const MEASURED_RANGES = 64;

/** A replica of this node, as far as load is concerned. */
export interface LoadedGroup {
  readonly groupId: GroupId;
  readonly isServing: boolean;
  status(): GroupStatus;
  /** Bytes on disk; undefined where they are not known. `end` undefined is the end of the key space. */
  bytes(start: Buffer, end: Buffer | undefined): Promise<number | undefined>;
}

export interface LoadReporterOptions {
  readonly nodeId: NodeId;
  readonly recorder: LoadRecorder;
  readonly routes: { readonly current: RouteTable };
  readonly groups: () => readonly LoadedGroup[];
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly times: LoadTimes;
  /** Whether the cluster takes reports: an older program would not understand them. */
  readonly isTaken: () => boolean;
  /** Brings a report to the leader of the catalog group. */
  readonly send: (report: LoadReport) => Promise<void>;
}

/** Bytes of a replica and what they were measured at. */
interface Measured {
  readonly appliedIndex: number;
  readonly bytes: number | undefined;
}

const ALL_KEYS = Buffer.alloc(0);

/** See the top of the file. */
export class LoadReporter {
  private readonly options: LoadReporterOptions;
  private cancel: Cancel | undefined;
  private isStopped = false;
  /** End of the present window by the wall clock; 0 before the first. */
  private windowEndMs: Millis = 0;
  /** Groups that this node led when the present window began, with their terms. */
  private ledAtStart = new Map<GroupId, Term>();
  /** The node began in the middle of the present window. */
  private isPartial = true;
  private window: Buffer | undefined;
  private readonly measured = new Map<GroupId, Measured>();
  /** Where the measuring of ranges goes on. */
  private cursor: Buffer = ALL_KEYS;
  private isReporting = false;
  private nextReportMs: Millis = 0;

  constructor(options: LoadReporterOptions) {
    this.options = options;
  }

  start(): void {
    this.beginWindow(this.options.clock.nowMs());
    this.schedule();
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
  }

  /** Bytes of all replicas here, as far as they were measured. */
  storedBytes(): number {
    let sum = 0;
    for (const { bytes = 0 } of this.measured.values()) sum += bytes;
    return sum;
  }

  storedBytesOf(group: GroupId): number | undefined {
    return this.measured.get(group)?.bytes;
  }

  /** Wakes for the end of the window and for the next report, whichever is first. */
  private schedule(): void {
    if (this.isStopped) return;
    const { clock, scheduler, times } = this.options;
    const untilEndMs = Math.max(0, this.windowEndMs - clock.nowMs());
    this.cancel = scheduler.after(Math.min(untilEndMs, times.reportMs), () => this.tick());
  }

  private tick(): void {
    if (this.isStopped) return;
    const { clock, times } = this.options;
    const nowMs = clock.nowMs();
    // A wall clock that was set back begins a window anew.
    const isSetBack = this.windowEndMs - nowMs > times.windowMs;
    const isOver = nowMs >= this.windowEndMs;
    if (isOver || isSetBack) this.endWindow(nowMs, isSetBack);
    const isDue = clock.monotonicMs() >= this.nextReportMs;
    if ((isDue || this.window !== undefined) && !this.isReporting) {
      this.nextReportMs = clock.monotonicMs() + times.reportMs;
      this.isReporting = true;
      this.report()
        .catch(() => undefined)
        .finally(() => {
          this.isReporting = false;
        });
    }
    this.schedule();
  }

  private leads(): Map<GroupId, Term> {
    const led = new Map<GroupId, Term>();
    for (const group of this.options.groups()) if (group.isServing) led.set(group.groupId, group.status().term);
    return led;
  }

  private beginWindow(nowMs: Millis): void {
    const { windowMs } = this.options.times;
    this.windowEndMs = (Math.floor(nowMs / windowMs) + 1) * windowMs;
    this.ledAtStart = this.leads();
  }

  private endWindow(nowMs: Millis, isBroken: boolean): void {
    const { nodeId, recorder } = this.options;
    const counted = recorder.closeWindow(nowMs);
    const now = this.leads();
    const ledGroups = [...this.ledAtStart].filter(([group, term]) => now.get(group) === term).map(([group]) => group);
    this.window = this.isPartial || isBroken ? undefined : encodeWindow({ ...boundWindow(counted), nodeId, ledGroups });
    this.isPartial = isBroken;
    this.beginWindow(nowMs);
  }

  private async report(): Promise<void> {
    const { nodeId, groups, send, isTaken } = this.options;
    const { window } = this;
    this.window = undefined;
    const led: GroupReport[] = [];
    const here = new Set<GroupId>();
    for (const group of groups()) {
      const status = group.status();
      here.add(group.groupId);
      const bytes = await this.measure(group, status.appliedIndex);
      if (!group.isServing) continue;
      const { voters, votersOutgoing, learners, learnersNext } = status.conf;
      const isBusy = votersOutgoing.length + learners.length + learnersNext.length > 0;
      led.push({ group: group.groupId, term: status.term, voters, isBusy, bytes });
    }
    for (const group of this.measured.keys()) if (!here.has(group)) this.measured.delete(group);
    if (!isTaken()) return;
    const ranges = await this.measureRanges();
    if (!this.isStopped) await send({ nodeId, led, ranges, window });
  }

  private async measure(group: LoadedGroup, appliedIndex: number): Promise<number | undefined> {
    const known = this.measured.get(group.groupId);
    if (known?.appliedIndex === appliedIndex) return known.bytes;
    const bytes = await group.bytes(ALL_KEYS, undefined).catch(() => undefined);
    this.measured.set(group.groupId, { appliedIndex, bytes });
    return bytes;
  }

  /** A few ranges of groups that are led here, in order of their keys, from where the last report ended. */
  private async measureRanges(): Promise<MeasuredRange[]> {
    const { routes, groups } = this.options;
    const led = new Map(groups().flatMap((group) => (group.isServing ? [[group.groupId, group]] : [])));
    const wanted: Route[] = [];
    let looked = 0;
    let next: Buffer | undefined = ALL_KEYS;
    for (const route of routes.current.overlap(this.cursor, undefined)) {
      next = route.end;
      if (led.has(route.groupId)) wanted.push(route);
      if (wanted.length >= MEASURED_RANGES || ++looked >= 16 * MEASURED_RANGES) break;
    }
    this.cursor = next === undefined ? ALL_KEYS : Buffer.from(next);
    const found: MeasuredRange[] = [];
    for (const { id, groupId, start, end } of wanted) {
      const bytes = await led
        .get(groupId)
        ?.bytes(start, end)
        .catch(() => undefined);
      if (bytes !== undefined) found.push({ id, bytes });
    }
    return found;
  }
}

const COUNTS_BYTES = 96;
const KEY_BYTES = 24;

/** What a row takes at most once it is encoded. */
function encodedBytes({ start, detail }: RouteLoad): number {
  let bytes = COUNTS_BYTES + start.length;
  for (const bound of detail?.bounds ?? []) bytes += bound.length + KEY_BYTES;
  for (const { key } of detail?.topKeys ?? []) bytes += key.length + KEY_BYTES;
  return bytes;
}

/**
 * A window that fits into a report: the hottest ranges as they are, the others by group, so that whoever reads it knows that
 * something was left out.
 */
export function boundWindow(
  window: LoadWindow,
  maxBytes = MAX_WINDOW_BYTES,
): Omit<ReportedWindow, 'nodeId' | 'ledGroups'> {
  let bytes = 0;
  for (const row of window.routes) bytes += encodedBytes(row);
  if (bytes <= maxBytes) return window;
  const hottest = [...window.routes].sort((left, right) => scoreOf(right, window) - scoreOf(left, window));
  const routes: RouteLoad[] = [];
  const coarse = new Map(window.coarse.map((row) => [row.groupId, row]));
  bytes = 0;
  for (const row of hottest) {
    bytes += encodedBytes(row);
    if (bytes <= maxBytes) {
      routes.push(row);
      continue;
    }
    const { groupId } = row;
    const before = coarse.get(groupId) ?? { groupId, reads: 0, writes: 0 };
    coarse.set(groupId, { groupId, reads: before.reads + row.reads, writes: before.writes + row.writes });
  }
  return { ...window, routes, coarse: [...coarse.values()] };
}
