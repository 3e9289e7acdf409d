/** The Redis port of a node. */
import type { FeatureStanding } from '../../../distribution/index.ts';
import type { KvService, PointReads, ReadPins, SessionSource } from '../../../kv/index.ts';
import {
  type Clock,
  type GroupId,
  listenOn,
  type Millis,
  type Random,
  type Scheduler,
  type WorkNotes,
} from '../../../platform/index.ts';
import type { PasswordCheck, TlsPort } from '../../../security/index.ts';
import { Callers } from '../acl/index.ts';
import type { AsideEvaluator } from '../aside/index.ts';
import type { BodyLimits } from '../bodies/index.ts';
import {
  type ClusterSettings,
  type ClusterTopology,
  type CommandCounters,
  type CommandSpec,
  CommandTable,
  DEFAULT_REDIS_CONFIG,
  type DebugControl,
  type RedisConfig,
  type RedisFeature,
  type ServerStats,
} from '../command/index.ts';
import { ALL_COMMANDS, clientLine } from '../commands/index.ts';
import { type MessageCounters, type Messages, serveShardMessages } from '../messages/index.ts';
import type { ClientStream } from '../protocol/index.ts';
import { type GroupRequest, LibraryLending, runAcrossForOther, serveForwarded } from '../request/index.ts';
import { CommandPipeline } from '../session/index.ts';
import { type CrossGroupRunner, type MomentSource, type RedisLogger, ServerState } from '../state/index.ts';
import type { Tracking } from '../tracking/index.ts';
import { WaitingDesk } from '../waiting/index.ts';
import { createListener, type Listener } from './listener.ts';
import { OperatorsUsers } from './operators-users.ts';

const TOO_MANY_CLIENTS = '-ERR max number of clients reached\r\n';
/** How often idle connections are looked for. */
const IDLE_SWEEP_MS = 1_000;
/** What clients have sent when the server stops, and transactions that they have begun, get this long. */
const ANSWER_MS = 2_000;
/** Replies that are under way after that, and clients that do not close their end, get this long. */
const STOP_GRACE_MS = 1_000;

export interface RedisServiceOptions {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly config?: Partial<RedisConfig>;
  readonly logger?: RedisLogger;
  /** Replicas beside the leader that hold every acknowledged write (a quorum less one), for WAIT; 0 by default. */
  quorumReplicas?(): number;
  /** Hands the leadership of this node's groups to other nodes, for FAILOVER; settles false when it leads none. */
  handOver?(): Promise<boolean>;
  /** The cluster's nodes and where groups are, for CLUSTER and MOVED; by default this node alone. */
  readonly topology?: ClusterTopology;
  /** Runs commands and transactions whose keys belong to several groups; without it they get CROSSSLOT. */
  readonly transactions?: CrossGroupRunner;
  /** Reads that replicas of this node may answer on READONLY connections; without it leaders answer them. */
  readonly reads?: SessionSource;
  /** Keeps what connections will look at again from being let go of; without it that takes its chance with the retention. */
  readonly pins?: Pick<ReadPins, 'hold'>;
  /** Linearizable reads from replicas of this node; left out: all are left to the leaders. */
  readonly points?: PointReads;
  /** Moments of all keys, for calls that name very many; left out: leaders evaluate them as any other. */
  readonly moments?: MomentSource;
  /** Messages between clients of all nodes; left out: there is no other node. */
  readonly messages?: Messages | undefined;
  /** Keys that clients keep, and what other nodes tell of changes; left out: there is no other node. */
  readonly tracking?: Tracking | undefined;
  /** Computes values that are built aside, in another thread; without it this thread does, and refuses what takes long. */
  readonly asideEvaluator?: AsideEvaluator;
  /** Settings of the whole cluster; by default this node is alone. */
  readonly clusterSettings?: ClusterSettings | undefined;
  /** How a feature of the cluster stands, as this node knows; without it all are active. */
  readonly features?: ((feature: RedisFeature) => FeatureStanding) | undefined;
  /** What DEBUG does to the node below; by default there is nothing to do. */
  readonly debug?: DebugControl;
  /** The commands that it knows; all of them by default. */
  readonly commands?: readonly CommandSpec[];
  /** How collections are laid out; as usual by default. Tests have pages so small that trees are deep. */
  readonly bodyLimits?: BodyLimits;
  /** What clients have to know before anything else; undefined asks nobody. */
  readonly passwords?: PasswordCheck | undefined;
  /** Passwords of the operator, whom no change of users concerns; undefined: there is none. */
  readonly operator?: PasswordCheck | undefined;
  /** Users are those of the cluster, which the key-value layer keeps. By default there are none but those of the configuration. */
  readonly sharesUsers?: boolean;
  /** Where ACL LOAD and ACL SAVE read and write; the first users come from there. */
  readonly userFile?: string | undefined;
  /** Hears what commands are evaluated; undefined: nobody wants to know. */
  readonly loop?: WorkNotes | undefined;
}

export interface RedisServerOptions extends RedisServiceOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** A second port on which commands are redirected with MOVED, for cluster clients; 0 picks a free one, undefined has none. */
  readonly clusterPort?: number | undefined;
  /** Both ports speak TLS only; undefined: plain text. */
  readonly tls?: TlsPort | undefined;
}

/** Counters since the start, or since CONFIG RESETSTAT. */
export interface RedisCounters {
  readonly stats: Readonly<ServerStats>;
  readonly connections: number;
  readonly messages: MessageCounters;
  /** Commands that were called, by full name such as `client|setname`. */
  readonly commands: readonly { readonly name: string; readonly counters: CommandCounters }[];
}

export interface RedisServer {
  /** The port that it listens on; 0 before it does. */
  readonly port: number;
  /** The port for cluster clients; undefined when there is none, and before it listens. */
  readonly clusterPort: number | undefined;
  /** The users, for operators who come by another way. */
  readonly users: OperatorsUsers;
  /** What it did since the start. */
  counters(): RedisCounters;
  /** The log of the node was written: how long that took, for LATENCY. */
  logWritten(tookMs: Millis): void;
  /** Takes no more connections, answers what clients have sent, closes everything. */
  stop(): Promise<void>;
}

/** A server that answers other nodes, and clients once it listens. */
export interface OpenRedisServer extends RedisServer {
  /** Takes clients from now on; once. @throws the listen error (EADDRINUSE, EACCES, ...) */
  listen(): Promise<void>;
}

/** The Redis front end without its port. */
export interface RedisService {
  /** Serves one client on a stream that is open; beyond the limit of clients it is told so and closed. */
  accept(stream: ClientStream, isClusterPort?: boolean): void;
}

/** Builds the front end over a key-value layer and serves other nodes' forwarded commands. Once per key-value layer. */
export function createRedisService(options: RedisServiceOptions): RedisService {
  const state = openState(options);
  return { accept: (stream, isClusterPort = false) => accept(state, stream, isClusterPort) };
}

function openState(options: RedisServiceOptions): ServerState {
  const state = new ServerState({
    kv: options.kv,
    config: { ...DEFAULT_REDIS_CONFIG, ...options.config },
    clock: options.clock,
    scheduler: options.scheduler,
    random: options.random,
    table: new CommandTable(options.commands ?? ALL_COMMANDS),
    logger: options.logger,
    quorumReplicas: () => options.quorumReplicas?.() ?? 0,
    handOver: async () => (await options.handOver?.()) ?? false,
    topology: options.topology,
    passwords: options.passwords,
    operator: options.operator,
    sharesUsers: options.sharesUsers ?? false,
    userFile: options.userFile,
    describeClient: (client) => clientLine(client, options.clock.monotonicMs()),
    transactions: options.transactions,
    reads: options.reads,
    pins: options.pins,
    points: options.points,
    moments: options.moments,
    asideEvaluator: options.asideEvaluator,
    debug: options.debug,
    loop: options.loop,
    bodyLimits: options.bodyLimits,
    features: options.features,
    messages: options.messages,
    tracking: options.tracking,
    clusterSettings: options.clusterSettings,
  });
  state.lending = new LibraryLending(state);
  serveShardMessages(state.kv, state.messages);
  const callers = new Callers(state.table);
  const endpoint = {
    kv: state.kv,
    settings: () => state.settings,
    findData: (args: readonly Buffer[]) => {
      const spec = args.length === 0 ? undefined : state.table.resolve(args)?.spec;
      return spec?.handler?.kind === 'data' ? spec : undefined;
    },
    readCaller: (bytes: Buffer) => callers.decode(bytes),
    runAcross: (group: GroupId, requests: readonly GroupRequest[]) => runAcrossForOther(state, group, requests),
    unexpected: (error: unknown) => state.unexpected(error),
  };
  serveForwarded(endpoint);
  new WaitingDesk({ ...endpoint, clock: state.clock, scheduler: state.scheduler }).open();
  return state;
}

/**
 * Starts to serve Redis clients, and other nodes' forwarded commands. @throws the listen error (EADDRINUSE, EACCES, ...)
 *
 * @example
 * const server = await startRedisServer({ kv, host: '127.0.0.1', port: 6379, clock, scheduler, random });
 * await server.stop();
 */
export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const server = await openRedisServer(options);
  await server.listen();
  return server;
}

/** Starts to serve other nodes' forwarded commands, and clients when it is told to listen. */
export async function openRedisServer(options: RedisServerOptions): Promise<OpenRedisServer> {
  const state = openState(options);
  await state.users.checkFile();
  const listeners: Listener[] = [];
  const stopSweep = sweepIdle(state);
  let stopped: Promise<void> | undefined;
  return {
    get port() {
      return state.port;
    },
    get clusterPort() {
      return state.clusterPort;
    },
    listen: () => listen(state, options, listeners),
    users: new OperatorsUsers(state),
    counters: () => countersOf(state),
    logWritten: (tookMs) => state.watch.spike('aof-fsync-always', tookMs),
    stop: () => {
      stopped ??= stop(state, listeners, stopSweep);
      return stopped;
    },
  };
}

async function listen(state: ServerState, options: RedisServerOptions, listeners: Listener[]): Promise<void> {
  const plain = listenerFor(state, options.tls, false);
  state.port = await listenOn(plain.server, options.host, options.port);
  listeners.push(plain);
  if (options.clusterPort === undefined) return;
  const cluster = listenerFor(state, options.tls, true);
  try {
    state.clusterPort = await listenOn(cluster.server, options.host, options.clusterPort);
  } catch (error) {
    plain.server.close();
    throw error;
  }
  listeners.push(cluster);
}

function countersOf(state: ServerState): RedisCounters {
  const commands: { name: string; counters: CommandCounters }[] = [];
  for (const { fullName, counters } of state.table.callable()) {
    if (counters.calls > 0) commands.push({ name: fullName, counters });
  }
  return { stats: state.stats, connections: state.connections.size, messages: state.messages.counters, commands };
}

function listenerFor(state: ServerState, tls: TlsPort | undefined, isClusterPort: boolean): Listener {
  return createListener(tls, state.logger, (socket) => {
    const { tcpKeepaliveSeconds } = state.config;
    if (tcpKeepaliveSeconds > 0) socket.setKeepAlive(true, tcpKeepaliveSeconds * 1000);
    accept(state, socket, isClusterPort);
  });
}

function accept(state: ServerState, stream: ClientStream, isClusterPort: boolean): void {
  state.stats.connectionsReceived++;
  if (state.connections.size >= state.config.maxClients) {
    state.stats.connectionsRejected++;
    stream.on('error', () => stream.destroy());
    stream.write(TOO_MANY_CLIENTS);
    stream.end(() => stream.destroy());
    return;
  }
  const { session } = new CommandPipeline(state, stream, isClusterPort);
  state.connections.set(session.id, session);
}

/** A client that is asked for a password and says nothing must not hold a connection for ever. */
const AUTHENTICATE_WITHIN_MS = 10_000;

/** Closes connections that were idle longer than the `timeout` setting or have not said who they are, again and again. */
function sweepIdle(state: ServerState): () => void {
  let cancel = () => {};
  const sweep = () => {
    state.sampleRates();
    const nowMs = state.clock.monotonicMs();
    for (const connection of state.connections.values()) {
      if (!connection.isAuthenticated && nowMs - connection.lastCommandMs > AUTHENTICATE_WITHIN_MS)
        connection.destroy();
      connection.dropIfSlow();
      connection.leaveMovedSlots();
    }
    const idleMs = state.config.idleTimeoutSeconds * 1000;
    if (idleMs > 0) {
      const oldestMs = nowMs - idleMs;
      for (const connection of state.connections.values()) {
        if (connection.isIdleSince(oldestMs)) connection.destroy();
      }
    }
    cancel = state.scheduler.after(IDLE_SWEEP_MS, sweep);
  };
  cancel = state.scheduler.after(IDLE_SWEEP_MS, sweep);
  return () => cancel();
}

async function stop(state: ServerState, listeners: readonly Listener[], stopSweep: () => void): Promise<void> {
  const closed = Promise.all(
    listeners.map(({ server }) => new Promise<void>((resolve) => server.close(() => resolve()))),
  );
  for (const connection of state.connections.values()) connection.closeWhenAnswered();
  let cancel = state.scheduler.after(ANSWER_MS, () => {
    for (const connection of state.connections.values()) connection.closeAfterReplies();
    cancel = state.scheduler.after(STOP_GRACE_MS, () => {
      for (const connection of state.connections.values()) connection.destroy();
      for (const listener of listeners) listener.dropHandshakes();
    });
  });
  await closed;
  cancel();
  stopSweep();
  state.stop();
}
