/** What a command sees of the server that it runs on. Handlers get it from their session; `ServerState` implements it. */
import type { FeatureStanding } from '../../../distribution/index.ts';
import type { KvService } from '../../../kv/index.ts';
import type { Clock, Millis, Scheduler } from '../../../platform/index.ts';
import type { GuessLimiter } from '../../../security/index.ts';
import type { Messages } from '../messages/index.ts';
import type { LatencyEvents, Rates, SlowLog } from '../telemetry/index.ts';
import type { TrackingFigures } from '../tracking/index.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import type { ClusterTopology, SlotOwners } from './cluster-topology.ts';
import type { RedisConfig } from './config.ts';
import type { ConnectedClient } from './connected-client.ts';
import type { RatedCounter, ServerStats } from './counters.ts';
import type { CommandCatalogue, RedisFeature } from './declaration.ts';
import type { EventFlags } from './keyspace-events.ts';
import type { KnownScripts } from './script-runner.ts';
import type { UserService } from './users.ts';

/** What DEBUG does to the node below. */
export interface DebugControl {
  /** Whether leaders here delete keys that have expired, which readers do not see in any case. */
  setPurging(isOn: boolean): void;
  /** Makes everything that was applied here durable, and has it read from disk again. */
  rereadStores(): Promise<void>;
}

/** What a node keeps about commands. */
export interface WatchedCommands {
  readonly slowLog: SlowLog;
  readonly latency: LatencyEvents;
  /** Keys that commands which only read have looked for on this node, and found or not. */
  readonly keyspaceHits: number;
  readonly keyspaceMisses: number;
}

export interface ServerContext {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly table: CommandCatalogue;
  /** Scripts that this node knows. */
  readonly scripts: KnownScripts;
  /** Messages between clients of all nodes. */
  readonly messages: Messages;
  /** Keys that clients of this node keep. */
  readonly tracking: { readonly figures: TrackingFigures };
  /** What is set for the whole cluster. */
  readonly clusterSettings: ClusterSettings;
  /** How a feature of the cluster stands. */
  standingOf(feature: RedisFeature): FeatureStanding;
  /** The events of keys that are wanted. */
  readonly eventFlags: EventFlags;
  readonly config: RedisConfig;
  readonly stats: Readonly<ServerStats>;
  /** Connected clients by id. */
  readonly connections: ReadonlyMap<number, ConnectedClient>;
  /** Whether a number is that of another node's client, by the way it is made; it need not be connected. */
  isClientElsewhere(id: number): boolean;
  /** Commands that took long, spikes of latency, and who watches. */
  readonly watch: WatchedCommands;
  readonly topology: ClusterTopology;
  readonly slots: SlotOwners;
  /** Who may come in, and what they may do. */
  readonly users: UserService;
  /** Slows those who guess passwords. */
  readonly guesses: GuessLimiter;
  /** Identifies this process among all that ever ran: 40 hex digits. */
  readonly runId: string;
  /** What INFO calls the replication id: 40 hex digits. */
  readonly replicationId: string;
  readonly debug: DebugControl;
  /** Monotonic. */
  readonly startedMs: Millis;
  /** What the process took of the machine when the server was made. */
  readonly startupBytes: number;
  readonly rates: Rates<RatedCounter>;
  /** The port that the server listens on; 0 before it does. */
  readonly port: number;
  /** Replicas beside the leader that hold every acknowledged write. */
  quorumReplicas(): number;
  /** Hands over what this node leads. @returns false when it leads nothing */
  handOver(): Promise<boolean>;
  /** Replaces the configuration; limits apply to what is read from now on. */
  reconfigure(config: RedisConfig): void;
  /** Draws another replication id. */
  changeReplicationId(): void;
  /** Writes what a client wants to see in the log. */
  logForDebug(message: string): void;
  /** CONFIG RESETSTAT. */
  resetStats(): void;
  /** CLIENT PAUSE: holds commands back for a while. A pause never becomes shorter or weaker by another one. */
  pauseClients(durationMs: Millis, writesOnly: boolean): void;
  /** CLIENT UNPAUSE. */
  resumeClients(): void;
}
