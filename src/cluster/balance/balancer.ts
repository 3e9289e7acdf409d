/**
 * Balancing on a node: it reports what it leads and what is asked of it, and where the catalog is led the rules are asked
 * with what all nodes reported, and have done what they say.
 */
import { type CatalogState, EMPTY_CATALOG, isFeatureActive, type KeyRules } from '../../distribution/index.ts';
import type { Clock, GroupId, HlcTimestamp, Millis, NodeId, Random, Scheduler } from '../../platform/index.ts';
import type { BalanceDoor, CatalogLeader, ForwardingCatalogClient, Heartbeats } from '../catalog/index.ts';
import type { BalanceReport, BalanceStatus, BalanceTimes, LoadReport } from '../contract/index.ts';
import { BalanceActions, type BalanceActionsOptions } from './actions.ts';
import { LoadCollector } from './load-collector.ts';
import type { LoadRecorder } from './load-recorder.ts';
import {
  DEFAULT_LOAD_TIMES,
  type LoadedGroup,
  LoadReporter,
  type LoadReporterOptions,
  type LoadTimes,
} from './load-reporter.ts';
import { BalanceScheduler, DEFAULT_BALANCE_TIMES } from './scheduler.ts';

/** Active before the first report is sent: a leader of an older program would not understand it. */
export const BALANCE_FEATURE = 'ranges.balance';
/** A node that was silent for longer is not there. */
const LIVE_MS: Millis = 5_000;

/** Periods of all of it; those of load are the same on all nodes. */
export interface BalancerTimes {
  readonly load?: Partial<LoadTimes>;
  readonly rules?: BalanceTimes;
}

export interface BalancerOptions {
  readonly nodeId: NodeId;
  readonly catalogGroup: GroupId;
  readonly recorder: LoadRecorder;
  readonly routes: LoadReporterOptions['routes'];
  readonly groups: () => readonly LoadedGroup[];
  readonly leader: CatalogLeader;
  readonly heartbeats: Heartbeats;
  readonly catalog: ForwardingCatalogClient;
  readonly admin: BalanceActionsOptions['admin'];
  /** The cluster state that this node was given last. */
  readonly features: () => Parameters<typeof isFeatureActive>[0] | undefined;
  readonly nowTs: () => HlcTimestamp;
  /** True for a node that should not lead. */
  readonly isUnfit: (node: NodeId) => boolean;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly times?: BalancerTimes;
  /** Where hot ranges may be cut. */
  readonly keyRules: KeyRules;
  /** Hears of everything worth telling an operator. */
  readonly onReport: (report: BalanceReport) => void;
}

/** See the top of the file. */
export class Balancer implements BalanceDoor {
  private readonly options: BalancerOptions;
  private readonly reporter: LoadReporter;
  private readonly collector: LoadCollector;
  private readonly rules: BalanceScheduler;

  constructor(options: BalancerOptions) {
    const { nodeId, recorder, routes, groups, leader, catalog, clock, scheduler, features } = options;
    const times = { ...DEFAULT_LOAD_TIMES, ...options.times?.load };
    this.options = options;
    this.collector = new LoadCollector({ source: leader, clock, times });
    this.reporter = new LoadReporter({
      nodeId,
      recorder,
      routes,
      groups,
      clock,
      scheduler,
      times,
      isTaken: () => isFeatureActive(features() ?? { features: [] }, BALANCE_FEATURE),
      send: (report) => catalog.reportLoad(report, times.reportMs),
    });
    const isLeading = (): boolean => leader.state?.meta !== undefined;
    const clusterState = () => options.heartbeats.clusterState(this.state());
    const liveNodes = () => options.heartbeats.liveNodes(this.state(), LIVE_MS);
    this.rules = new BalanceScheduler({
      clock,
      scheduler,
      catalogGroup: options.catalogGroup,
      keyRules: options.keyRules,
      isLeading,
      times: options.times?.rules ?? DEFAULT_BALANCE_TIMES,
      inputs: {
        clusterState,
        routes: () => this.state().routes,
        windows: () => this.collector.windows(),
        groupStatus: () => this.collector.placements(this.state()),
        liveNodes,
        unfitNodes: () => new Set([...this.state().nodes.values()].map((row) => row.nodeId).filter(options.isUnfit)),
        rangeBytes: () => this.collector.rangeBytes(),
      },
      outputs: new BalanceActions({
        catalog: leader,
        admin: options.admin,
        ...{ isLeading, clusterState, liveNodes },
        routes: () => this.state().routes,
        nowTs: options.nowTs,
        clock,
        scheduler,
        random: options.random,
        onReport: options.onReport,
      }),
    });
  }

  /** Bytes of all replicas of this node, as far as they were measured. */
  get storedBytes(): number {
    return this.reporter.storedBytes();
  }

  /** Of one replica here; undefined while it was not measured. */
  storedBytesOf(group: GroupId): number | undefined {
    return this.reporter.storedBytesOf(group);
  }

  start(): void {
    this.reporter.start();
    this.rules.start();
  }

  stop(): void {
    this.reporter.stop();
    this.rules.stop();
  }

  take(report: LoadReport): void {
    this.collector.take(report);
  }

  status(): BalanceStatus {
    const windows = this.collector.windows();
    return {
      nodeId: this.options.nodeId,
      duties: this.rules.status(),
      windowCount: windows.length,
      completeGroups: windows.at(-1)?.completeGroups.size ?? 0,
      reports: this.rules.reports(),
    };
  }

  private state(): CatalogState {
    return this.options.leader.state ?? EMPTY_CATALOG;
  }
}
