/** One system under measurement. It is started fresh for every round and has the machine to itself while it is measured. */
import type { Processes } from '../role-cpu.ts';

/** Figures of one load. */
export interface LoadFigures {
  readonly perSecond: number;
  /** Median latency of one command, or of one pipeline. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How many there were, those that told how many fill the time included; where that is known. */
  readonly commands?: number;
  /** Share of its time in which the load generator was busy, where it can tell: below 0.9 it was not the limit. */
  readonly clientBusy?: number;
}

export interface LoadSpec {
  readonly operation: 'set' | 'get' | 'incrHotKey';
  readonly clients: number;
  readonly pipeline: number;
  /** Keys that the commands draw from at random. */
  readonly keyCount: number;
  /** About how long to measure. */
  readonly seconds: number;
  /** How many a second there were the last time, which spares the run that tells. */
  readonly knownPerSecond?: number | undefined;
}

export interface Peer {
  readonly name: 'kvorum' | 'redis' | 'etcd';
  /** Settles when it answers. */
  start(): Promise<void>;
  load(spec: LoadSpec): Promise<LoadFigures>;
  /** Writes the first keys that loads draw from, each once. */
  fill(keys: number): Promise<void>;
  /** While it runs. */
  processes(): readonly Processes[];
  stop(): Promise<void>;
}

/** A peer with several nodes, one of which can be killed. */
export interface ReplicatedPeer extends Peer {
  /**
   * Writes through every surviving node while the leader is killed with SIGKILL.
   * @returns milliseconds from the kill until a write that was sent after it had succeeded through every survivor
   */
  failover(): Promise<number>;
}

export const VALUE_BYTES = 100;
/** What redis-benchmark does by itself: every command is of one key. */
export const ONE_KEY = 1;
export const MANY_KEYS = 100_000;
/** A peer that is not up by then is broken. */
export const START_TIMEOUT_MS = 30_000;
/** Longer than this is not a failover any more. */
export const FAILOVER_TIMEOUT_MS = 30_000;
