/**
 * A node's side of the heartbeat: every second it tells the catalog's leader that it lives, where it is and how busy it is,
 * and gets the cluster state back when that has changed.
 */
import { CatalogError, type ClusterState, type Endpoint } from '../../distribution/index.ts';
import type { Cancel, Millis, NodeId, Random, Scheduler } from '../../platform/index.ts';
import type { ForwardingCatalogClient } from './client.ts';
import type { ClusterStateVersion } from './codec.ts';

/** Between the end of a heartbeat and the next one, plus or minus a tenth so that nodes do not beat in step. */
const PERIOD_MS: Millis = 1_000;
const JITTER = 0.1;
/** Until the first cluster state is there: the cluster is being founded, or nobody was reached yet. */
const FIRST_PERIOD_MS: Millis = 200;
/** A heartbeat without an answer is given up after this. */
const TIMEOUT_MS: Millis = 3_000;

/** How busy a node is. */
export interface NodeLoad {
  readonly leaderCount: number;
  readonly replicaCount: number;
  readonly storedBytes: number;
}

/** What `NodeAgent` is made of. */
export interface NodeAgentOptions {
  readonly client: Pick<ForwardingCatalogClient, 'heartbeat'>;
  readonly nodeId: NodeId;
  /** 16 bytes that were chosen when the data folder was made. */
  readonly incarnation: Buffer;
  /** `host:port` where other nodes reach this one. */
  readonly address: string;
  readonly locality: string;
  readonly capabilities: bigint;
  readonly load: () => NodeLoad;
  /** Where clients reach the node now; left out: nobody is told. */
  readonly endpoints?: (() => readonly Endpoint[]) | undefined;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** This incarnation of the node was removed from the cluster for good; called once, and the heartbeat ends. */
  readonly onRemoved: (error: CatalogError) => void;
  /** Hears of refusals, once per reason, until a heartbeat is taken again; losses are normal and not reported. */
  readonly onRefused?: (error: CatalogError) => void;
  /** A heartbeat was taken after one that was refused. */
  readonly onTaken?: () => void;
}

/** See the top of the file. */
export class NodeAgent {
  private readonly options: NodeAgentOptions;
  private readonly listeners = new Set<(clusterState: ClusterState) => void>();
  private newest: ClusterState | undefined;
  private has: ClusterStateVersion = { incarnation: 0, revision: 0 };
  private lastRefusal: string | undefined;
  private isRunning = false;
  private cancel: Cancel | undefined;

  constructor(options: NodeAgentOptions) {
    this.options = options;
  }

  /** The newest cluster state that this node was given; undefined before the first. Heartbeats in it are as of that moment. */
  get clusterState(): ClusterState | undefined {
    return this.newest;
  }

  /** Hears of every newer cluster state. @returns ends the listening */
  onClusterState(listener: (clusterState: ClusterState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Begins with a heartbeat at once. */
  start(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    this.beat();
  }

  stop(): void {
    this.isRunning = false;
    this.cancel?.();
  }

  private beat(): void {
    const { client, random, scheduler, nodeId, incarnation, address, locality, capabilities, load } = this.options;
    const endpoints = this.options.endpoints?.() ?? [];
    const report = {
      ...{ nodeId, incarnation, address, locality, capabilities, ...load() },
      ...(endpoints.length === 0 ? {} : { endpoints }),
    };
    client
      .heartbeat(report, this.has, TIMEOUT_MS)
      .then(
        (given) => {
          if (this.lastRefusal !== undefined) this.options.onTaken?.();
          this.lastRefusal = undefined;
          if (given !== undefined && this.isRunning) this.take(given.incarnation, given.document);
        },
        (error: unknown) => this.hearRefusal(error),
      )
      .finally(() => {
        if (!this.isRunning) return;
        const periodMs = this.newest === undefined ? FIRST_PERIOD_MS : PERIOD_MS;
        const delayMs = periodMs * (1 + JITTER * (2 * random.next() - 1));
        this.cancel = scheduler.after(delayMs, () => this.beat());
      });
  }

  /** A leader that was replaced may still give away an older cluster state. */
  private take(incarnation: number, clusterState: ClusterState): void {
    const { has } = this;
    const isNewer =
      incarnation > has.incarnation || (incarnation === has.incarnation && clusterState.revision > has.revision);
    if (!isNewer) return;
    this.has = { incarnation, revision: clusterState.revision };
    this.newest = clusterState;
    for (const listener of this.listeners) listener(clusterState);
  }

  private hearRefusal(error: unknown): void {
    // Nobody leads, or the cluster is still to be founded: the next heartbeat will tell.
    if (!(error instanceof CatalogError) || error.code === 'NOT_BOOTSTRAPPED' || !this.isRunning) return;
    if (error.code === 'NODE_REMOVED') {
      this.stop();
      this.options.onRemoved(error);
      return;
    }
    if (error.code === this.lastRefusal) return;
    this.lastRefusal = error.code;
    this.options.onRefused?.(error);
  }
}
