/** What the connections of one server share. */
import type { KvService, SessionSource } from '../../kv/index.ts';
import type { Clock, Millis, Random, Scheduler } from '../../platform/index.ts';
import { GuessLimiter, type PasswordCheck } from '../../security/index.ts';
import { type ClusterTopology, SlotMap, soloTopology } from './cluster-topology.ts';
import type { CommandTable, ResolvedCommand } from './command-table.ts';
import type { RedisConfig } from './config.ts';
import type { Connection } from './connection.ts';
import type { EvaluationSettings } from './context.ts';
import type { CrossGroupRunner } from './cross-group.ts';
import { isUnexpected } from './errors.ts';
import { ReplyWriter } from './reply-writer.ts';
import { ScanCursors } from './scan-cursors.ts';

/** The part of a pino logger that the front end uses. */
export interface RedisLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Least time between two warnings of browsers. */
const HTTP_WARNING_MS: Millis = 60_000;

/** Counters behind INFO; CONFIG RESETSTAT sets them to zero. */
export class ServerStats {
  connectionsReceived = 0;
  connectionsRejected = 0;
  commandsProcessed = 0;
  inputBytes = 0;
  outputBytes = 0;
  errorReplies = 0;
  forwardedRequests = 0;
  /** What had expired on this node when counting began. */
  expiredKeysBefore = 0;
}

/** CLIENT PAUSE: which commands wait, and until when on the monotonic clock. */
export interface Pause {
  readonly untilMs: Millis;
  readonly writesOnly: boolean;
}

export interface ServerStateOptions {
  readonly kv: KvService;
  readonly config: RedisConfig;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly table: CommandTable;
  readonly logger: RedisLogger | undefined;
  /** Replicas beside the leader that hold every acknowledged write: a quorum less one. */
  quorumReplicas(): number;
  /** Hands over what this node leads. @returns false when it leads nothing */
  handOver(): Promise<boolean>;
  /** The cluster's nodes and where groups are; undefined shows this node alone. */
  readonly topology: ClusterTopology | undefined;
  /** What clients have to know; undefined asks nobody. */
  readonly passwords: PasswordCheck | undefined;
  /** Runs commands whose keys belong to several groups; undefined refuses them. */
  readonly transactions: CrossGroupRunner | undefined;
  readonly reads?: SessionSource | undefined;
}

/** What all connections of a server share: its settings, statistics, connected clients and the seams below. */
export class ServerState {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly table: CommandTable;
  readonly logger: RedisLogger | undefined;
  /** Replicas beside the leader that hold every acknowledged write. */
  readonly quorumReplicas: () => number;
  /** Hands over what this node leads; settles false when it leads nothing. */
  readonly handOver: () => Promise<boolean>;
  readonly topology: ClusterTopology;
  /** Undefined: nobody is asked for a password. */
  readonly passwords: PasswordCheck | undefined;
  /** Slows those who guess passwords. */
  readonly guesses: GuessLimiter;
  /** Runs commands whose keys belong to several groups; undefined refuses them. */
  readonly transactions: CrossGroupRunner | undefined;
  /** Reads that replicas of this node may answer; undefined leaves all to the leaders. */
  readonly reads: SessionSource | undefined;
  readonly slots: SlotMap;
  readonly cursors = new ScanCursors();
  readonly writer = new ReplyWriter();
  /** Changed by `reconfigure` only. */
  config: RedisConfig;
  /** What every evaluation has in common, from the configuration. */
  settings: EvaluationSettings;
  stats = new ServerStats();
  /** Open connections by client id. */
  readonly connections = new Map<number, Connection>();
  /** Identifies this process among all that ever ran: 40 hex digits. */
  readonly runId: string;
  readonly startedMs: Millis;
  /** The port that the server listens on, once it does. */
  port = 0;
  /** The port for cluster clients; undefined when there is none. */
  clusterPort: number | undefined;
  pause: Pause | undefined;
  private lastClientId = 0;
  private warnedOfHttpMs: Millis = Number.NEGATIVE_INFINITY;
  /** Connections with replies to write at the end of this turn's callbacks. */
  private toFlush: Connection[] = [];

  constructor(options: ServerStateOptions) {
    this.kv = options.kv;
    this.config = options.config;
    this.settings = { random: options.random, maxStringBytes: options.config.maxBulkBytes };
    this.clock = options.clock;
    this.scheduler = options.scheduler;
    this.random = options.random;
    this.table = options.table;
    this.logger = options.logger;
    this.quorumReplicas = () => options.quorumReplicas();
    this.handOver = () => options.handOver();
    this.transactions = options.transactions;
    this.reads = options.reads;
    this.passwords = options.passwords;
    this.guesses = new GuessLimiter(options.clock, options.scheduler, options.logger);
    this.slots = new SlotMap(options.kv);
    this.topology =
      options.topology ?? soloTopology(options.kv.nodeId, () => ({ port: this.port, clusterPort: this.clusterPort }));
    this.runId = options.random.bytes(20).toString('hex');
    this.startedMs = options.clock.monotonicMs();
  }

  get commandTimeoutMs(): Millis {
    return this.config.commandTimeoutMs;
  }

  /** Replaces the configuration; limits apply to what is read from now on. */
  reconfigure(config: RedisConfig): void {
    this.config = config;
    this.settings = { random: this.random, maxStringBytes: config.maxBulkBytes };
  }

  /** CONFIG RESETSTAT. */
  resetStats(): void {
    this.stats = new ServerStats();
    this.stats.expiredKeysBefore = this.kv.expiredKeys;
    for (const { counters } of this.table.callable()) counters.reset();
  }

  /** Client ids count up from 1 and are never used again. */
  nextClientId(): number {
    return ++this.lastClientId;
  }

  /** The declaration that a command's arguments call for, subcommands resolved; undefined when there is none. */
  resolve(args: readonly Buffer[]): ResolvedCommand | undefined {
    const command = this.table.find(args[0]!);
    if (command?.subcommands === undefined || args.length < 2) return command;
    return command.subcommands.get(args[1]!.toString('latin1').toLowerCase());
  }

  /** Writes a connection's finished replies once, after the callbacks that are running now. */
  scheduleFlush(connection: Connection): void {
    this.toFlush.push(connection);
    if (this.toFlush.length === 1) queueMicrotask(() => this.flushAll());
  }

  private flushAll(): void {
    const connections = this.toFlush;
    this.toFlush = [];
    for (const connection of connections) connection.flush();
  }

  /** The pause in force for a command; one that is over is forgotten. */
  activePause(mayWrite: boolean): Pause | undefined {
    const { pause } = this;
    if (pause === undefined) return undefined;
    if (this.clock.monotonicMs() >= pause.untilMs) {
      this.pause = undefined;
      return undefined;
    }
    return pause.writesOnly && !mayWrite ? undefined : pause;
  }

  /** Said once in a while: whoever lures browsers here would fill the log. */
  warnOfHttp(remoteAddress: string): void {
    const nowMs = this.clock.monotonicMs();
    if (nowMs - this.warnedOfHttpMs < HTTP_WARNING_MS) return;
    this.warnedOfHttpMs = nowMs;
    this.logger?.warn(
      { remoteAddress },
      'a client spoke HTTP on the Redis port, perhaps for a web page; it was cut off',
    );
  }

  /** Logs errors that no layer declares: they are bugs. */
  unexpected(error: unknown): void {
    if (isUnexpected(error)) this.logger?.error({ err: error }, 'a Redis command failed unexpectedly');
  }
}
