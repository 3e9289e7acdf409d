/**
 * What the nodes report, put together where the catalog is led. Everything is in memory and of one leadership; after a
 * change the nodes report anew within seconds, and load is known again after the next windows.
 */
import {
  type CatalogState,
  type ClusterWindow,
  clusterWindow,
  decodeWindow,
  type GroupPlacement,
  type ReportedWindow,
  type RouteId,
} from '../../distribution/index.ts';
import type { Clock, GroupId, Millis, NodeId, Term } from '../../platform/index.ts';
import type { CatalogSource } from '../catalog/index.ts';
import type { GroupReport, LoadReport } from '../contract/index.ts';
import type { LoadTimes } from './load-reporter.ts';

/** Windows that are kept; rules look at six. */
const KEPT_WINDOWS = 8;
/** Reports that a group is still believed after: one may be lost, one late. */
const BELIEVED_REPORTS = 3;
/** Part of a window that is waited for reports of it. */
const GRACE = 1 / 8;
/** Ranges whose bytes are kept; beyond, what was measured longest ago goes. */
const MAX_MEASURED = 131_072;

interface Believed extends GroupReport {
  readonly nodeId: NodeId;
  readonly heardMs: Millis;
}

export interface LoadCollectorOptions {
  readonly source: CatalogSource;
  readonly clock: Clock;
  readonly times: LoadTimes;
}

/** See the top of the file. */
export class LoadCollector {
  private readonly options: LoadCollectorOptions;
  /** Reports of windows by the number of their window, then by node; oldest first. */
  private readonly reported = new Map<number, Map<NodeId, ReportedWindow>>();
  private readonly merged = new Map<number, ClusterWindow>();
  private readonly groups = new Map<GroupId, Believed>();
  private readonly measured = new Map<RouteId, number>();
  private term: Term = 0;

  constructor(options: LoadCollectorOptions) {
    this.options = options;
    options.source.onChange(() => this.followTerm());
  }

  private followTerm(): void {
    const { leaderTerm } = this.options.source;
    if (leaderTerm === this.term) return;
    this.term = leaderTerm;
    this.reported.clear();
    this.merged.clear();
    this.groups.clear();
    this.measured.clear();
  }

  /** Takes a node's report. @throws CatalogCorruptError when its window cannot be read */
  take({ nodeId, led, ranges, window }: LoadReport): void {
    this.followTerm();
    const heardMs = this.options.clock.monotonicMs();
    for (const group of led) {
      const known = this.groups.get(group.group);
      if (known === undefined || group.term >= known.term) this.groups.set(group.group, { ...group, nodeId, heardMs });
    }
    for (const { id, bytes } of ranges) {
      // Taken out and put in again, so that the first one is the oldest.
      this.measured.delete(id);
      this.measured.set(id, bytes);
    }
    for (const id of this.measured.keys()) {
      if (this.measured.size <= MAX_MEASURED) break;
      this.measured.delete(id);
    }
    if (window !== undefined) this.takeWindow(decodeWindow(window));
  }

  private takeWindow(report: ReportedWindow): void {
    const number = Math.round(report.startMs / this.options.times.windowMs);
    const newest = this.newestNumber();
    if (newest !== undefined && number <= newest - KEPT_WINDOWS) return;
    let ofWindow = this.reported.get(number);
    if (ofWindow === undefined) {
      ofWindow = new Map();
      this.reported.set(number, ofWindow);
    }
    ofWindow.set(report.nodeId, report);
    this.merged.delete(number);
    const oldest = Math.max(number, newest ?? number) - KEPT_WINDOWS;
    for (const each of this.reported.keys()) {
      if (each > oldest) continue;
      this.reported.delete(each);
      this.merged.delete(each);
    }
  }

  private newestNumber(): number | undefined {
    return this.reported.size === 0 ? undefined : Math.max(...this.reported.keys());
  }

  /** Windows that every node has had time to report, oldest first. */
  windows(): ClusterWindow[] {
    this.followTerm();
    const { clock, times } = this.options;
    const nowMs = clock.nowMs();
    const windows: ClusterWindow[] = [];
    for (const number of [...this.reported.keys()].sort((left, right) => left - right)) {
      if (nowMs < (number + 1 + GRACE) * times.windowMs) continue;
      let window = this.merged.get(number);
      if (window === undefined) {
        window = clusterWindow([...this.reported.get(number)!.values()]);
        if (window === undefined) continue;
        this.merged.set(number, window);
      }
      windows.push(window);
    }
    return windows;
  }

  /** Groups as their leaders told lately; those that a job names are busy. */
  placements(state: CatalogState): GroupPlacement[] {
    this.followTerm();
    const { clock, times } = this.options;
    const sinceMs = clock.monotonicMs() - BELIEVED_REPORTS * times.reportMs;
    const inJobs = new Set<GroupId>();
    for (const { src, dst } of state.jobs.values()) inJobs.add(src).add(dst);
    const placements: GroupPlacement[] = [];
    for (const [id, { voters, nodeId, isBusy, bytes, heardMs }] of this.groups) {
      if (state.groups.get(id)?.state !== 'ACTIVE') {
        this.groups.delete(id);
        continue;
      }
      const leader = heardMs >= sinceMs ? nodeId : undefined;
      const isInJob = inJobs.has(id);
      placements.push({ id, voters, leader, isBusy: isBusy || isInJob, isUnfinished: isBusy && !isInJob, bytes });
    }
    return placements;
  }

  /** Bytes of ranges as they were measured last; a range that was cut or joined is another one. */
  rangeBytes(): ReadonlyMap<RouteId, number> {
    this.followTerm();
    return this.measured;
  }
}
