/** Limits and switches of the Redis front end. */
import type { Millis } from '../../../platform/index.ts';
import { DEFAULT_ENCODINGS, type EncodingThresholds } from '../bodies/index.ts';
import { DEFAULT_OUTPUT_LIMITS, type OutputLimits } from './output-limits.ts';

export interface RedisConfig {
  /** Connections beyond this many are refused with Redis' error. */
  readonly maxClients: number;
  /** What the process stays within, about, for INFO; 0 when nobody said. */
  readonly memoryBytes: number;
  /** Largest argument and largest string, bytes (proto-max-bulk-len). */
  readonly maxBulkBytes: number;
  /** Longest inline command, bytes. */
  readonly maxInlineBytes: number;
  /** Most arguments of one command. */
  readonly maxArguments: number;
  /** Most bytes of one command that is still arriving (client-query-buffer-limit). */
  readonly maxCommandBytes: number;
  /** How long a command waits for a leader of its keys. */
  readonly commandTimeoutMs: Millis;
  /** Commands of one connection that may be under way; beyond it the connection is not read. */
  readonly maxPipelinedCommands: number;
  /** Bytes of their arguments; the command that exceeds it is still begun. */
  readonly maxPipelinedBytes: number;
  /** Reply bytes that a client may leave unread before its connection is not read any more. */
  readonly maxUnreadReplyBytes: number;
  /** Messages that may wait for a client; one that leaves more unread is disconnected. */
  readonly outputLimits: OutputLimits;
  /** Close a connection after this many idle seconds; 0 is never. */
  readonly idleTimeoutSeconds: number;
  /** TCP keepalive probe after this many idle seconds; 0 is none. */
  readonly tcpKeepaliveSeconds: number;
  /** Allow DEBUG SLEEP. */
  readonly debugCommands: boolean;
  /**
   * Answer MOVED for slots that other nodes lead instead of forwarding (`cluster.redirects`), and call this a cluster. The
   * port for cluster clients always does.
   */
  readonly clusterRedirects: boolean;
  /** Up to where OBJECT ENCODING calls a value compact, for what is written by clients of this node. */
  readonly encodings: EncodingThresholds;
  /** Nothing is ever evicted; under an LFU policy accesses to keys are counted. */
  readonly maxmemoryPolicy: string;
  /** Commands whose evaluation takes as long are kept in the slow log, microseconds; -1 keeps none. */
  readonly slowlogSlowerThanMicros: number;
  /** Entries of the slow log. */
  readonly slowlogMaxLength: number;
  /** From which time on an event is a spike of latency; 0 records none. */
  readonly latencyThresholdMs: Millis;
  /** Keeps histograms of how long each command takes. */
  readonly latencyTracking: boolean;
  /** Keys that are remembered for clients that keep them; 0: any number (tracking-table-max-keys). */
  readonly trackingTableMaxKeys: number;
  /** What INFO latencystats shows of them, percent. */
  readonly latencyPercentiles: readonly number[];
  /** Options of Redis that decide nothing here, as CONFIG SET gave them. */
  readonly remembered: ReadonlyMap<string, string>;
}

/** The defaults are Redis' where Redis has the setting. */
export const DEFAULT_REDIS_CONFIG: RedisConfig = {
  maxClients: 10_000,
  memoryBytes: 0,
  maxBulkBytes: 512 * 1024 * 1024,
  maxInlineBytes: 64 * 1024,
  maxArguments: 1024 * 1024,
  maxCommandBytes: 1024 * 1024 * 1024,
  commandTimeoutMs: 5_000,
  maxPipelinedCommands: 16_384,
  maxPipelinedBytes: 16 * 1024 * 1024,
  maxUnreadReplyBytes: 4 * 1024 * 1024,
  outputLimits: DEFAULT_OUTPUT_LIMITS,
  idleTimeoutSeconds: 0,
  tcpKeepaliveSeconds: 300,
  debugCommands: false,
  clusterRedirects: false,
  encodings: DEFAULT_ENCODINGS,
  maxmemoryPolicy: 'noeviction',
  slowlogSlowerThanMicros: 10_000,
  slowlogMaxLength: 128,
  latencyThresholdMs: 0,
  latencyTracking: true,
  trackingTableMaxKeys: 1_000_000,
  latencyPercentiles: [50, 99, 99.9],
  remembered: new Map(),
};
