/** What the connections of one server share. */
import type { FeatureStanding } from '../../../distribution/index.ts';
import type {
  ChangeListener,
  KvService,
  PointReads,
  ReadPins,
  SessionSource,
  TransactionRunner,
} from '../../../kv/index.ts';
import {
  assertNever,
  atEndOfTurn,
  type Clock,
  type Millis,
  type NodeId,
  ownMemoryBytes,
  type Random,
  type Scheduler,
  type WorkNotes,
} from '../../../platform/index.ts';
import { GuessLimiter, type PasswordCheck } from '../../../security/index.ts';
import { DEFAULT_LOG_ENTRIES, RuleCommands, UserDirectory, type UserEnvironment, Users } from '../acl/index.ts';
import type { AsideEvaluator } from '../aside/index.ts';
import type { BodyLimits } from '../bodies/index.ts';
import {
  AccessFrequencies,
  type ClusterSettings,
  type ClusterTopology,
  type CommandSpec,
  type CommandTable,
  type ConnectedClient,
  channelsOf,
  type DebugControl,
  type Effect,
  type EvaluationSettings,
  type EventFlags,
  hearsEvents,
  type LibraryLender,
  NO_EVENTS,
  ownSettings,
  parseEventFlags,
  type RatedCounter,
  type RedisConfig,
  type RedisFeature,
  type ServerContext,
  ServerStats,
} from '../command/index.ts';
import { DATABASE_COUNT, decodeStorageKey, ScanCursors } from '../keys/index.ts';
import { DEFAULT_LUA_LIMITS } from '../lua/index.ts';
import { Messages, type Published, publishInSlot } from '../messages/index.ts';
import { isUnexpected, ReplyWriter } from '../protocol/index.ts';
import { ScriptRuntime } from '../scripts/index.ts';
import { Rates } from '../telemetry/index.ts';
import { Tracking } from '../tracking/index.ts';
import { CommandWatch } from './command-watch.ts';
import { KeyTurns } from './key-turns.ts';
import { MomentLine, type MomentSource } from './moment-line.ts';
import { SlotMap } from './slot-map.ts';
import { soloTopology } from './solo-topology.ts';
import { WriteRounds } from './write-rounds.ts';

/** The part of a pino logger that the front end uses. */
export interface RedisLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Least time between two warnings of one kind. */
const WARNING_MS: Millis = 60_000;

/** CLIENT PAUSE: which commands wait, and until when on the monotonic clock. */
export interface Pause {
  readonly untilMs: Millis;
  readonly writesOnly: boolean;
}

const NOTHING_BELOW: DebugControl = { setPurging: () => {}, rereadStores: async () => {} };

/** Runs what spans groups. */
export type CrossGroupRunner = Pick<TransactionRunner, 'run' | 'begin' | 'checkKeys'>;

/** A connection that has something to write. */
export interface Flushed {
  /** Writes what is ready in one go. */
  flush(): void;
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
  /** What clients have to know while nobody has stored the user `default`; undefined asks nobody. */
  readonly passwords: PasswordCheck | undefined;
  /** Passwords of the operator; undefined: there is none. */
  readonly operator: PasswordCheck | undefined;
  /** The users are those of the cluster; false: there are none but those of the configuration. */
  readonly sharesUsers: boolean;
  /** Where users are read from and written to when a client says so; undefined: nowhere. */
  readonly userFile: string | undefined;
  /** A client's line of CLIENT LIST. */
  describeClient(client: ConnectedClient): string;
  /** Runs commands whose keys belong to several groups; undefined refuses them. */
  readonly transactions: CrossGroupRunner | undefined;
  readonly reads?: SessionSource | undefined;
  /** Keeps what connections will look at again from being let go of; left out: it takes its chance with the retention. */
  readonly pins?: Pick<ReadPins, 'hold'> | undefined;
  /** Linearizable reads from replicas of this node; undefined leaves all to the leaders. */
  readonly points?: PointReads | undefined;
  /** Moments of all keys, for calls that name very many; undefined: leaders evaluate them as any other. */
  readonly moments?: MomentSource | undefined;
  /** Computes values that are built aside; undefined: this thread does. */
  readonly asideEvaluator?: AsideEvaluator | undefined;
  /** Hears what is evaluated; undefined: nobody wants to know. */
  readonly loop?: WorkNotes | undefined;
  /** What DEBUG does to the node below; undefined: there is nothing to do. */
  readonly debug?: DebugControl | undefined;
  /** How collections are laid out; undefined: as usual. */
  readonly bodyLimits?: BodyLimits | undefined;
  /** Messages between clients of all nodes; left out: there is no other node. */
  readonly messages?: Messages | undefined;
  /** Keys that clients keep, and what other nodes tell of changes; left out: there is no other node. */
  readonly tracking?: Tracking | undefined;
  /** Settings of the whole cluster; left out: this node is alone. */
  readonly clusterSettings?: ClusterSettings | undefined;
  /** How a feature of the cluster stands, as this node knows; left out: all are active. */
  readonly features?: ((feature: RedisFeature) => FeatureStanding) | undefined;
}

/** A node's clients have ids that begin with the number of the node: 10000000001 is the first client of node 1. */
const CLIENT_IDS_A_NODE = 10_000_000_000;

/** Numbers of a node's chains: those of all nodes, whose ids have 16 bits, have 53. */
const CHAINS_A_NODE = 2 ** 37;

const ACTIVE: FeatureStanding = { kind: 'active' };

/** What all connections of a server share: its settings, statistics, connected clients and the seams below. */
export class ServerState implements ServerContext {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly table: CommandTable;
  readonly logger: RedisLogger | undefined;
  readonly quorumReplicas: () => number;
  readonly handOver: () => Promise<boolean>;
  readonly topology: ClusterTopology;
  private readonly directory: UserDirectory;
  /** Who may come in, and what they may do. */
  readonly users: Users;
  readonly describeClient: (client: ConnectedClient) => string;
  /** Slows those who guess passwords. */
  readonly guesses: GuessLimiter;
  /** Runs commands whose keys belong to several groups; undefined refuses them. */
  readonly transactions: CrossGroupRunner | undefined;
  /** Reads that replicas of this node may answer; undefined leaves all to the leaders. */
  readonly reads: SessionSource | undefined;
  readonly pins: Pick<ReadPins, 'hold'> | undefined;
  private readonly pointReads: PointReads | undefined;
  /** Reads of very many names; undefined: there are no moments. */
  readonly momentLine: MomentLine | undefined;
  /** Computes values that are built aside; undefined: this thread does. */
  readonly asideEvaluator: AsideEvaluator | undefined;
  private readonly askFeature: (feature: RedisFeature) => FeatureStanding;
  /** Once active they are so for good. */
  private readonly activeFeatures = new Set<RedisFeature>();
  readonly slots: SlotMap;
  readonly scripts: ScriptRuntime;
  readonly messages: Messages;
  readonly tracking: Tracking;
  readonly turns: KeyTurns;
  readonly rounds: WriteRounds;
  /** This node's copy of the libraries of functions; set once. */
  lending: LibraryLender | undefined;
  readonly clusterSettings: ClusterSettings;
  /** Letters and what they stand for. */
  private knownEvents = { letters: '', flags: NO_EVENTS };
  readonly cursors = new ScanCursors();
  private waiterSerial = 0;
  /** Tells the commands of this node that wait from those of other nodes and of its earlier lives. */
  readonly life: Buffer;
  readonly writer = new ReplyWriter();
  /** Changed by `reconfigure` only. */
  config: RedisConfig;
  /** What every evaluation has in common, from the configuration. */
  settings: EvaluationSettings;
  /** Measures and shows commands. */
  readonly watch: CommandWatch;
  stats = new ServerStats();
  /** How fast some of them rise. */
  readonly rates = new Rates<RatedCounter>();
  /** Open connections by client id. */
  readonly connections = new Map<number, ConnectedClient>();
  /** Identifies this process among all that ever ran: 40 hex digits. */
  readonly runId: string;
  replicationId: string;
  readonly debug: DebugControl;
  readonly startedMs: Millis;
  /** What the process took of the machine when this was made. */
  readonly startupBytes: number;
  /** The port that the server listens on, once it does. */
  port = 0;
  /** The port for cluster clients; undefined when there is none. */
  clusterPort: number | undefined;
  private pause: Pause | undefined;
  private lastClientId = 0;
  private nextChains: number;
  private readonly warnedMs = new Map<string, Millis>();
  /** Connections with replies to write at the end of this turn's callbacks. */
  private toFlush: Flushed[] = [];

  constructor(options: ServerStateOptions) {
    this.kv = options.kv;
    this.config = options.config;
    this.askFeature = options.features ?? (() => ACTIVE);
    this.messages = options.messages ?? new Messages();
    this.tracking = options.tracking ?? new Tracking(options.scheduler);
    this.tracking.maxKeys = options.config.trackingTableMaxKeys;
    this.clusterSettings = options.clusterSettings ?? ownSettings();
    this.scripts = new ScriptRuntime({
      table: options.table,
      random: options.random,
      clock: options.clock,
      limits: DEFAULT_LUA_LIMITS,
      copies: () => this.lending,
    });
    this.watch = new CommandWatch(options.clock, options.config, options.table, options.loop);
    this.settings = {
      meter: this.watch,
      isMonitored: () => this.watch.monitors.areThere,
      scripts: this.scripts,
      random: options.random,
      maxStringBytes: options.config.maxBulkBytes,
      encodings: options.config.encodings,
      ...(options.bodyLimits === undefined ? {} : { bodyLimits: options.bodyLimits }),
      mayCreateBodies: () => this.standingOf('redis.collections').kind === 'active',
      mayCreateStreams: () => this.standingOf('redis.streams').kind === 'active',
      receiversOf: (channel, isShard) => this.messages.receiversOf(channel, isShard),
      eventFlags: () => (this.messages.isIdle ? NO_EVENTS : this.eventFlags),
      emit: (effect) => this.emit(effect),
      writers: this.tracking,
    };
    this.kv.onChanges(this.changeListener());
    this.clock = options.clock;
    this.scheduler = options.scheduler;
    this.turns = new KeyTurns(options);
    this.rounds = new WriteRounds(options);
    this.random = options.random;
    this.table = options.table;
    this.logger = options.logger;
    this.quorumReplicas = () => options.quorumReplicas();
    this.handOver = () => options.handOver();
    this.transactions = options.transactions;
    this.reads = options.reads;
    this.pins = options.pins;
    this.pointReads = options.points;
    this.momentLine = options.moments && new MomentLine(options.moments);
    this.asideEvaluator = options.asideEvaluator;
    this.describeClient = (client) => options.describeClient(client);
    this.guesses = new GuessLimiter(options.clock, options.scheduler, options.logger);
    this.slots = new SlotMap(options.kv);
    this.topology =
      options.topology ?? soloTopology(options.kv.nodeId, () => ({ port: this.port, clusterPort: this.clusterPort }));
    this.life = Buffer.from(options.random.bytes(8));
    this.runId = options.random.bytes(20).toString('hex');
    this.replicationId = this.runId;
    this.nextChains = options.random.bytes(4).readUInt32BE(0) * (CHAINS_A_NODE / 2 ** 32);
    this.debug = options.debug ?? NOTHING_BELOW;
    this.startedMs = options.clock.monotonicMs();
    this.startupBytes = ownMemoryBytes();
    const commands = new RuleCommands(options.table);
    const newChannels = (): boolean => this.config.remembered.get('acl-pubsub-default') === 'allchannels';
    const environment: UserEnvironment = {
      commands,
      get allChannels() {
        return newChannels();
      },
    };
    this.directory = new UserDirectory({
      kv: options.kv,
      clock: options.clock,
      scheduler: options.scheduler,
      random: options.random,
      settings: () => this.settings,
      environment,
      passwords: options.passwords,
      operator: options.operator,
      isShared: options.sharesUsers,
      standing: () => this.standingOf('redis.acl'),
      members: () => this.topology.members().map(({ nodeId }) => nodeId),
      changed: () => {
        this.users.heard();
        for (const client of [...this.connections.values()]) client.usersChanged();
      },
      unexpected: (error) => this.unexpected(error),
    });
    const { table, clock, userFile: file } = options;
    const logEntries = (): number => Number(this.config.remembered.get('acllog-max-len') ?? DEFAULT_LOG_ENTRIES);
    this.users = new Users({
      directory: this.directory,
      environment,
      commands,
      table,
      clock,
      scheduler: options.scheduler,
      file,
      isShared: options.sharesUsers,
      logEntries,
      failed: (error) =>
        this.logger?.error({ err: error }, 'the first users could not be stored; nobody is let in until they are'),
    });
  }

  get commandTimeoutMs(): Millis {
    return this.config.commandTimeoutMs;
  }

  reconfigure(config: RedisConfig): void {
    this.config = config;
    const isCounting = config.maxmemoryPolicy.endsWith('lfu');
    const frequencies = isCounting ? (this.settings.frequencies ?? new AccessFrequencies(this.random)) : undefined;
    const { maxBulkBytes: maxStringBytes, encodings } = config;
    this.settings = { ...this.settings, maxStringBytes, encodings, frequencies };
    this.watch.configure(config);
    this.tracking.maxKeys = config.trackingTableMaxKeys;
    for (const { counters } of this.table.callable()) counters.isTracking = config.latencyTracking;
  }

  /** A data command as it goes to its group: the node that the client is connected to may know more than the leader. */
  atIngress(
    spec: CommandSpec,
    args: readonly Buffer[],
  ): { readonly spec: CommandSpec; readonly args: readonly Buffer[] } {
    const passed = spec.ingress?.(this.scripts, args) ?? args;
    return { spec: passed === args ? spec : this.table.resolve(passed)!.spec, args: passed };
  }

  /** Whether commands may be used that release 0.1.0 does not know, and may write what it cannot read. */
  standingOf(feature: RedisFeature): FeatureStanding {
    if (this.activeFeatures.has(feature)) return ACTIVE;
    const standing = this.askFeature(feature);
    if (standing.kind === 'active') this.activeFeatures.add(feature);
    return standing;
  }

  /** Linearizable reads from replicas of this node; undefined while all are left to the leaders. */
  get points(): PointReads | undefined {
    return this.standingOf('reads.points').kind === 'active' ? this.pointReads : undefined;
  }

  /**
   * Takes numbers for chains of batches; those of one life of a node, and those of others, are far apart. @param count a power of two
   * @returns the first, a multiple of `count`; undefined while some node does not know chains
   */
  readonly newChains = (count: number): number | undefined => {
    if (this.standingOf('redis.chains').kind !== 'active') return undefined;
    const first = (Math.ceil(this.nextChains / count) * count) % CHAINS_A_NODE;
    this.nextChains = first + count;
    return this.kv.nodeId * CHAINS_A_NODE + first;
  };

  /** Whether every node runs requests over several groups for others. */
  get requestsTravel(): boolean {
    return this.standingOf('redis.across').kind === 'active';
  }

  changeReplicationId(): void {
    this.replicationId = this.random.bytes(20).toString('hex');
  }

  logForDebug(message: string): void {
    this.logger?.warn({}, `DEBUG LOG: ${message}`);
  }

  /** An effect of a command that was evaluated here and has taken effect. */
  private emit(effect: Effect): void {
    switch (effect.kind) {
      case 'log':
        if (effect.level === 'warning') this.logger?.warn({ script: effect.text }, 'a script says');
        else this.logger?.info({ script: effect.text }, 'a script says');
        break;
      case 'message':
        this.publish(effect);
        break;
      case 'call':
        this.watch.monitors.tell(this.clock.nowMs(), effect.db, 'lua', effect.args);
        break;
      case 'denied':
        this.users.noteScript(effect);
        break;
      case 'event':
        this.publishEvent(effect);
        break;
      default:
        assertNever(effect);
    }
  }

  /** Whoever has caused it is not told what becomes of it. */
  private publish(published: Published): void {
    if (!published.isShard) {
      this.messages.publishSoon(published);
      return;
    }
    const sent = publishInSlot(this, published, this.clock.monotonicMs() + this.commandTimeoutMs);
    if (sent instanceof Promise) sent.catch((error: unknown) => this.unexpected(error));
  }

  /** Stops to ask for users. */
  stop(): void {
    this.directory.stop();
  }

  get eventFlags(): EventFlags {
    const letters = this.clusterSettings.keyspaceEvents();
    if (letters !== this.knownEvents.letters) {
      // Letters of a later program are none of this one's events.
      const known = [...letters].filter((letter) => parseEventFlags(letter) !== undefined).join('');
      this.knownEvents = { letters, flags: parseEventFlags(known) ?? NO_EVENTS };
    }
    return this.knownEvents.flags;
  }

  /** What has expired is found by whoever deletes it or writes over it; whatever was changed is told to those who keep it. */
  private changeListener(): ChangeListener {
    const { tracking } = this;
    const hears = (): boolean => !this.messages.isIdle && hearsEvents(this.eventFlags, 'expired');
    return {
      get isListening() {
        return tracking.isListening || hears();
      },
      changed: (_group, key, hasExpired, commitTs) => {
        tracking.changed(key, hasExpired, commitTs);
        const head = hasExpired ? decodeStorageKey(key) : undefined;
        if (head === undefined || head.db >= DATABASE_COUNT || !hears()) return;
        this.publishEvent({ kind: 'event', db: head.db, event: 'expired', key: head.userKey });
      },
      deleted: (_group, start, end, commitTs) => tracking.deleted(start, end, commitTs),
      began: () => tracking.began(),
    };
  }

  private publishEvent(event: Extract<Effect, { readonly kind: 'event' }>): void {
    if (this.messages.isIdle) return;
    for (const [channel, message] of channelsOf(this.eventFlags, event)) {
      if (this.messages.hasInterest(channel)) this.messages.publishSoon({ isShard: false, channel, message });
    }
  }

  resetStats(): void {
    this.stats = new ServerStats();
    this.rates.reset();
    this.watch.resetCounters();
    this.stats.expiredKeysBefore = this.kv.expiredKeys;
    for (const { counters } of this.table.callable()) counters.reset();
  }

  /** Waiting commands count up from 1. */
  nextWaiter(): { readonly node: NodeId; readonly life: Buffer; readonly serial: number } {
    this.waiterSerial = (this.waiterSerial + 1) >>> 0;
    return { node: this.kv.nodeId, life: this.life, serial: this.waiterSerial };
  }

  /** Comes by about once a second. */
  sampleRates(): void {
    const { commandsProcessed, inputBytes, outputBytes } = this.stats;
    this.rates.sample(this.clock.monotonicMs(), { commandsProcessed, inputBytes, outputBytes });
  }

  /** Client ids rise and are never used again; those of different nodes differ. */
  nextClientId(): number {
    return this.kv.nodeId * CLIENT_IDS_A_NODE + ++this.lastClientId;
  }

  isClientElsewhere(id: number): boolean {
    return id > CLIENT_IDS_A_NODE && Math.floor(id / CLIENT_IDS_A_NODE) !== this.kv.nodeId;
  }

  /** Writes a connection's finished replies once, at the end of the turn. */
  scheduleFlush(connection: Flushed): void {
    this.toFlush.push(connection);
    if (this.toFlush.length === 1) atEndOfTurn(this.scheduler, () => this.flushAll());
  }

  private flushAll(): void {
    const connections = this.toFlush;
    this.toFlush = [];
    for (const connection of connections) connection.flush();
  }

  pauseClients(durationMs: Millis, writesOnly: boolean): void {
    const current = this.activePause(true);
    this.pause = {
      untilMs: Math.max(this.clock.monotonicMs() + durationMs, current?.untilMs ?? 0),
      writesOnly: writesOnly && (current?.writesOnly ?? true),
    };
  }

  resumeClients(): void {
    this.pause = undefined;
    for (const client of [...this.connections.values()]) client.resumeFromPause();
  }

  /** False when `activePause` has nothing to say. */
  get isPaused(): boolean {
    return this.pause !== undefined;
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

  /** Runs something when a pause is over, unless it is lifted. */
  afterPause({ untilMs }: Pause, resume: () => void): void {
    this.scheduler.after(Math.max(1, untilMs - this.clock.monotonicMs()), resume);
  }

  warnOfHttp(remoteAddress: string): void {
    this.warn(remoteAddress, 'a client spoke HTTP on the Redis port, perhaps for a web page; it was cut off');
  }

  warnOfSlowReader(remoteAddress: string): void {
    this.warn(remoteAddress, 'a client left too many messages unread; it was cut off');
  }

  /** Said once in a while: whoever brings it about many times would fill the log. */
  private warn(remoteAddress: string, message: string): void {
    const nowMs = this.clock.monotonicMs();
    if (nowMs - (this.warnedMs.get(message) ?? Number.NEGATIVE_INFINITY) < WARNING_MS) return;
    this.warnedMs.set(message, nowMs);
    this.logger?.warn({ remoteAddress }, message);
  }

  /** Logs errors that no layer declares: they are bugs. */
  unexpected(error: unknown): void {
    if (!isUnexpected(error)) return;
    this.stats.unexpectedErrors++;
    this.logger?.error({ err: error }, 'a Redis command failed unexpectedly');
  }
}
