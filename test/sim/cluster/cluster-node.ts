/**
 * One node of the simulated cluster: a machine that outlives its processes, and the process that runs on it now: the real
 * composition of `src/node.ts` with the Redis front end on top, over the machine's disk, database folder and network.
 */
import { dirname } from 'node:path';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../src/adapter/redis/bodies/index.ts';
import { createRedisService, type RedisService } from '../../../src/adapter/redis/server/server.ts';
import { foundingOf } from '../../../src/config/index.ts';
import { featureStanding } from '../../../src/distribution/index.ts';
import { clusterSettings, Encryption } from '../../../src/node/index.ts';
import { type AssembledNode, assembleNode, type NodeParts } from '../../../src/node.ts';
import {
  type GroupId,
  groupId,
  type NodeId,
  nodeId,
  type SeededRandom,
  type SimFabric,
  SimMachine,
  type Simulation,
} from '../../../src/platform/index.ts';
import type { LogStore, RaftGroup } from '../../../src/raftengine/contract/types.ts';
import { NodeRecord } from '../../../src/raftengine/founding/node-record.ts';
import { PeerBook } from '../../../src/raftengine/founding/peer-book.ts';
import { WalLogStore } from '../../../src/raftengine/log/wal-log-store.ts';
import { KeySource, Secret } from '../../../src/security/index.ts';
import { SimulatedLevels } from '../../../src/store/level/simulated-level.ts';
import { inlineCompression } from '../../../src/store/segments/compression.ts';
import { TINY_LIMITS } from '../../adapter/redis/bodies/memory-rows.ts';
import type { Plan } from './plan.ts';
import { SimConnection } from './sim-connection.ts';
import { SimRedis } from './sim-redis.ts';
import { InvariantViolation } from './violation.ts';

const DATA_FOLDER = 'data';
const LOG_FOLDER = `${DATA_FOLDER}/log`;
const STORES = `${DATA_FOLDER}/group`;
/** Several segments even of a small state. */
const SMALL_SEGMENTS = { blockBytes: 2048, minSegmentBytes: 8 << 10, maxSegmentBytes: 32 << 10 };
const CONNECT_DELAY_MS = 0.5;
/** What an operator gives each node whose data is to be encrypted. */
const STORAGE_KEY = new Secret('17'.repeat(32));
/** A supervisor starts a process that ended by itself again after this. */
const RESTART_MS = 300;

/** See `Plan.bodies`. */
export const BODY_LIMITS: Readonly<Record<Plan['bodies'], BodyLimits>> = {
  usual: DEFAULT_BODY_LIMITS,
  tiny: TINY_LIMITS,
};

/** What a node can lose of its data folder. */
export type Loss = 'folder' | 'log' | 'segments';

/** How a node may end, or refuse to start, that has lost something; starting it again changes nothing. */
const ENDS_OF: Readonly<Record<Loss, readonly string[]>> = {
  folder: ['NODE_CHANGED', 'NODE_REMOVED'],
  log: ['LOG_MISSING', 'NODE_REMOVED'],
  segments: ['LOG_MISSING', 'NODE_REMOVED'],
};

/** Every group that a plan's cluster is founded with. */
export const groupsOf = (plan: Plan): GroupId[] =>
  Array.from({ length: plan.dataGroups + 1 }, (_, at) => groupId(at + 1));

export const addressOf = (id: number): string => `node${id}`;

/** A running process. */
export interface Process {
  readonly node: AssembledNode;
  readonly logStore: LogStore;
  readonly redis: RedisService;
  /** Undefined: what is stored is in clear. */
  readonly encryption: Encryption | undefined;
}

export interface ClusterNodeOptions {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly plan: Plan;
  readonly id: number;
  readonly random: SeededRandom;
  /** Something happened that must not. */
  readonly onViolation: (violation: InvariantViolation) => void;
  readonly say: (line: string) => void;
  /** Parts of the node that differ from what a plan says. */
  readonly parts?: Pick<NodeParts, 'backups' | 'balance' | 'work'>;
}

export class ClusterNode {
  readonly id: NodeId;
  readonly machine: SimMachine;
  process: Process | undefined;
  /** Counts processes, so that whoever looks at one notices that it is another. */
  starts = 0;
  /** Its disk cannot take anything now, or could not a moment ago: it may end itself. */
  hasDiskFault = false;
  /** The supervisor leaves it alone. */
  isHeldDown = false;
  /** The code that it ended with for good; undefined while a start may help. */
  endedWith: string | undefined;
  /** Its next process has a key, and encrypts what it finds; not to be taken back. */
  isEncrypted = false;
  /** Wall clock against true time. */
  clockOffsetMs = 0;
  /** Told of each step on a database or its folder, before it is made. */
  onLevelStep: (what: string) => void = () => {};
  private readonly options: ClusterNodeOptions;
  private levels = new SimulatedLevels();
  private levelsSettled: Promise<void> = Promise.resolve();
  private readonly connections = new Set<SimConnection>();
  /** It was emptied after it left, and founds nothing any more. */
  private joins = false;
  private mustWipe = false;
  private loss: Loss | undefined;
  /** What was lost with the folder is lost once. */
  private isEmptied = false;
  private incarnation: Buffer;
  /** The life of the machine in which a process was started last. */
  private bootedLife = 0;

  constructor(options: ClusterNodeOptions) {
    this.options = options;
    this.id = nodeId(options.id);
    this.machine = new SimMachine(options.fabric, this.id);
    this.machine.disk.slowness = this.diskSlowness;
    this.incarnation = options.random.bytes(16);
    this.watchLevels();
  }

  /** When nothing makes it slower still. */
  get diskSlowness(): number {
    return this.options.plan.diskSlowness;
  }

  /** Its replica of a group, while it has one. */
  raft(group: GroupId): RaftGroup | undefined {
    return this.process?.node.engine.group(group);
  }

  /** True while there is a database of a group, open or not. */
  hasStore(group: GroupId): Promise<boolean> {
    return this.levels.exists(`${STORES}-${group}`);
  }

  /** What it is known with: a stranger with another one is another node. */
  get folder(): Buffer {
    return this.incarnation;
  }

  get isUp(): boolean {
    return this.process !== undefined;
  }

  /** Starts a process; the caller does not wait, since the machine may crash meanwhile. */
  start(): void {
    this.isHeldDown = false;
    if (this.process !== undefined || this.endedWith !== undefined) return;
    const { life } = this.machine;
    if (this.bootedLife === life) return;
    this.bootedLife = life;
    this.boot(life).catch((error: unknown) => {
      if (life !== this.machine.life) return;
      this.options.say(`node ${this.id} cannot start: ${String(error)}`);
      const isOver = this.endsBy(error);
      if (!this.hasDiskFault && !isOver)
        this.options.onViolation(
          new InvariantViolation('start', `node ${this.id}: ${String(error)}`, { cause: error }),
        );
      this.exit();
    });
  }

  private async boot(life: number): Promise<void> {
    const { plan, say } = this.options;
    const { clock, random, scheduler, network, disk } = this.machine;
    await this.levelsSettled;
    // The machine may have crashed in the very moment of the start.
    if (life !== this.machine.life) return;
    if (this.mustWipe || this.loss === 'folder') await this.empty();
    else if (this.loss !== undefined) await this.loseLog(this.loss);
    this.mustWipe = false;
    await disk.makeFolder(DATA_FOLDER);
    const incarnation = this.incarnation.toString('hex');
    const record = await NodeRecord.open({ disk, folder: DATA_FOLDER, incarnation });
    const background = (error: unknown): void => say(`node ${this.id} background: ${String(error)}`);
    const encryption = await Encryption.open({
      folder: { path: DATA_FOLDER, record },
      disk,
      clock,
      scheduler,
      random,
      source: this.isEncrypted ? await KeySource.open({ key: STORAGE_KEY }) : undefined,
      dataKeyDays: 0,
      logger: { info: () => undefined },
      onError: background,
    });
    const logStore = await WalLogStore.open({
      disk,
      folder: LOG_FOLDER,
      random,
      record,
      encryption: encryption?.log,
      segmentBytes: plan.segmentBytes,
      cacheBytes: plan.logCacheBytes,
      waitForSpace: () => new Promise((resolve) => scheduler.after(100, resolve)),
    });
    network.introduceWith(new PeerBook(this.id, record, background));
    const members = Array.from({ length: plan.nodes }, (_, at) => ({ nodeId: at + 1, address: addressOf(at + 1) }));
    const ids = members.map((member) => member.nodeId);
    const node = await assembleNode({
      clock,
      random,
      scheduler,
      network,
      logStore,
      store: {
        location: STORES,
        openLevel: this.levels.openLevel,
        folders: this.levels,
        limits: plan.storeLimits,
        disk: encryption?.disk() ?? disk,
        // Nothing may take real time here.
        compression: inlineCompression,
        segmentLimits: SMALL_SEGMENTS,
      },
      sealedLevels: encryption?.levels,
      members,
      founding: foundingOf(plan.groups ?? plan.dataGroups, ids).founding,
      joins: this.joins,
      incarnation: this.incarnation,
      record,
      address: addressOf(this.options.id),
      version: 'simulated',
      limits: plan.limits,
      retentionMs: plan.retentionMs,
      kv: plan.kv,
      gc: plan.gc,
      moves: plan.routes?.moves ?? {},
      ...this.options.parts,
      onFatal: (error) => this.died(life, error),
      onBackgroundError: background,
    });
    const redis = createRedisService({
      kv: node.kv,
      transactions: node.transactions,
      reads: node.reads,
      points: node.reads.points,
      moments: node.reads,
      messages: node.messages,
      tracking: node.tracking,
      clusterSettings: clusterSettings({ ...node, clock, scheduler }),
      features: (feature) => featureStanding(node.clusterState(), feature),
      clock,
      scheduler,
      random,
      config: { commandTimeoutMs: plan.commandTimeoutMs },
      bodyLimits: BODY_LIMITS[plan.bodies],
      logger: {
        info: () => undefined,
        warn: () => undefined,
        error: (fields) => {
          const { err } = fields as { readonly err?: unknown };
          const text = err instanceof Error ? (err.stack ?? err.message) : String(err);
          this.options.onViolation(new InvariantViolation('unexpected error', `node ${this.id}: ${text}`));
        },
      },
    });
    encryption?.start(logStore);
    this.process = { node, logStore, redis, encryption };
    this.starts += 1;
    say(`node ${this.id} is up`);
  }

  /** Another data folder, with nothing in it. */
  private async empty(): Promise<void> {
    const { disk } = this.machine;
    if (!this.mustWipe && this.isEmptied) return;
    await disk.remove(DATA_FOLDER);
    await disk.syncFolder(dirname(DATA_FOLDER));
    this.levels = new SimulatedLevels();
    this.watchLevels();
    this.incarnation = this.options.random.bytes(16);
    this.isEmptied = true;
  }

  private async loseLog(loss: 'log' | 'segments'): Promise<void> {
    const { disk } = this.machine;
    const names = await disk.list(LOG_FOLDER);
    const lost = loss === 'log' ? names : names.filter((name) => name.endsWith('.wal')).slice(-2);
    for (const name of lost) await disk.remove(`${LOG_FOLDER}/${name}`);
    await disk.syncFolder(LOG_FOLDER);
  }

  /** The process says that it cannot go on; it ends in an event of its own, since its code is still on the stack. */
  private died(life: number, error: Error): void {
    const { simulation, say } = this.options;
    // The last breath of a process that was killed in the middle of something.
    if (life !== this.machine.life) return;
    say(`node ${this.id} ends itself: ${error.message}`);
    const isOver = this.endsBy(error);
    if (!this.hasDiskFault && !isOver)
      this.options.onViolation(new InvariantViolation('fatal', `node ${this.id}: ${error.stack}`, { cause: error }));
    simulation.schedule(0, `node ${this.id} exits`, () => {
      if (life === this.machine.life) this.exit();
    });
  }

  /** @returns true when the node has lost something and this is how it has to end */
  private endsBy(error: unknown): boolean {
    const { code } = error as { readonly code?: string };
    if (this.loss === undefined || code === undefined || !ENDS_OF[this.loss].includes(code)) return false;
    this.endedWith = code;
    return true;
  }

  private exit(): void {
    this.crash(false);
    this.options.simulation.schedule(RESTART_MS, `supervisor of node ${this.id}`, () => {
      if (!this.isHeldDown && !this.isUp && this.endedWith === undefined) this.start();
    });
  }

  /** Ends the process in order, as a signal does. */
  async stop(): Promise<void> {
    const { life } = this.machine;
    const { process } = this;
    this.isHeldDown = true;
    await process?.encryption?.stop();
    await process?.node.stop();
    await process?.logStore.close();
    if (life === this.machine.life) this.crash(false);
  }

  /** Ends the process without a word. @param losePower the machine too: what was not synced may be gone */
  crash(losePower: boolean): void {
    this.process = undefined;
    this.machine.crash({ losePower });
    for (const connection of this.connections) connection.serverDied();
    this.connections.clear();
    this.levelsSettled = this.levels.crash(this.options.random);
  }

  /**
   * Forgets everything; it comes back as a stranger that waits to be taken in.
   * @returns the incarnation that is no more
   */
  wipe(): Buffer {
    this.crash(true);
    this.mustWipe = true;
    this.joins = true;
    this.loss = undefined;
    this.endedWith = undefined;
    return this.incarnation;
  }

  /** The machine goes down, and a part of its disk is not there when it comes back. Nobody tells the node. */
  lose(loss: Loss): void {
    this.crash(true);
    this.loss = loss;
    this.isEmptied = false;
    // The flag of its first start is long gone from its command line.
    if (loss === 'folder') this.joins = false;
  }

  /** Moves the wall clock to `offsetMs` from true time. */
  setClockOffset(offsetMs: number): void {
    this.machine.clock.jumpWall(offsetMs - this.clockOffsetMs);
    this.clockOffsetMs = offsetMs;
  }

  /** Opens a client's connection. @throws Error when nothing listens */
  async connect(): Promise<SimRedis> {
    const { simulation, random } = this.options;
    await simulation.delay(random.next() * CONNECT_DELAY_MS, 'connect');
    const { process } = this;
    if (process === undefined) throw new Error('connection refused');
    const client = new SimRedis(simulation);
    const connection = new SimConnection(simulation, this.machine, random, client);
    client.attach(connection);
    this.connections.add(connection);
    simulation.schedule(
      random.next() * CONNECT_DELAY_MS,
      'accept',
      () => process.redis.accept(connection.serverEnd),
      this.machine,
      connection,
    );
    // The bytes that follow must not arrive before the connection does.
    await simulation.delay(CONNECT_DELAY_MS, 'connected');
    return client;
  }

  private watchLevels(): void {
    const { disk } = this.machine;
    const { random } = this.options;
    const step = async (what: string, takesRoom: boolean): Promise<void> => {
      const { life } = this.machine;
      this.onLevelStep(what);
      // Whoever is dead takes no further step.
      if (life !== this.machine.life) await new Promise(() => {});
      await disk.elapse(what);
      if (takesRoom && disk.isFull) throw Object.assign(new Error('ENOSPC: simulated'), { code: 'ENOSPC' });
      if (disk.failsSyncs) throw Object.assign(new Error('EIO: simulated'), { code: 'EIO' });
    };
    this.levels.beforeBatch = () => step('database batch', true);
    this.levels.beforeOpen = (location) => step(`open ${location}`, true);
    this.levels.beforeFolderChange = (change, location) => step(`${change} ${location}`, change === 'rename');
    this.levels.orderOfFiles = (files) => {
      const left = [...files];
      return files.map(() => left.splice(random.int(left.length), 1)[0]!);
    };
  }
}
