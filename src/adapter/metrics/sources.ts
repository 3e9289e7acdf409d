/** What metrics are made of: the counters and the states that a node's layers have. */

import type { WatchStatus } from '../../cluster/index.ts';
import type {
  ExecutorStats,
  OracleClientStats,
  ProxyStats,
  ReadStats,
  ShadowStats,
  TxnCounters,
} from '../../kv/index.ts';
import type {
  BucketCounts,
  DiskCounters,
  GroupId,
  HeldCounter,
  Millis,
  NetworkCounters,
} from '../../platform/index.ts';
import type { EngineCounters, GroupStatus } from '../../raftengine/index.ts';
import type { LevelUse, StoreActivity, StorePressures } from '../../store/index.ts';
import type { GrpcCounters } from './grpc-calls.ts';

/** A replica of this node, as of the scrape. */
export interface GroupFacts {
  readonly groupId: GroupId;
  readonly status: GroupStatus;
  readonly executor: ExecutorStats;
  /** Timestamps are issued below it, unix milliseconds; 0 while none may be. */
  readonly clockBoundMs: Millis;
  readonly authorityEpoch: number;
  /** Locks of transactions in force. */
  readonly locks: number;
  readonly pressures: StorePressures | undefined;
  /** Whether writes are let in: `ok`, `slow`, `stop`; and how many were not. */
  readonly admissionLevel: string;
  readonly refusals: number;
  readonly keyRefusals: number;
  /** What is older may be gone, unix milliseconds; 0 before anything was let go of. */
  readonly gcThresholdMs: Millis;
}

/** A move that is not finished, where the catalog is led. */
export interface JobFacts {
  readonly phase: string;
  readonly createdMs: Millis;
}

/** How the cluster stands with its backups. */
export interface BackupFacts {
  /** Between scheduled ones; 0 for none. */
  readonly everyMs: Millis;
  /** When the last good one was begun; 0 for never. */
  readonly lastMs: Millis;
  readonly isRunning: boolean;
  /** The newest one that ended was given up. */
  readonly isFailing: boolean;
  /** Of the archive of changes; undefined while it is off. */
  readonly archive:
    | {
        readonly everyMs: Millis;
        /** The last moment that it leads to; 0 before it has begun. */
        readonly untilMs: Millis;
        /** The first moment that can be restored; 0 while none can. */
        readonly sinceMs: Millis;
        readonly failures: number;
      }
    | undefined;
}

/** What DynamoDB clients ask and get. */
export interface DynamodbFacts {
  readonly operations: readonly {
    readonly operation: string;
    readonly calls: number;
    readonly latencyMs: BucketCounts;
  }[];
  /** By the names of exceptions. */
  readonly exceptions: ReadonlyMap<string, number>;
  readonly connections: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** What Redis clients ask and get. */
export interface RedisFacts {
  readonly stats: {
    readonly connectionsReceived: number;
    readonly connectionsRejected: number;
    readonly inputBytes: number;
    readonly outputBytes: number;
    readonly errorReplies: number;
  };
  readonly connections: number;
  /** Messages between clients. */
  readonly messages: {
    readonly publishedMessages: number;
    readonly deliveredMessages: number;
    readonly sentMessages: number;
    readonly droppedMessages: number;
    /** Pairs of a client and what it listens to. */
    readonly subscriptions: number;
    /** What anybody in the cluster listens to. */
    readonly topics: { readonly channel: number; readonly pattern: number; readonly shard: number };
    readonly backlogBytes: number;
  };
  /** Commands that were called, by full name such as `client|setname`. */
  readonly commands: readonly {
    readonly name: string;
    readonly counters: { readonly calls: number; readonly errors: number; readonly latencyMs: BucketCounts };
  }[];
}

/** Everything that a scrape reads. */
export interface MetricSources {
  readonly version: string;
  readonly nowMs: Millis;
  readonly isReady: boolean;
  /** By id. */
  readonly groups: readonly GroupFacts[];
  /** Groups that take part in ticks and heartbeats. */
  readonly awakeGroups: number;
  readonly engine: EngineCounters;
  readonly network: NetworkCounters;
  readonly logDisk: DiskCounters;
  readonly store: StoreActivity;
  /** The data disk; undefined where it cannot be asked. */
  readonly diskFreeBytes: number | undefined;
  /** Kept free of it, and the history that there may be. */
  readonly diskReserveBytes: number;
  readonly overhangLimitBytes: number;
  /** Files of all databases by level, and the memory that databases take. */
  readonly storeLevels: readonly LevelUse[];
  readonly storeMemoryBytes: number;
  /** What the process stays within, about. */
  readonly memoryLimitBytes: number;
  readonly ownMemoryBytes: number;
  /** Undefined: what is stored is in clear. */
  readonly encryption: { readonly isSettled: boolean } | undefined;
  /** Turns of the event loop that took long, by what took the most of them; undefined: nobody watches. */
  readonly heldTurns: ReadonlyMap<string, HeldCounter> | undefined;
  /** The wall clock less the time that the node goes by, within what that is right, and what it comes to. */
  readonly clock: {
    readonly offsetMs: Millis;
    readonly errorMs: Millis;
    readonly isOff: boolean;
    readonly peers: readonly unknown[];
  };
  /** How far the newest timestamp of any group that is led here leads the wall clock; 0 when none does. */
  readonly clockLeadMs: Millis;
  readonly routes: { readonly version: number; readonly count: number; readonly lookups: number };
  readonly watch: WatchStatus;
  /** Undefined where the catalog is not led. */
  readonly jobs: readonly JobFacts[] | undefined;
  /** Undefined where the catalog is not led. */
  readonly backups: BackupFacts | undefined;
  readonly proxy: ProxyStats;
  readonly txn: TxnCounters;
  readonly reads: ReadStats;
  readonly oracle: OracleClientStats;
  readonly shadow: ShadowStats;
  readonly redis: RedisFacts;
  /** Undefined: there is no such port. */
  readonly dynamodb: DynamodbFacts | undefined;
  readonly grpc: GrpcCounters;
}
