/**
 * What commands over several groups wait for: whole nodes in virtual time, three of them with three groups, with a disk and links that take as long as real
 * ones. Processors take no time here, so what is counted is what a command has in sequence, and nothing of it depends on the machine.
 */
import { KEYSPACES } from '../../../src/adapter/redis/keys/keyspace.ts';
import { groupId } from '../../../src/platform/index.ts';
import { SimulatedNodes } from '../../support/simulated-nodes.ts';
import type { SimRedis } from './sim-redis.ts';

export const NODES = 3;
const GROUPS = 3;
/** The first group of data; the one before has the catalog. */
const FIRST_GROUP = 2;
/** With it a write that is synced takes a millisecond in the median, and ten times that now and then. */
const DISK_SLOWNESS = 9;
const ROUNDS = 150;
/** How long entries of many clients are counted, and how long before that they write. */
const COUNTED_MS = 200;
const SETTLING_MS = 200;
/** Pairs of keys, so many that one is not written again at once. */
const PAIRS = 12;

/** What one command took, of its node and of all. */
export interface PathFigures {
  readonly medianMs: number;
  /** Of all links, for one command. */
  readonly frames: number;
  /** Of the logs of all groups, for one command. */
  readonly entries: number;
  /** Writes of all disks, for one command. */
  readonly writes: number;
  /** Requests of this kind that nodes sent each other, for one command. */
  readonly requests: ReadonlyMap<string, number>;
}

export const quantile = (numbers: readonly number[], share: number): number =>
  [...numbers].sort((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))] ?? Number.NaN;

/** Three nodes that are ready, and keys by group. */
export class GroupPaths {
  readonly cluster: SimulatedNodes;
  private frames = 0;
  private writes = 0;
  private readonly requests = new Map<string, number>();

  constructor(seed = 11) {
    this.cluster = new SimulatedNodes(NODES, GROUPS, seed);
  }

  async start(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    for (const { id, machine } of cluster.nodes) {
      machine.disk.slowness = DISK_SLOWNESS;
      const elapse = machine.disk.elapse.bind(machine.disk);
      machine.disk.elapse = (operation) => {
        if (operation === 'write') this.writes++;
        return elapse(operation);
      };
      const send = machine.network.send.bind(machine.network);
      machine.network.send = (to, lane, frame) => {
        this.frames++;
        return send(to, lane, frame);
      };
      const { kv } = cluster.running(id);
      const forward = kv.forward.bind(kv);
      kv.forward = (group, service, ...rest) => {
        this.requests.set(service, (this.requests.get(service) ?? 0) + 1);
        forward(group, service, ...rest);
      };
    }
  }

  connect(node: number): Promise<SimRedis> {
    return this.cluster.run(this.cluster.node(node).connect());
  }

  /** A name whose key is in a data group, counted from 0. */
  name(group: number, nth = 0): string {
    const { kv } = this.cluster.running(1);
    const wanted = groupId(FIRST_GROUP + group);
    for (let at = 0; ; at++) {
      const name = `k${at}`;
      if (kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(name))) === wanted && nth-- === 0) return name;
    }
  }

  /** Commands that write pairs of keys, another pair each time. */
  pairs(one: number, other: number): (round: number) => string[] {
    const names = Array.from({ length: PAIRS }, (_, at) => [
      this.name(one, 10 + 2 * at),
      this.name(other, 11 + 2 * at),
    ]);
    return (round) => {
      const [first, second] = names[round % PAIRS]!;
      return ['mset', first!, 'v'.repeat(100), second!, 'v'.repeat(100)];
    };
  }

  /** The node that leads a data group. */
  leader(group: number): number {
    return this.cluster.leaderOf(groupId(FIRST_GROUP + group))!;
  }

  /** Entries in the logs of all groups. */
  entries(): number {
    let sum = 0;
    for (let id = 1; id <= GROUPS + 1; id++) {
      const group = groupId(id);
      const leader = this.cluster.leaderOf(group);
      if (leader !== undefined) sum += this.cluster.node(leader).raft(group)!.status().lastIndex;
    }
    return sum;
  }

  /** What was counted since the start. */
  counts(): { readonly frames: number; readonly writes: number } {
    return { frames: this.frames, writes: this.writes };
  }

  /** One client that sends a command when the one before is answered. */
  async measure(client: SimRedis, commandOf: (round: number) => string[], rounds = ROUNDS): Promise<PathFigures> {
    const { simulation } = this.cluster;
    const took: number[] = [];
    const before = { frames: this.frames, writes: this.writes, entries: this.entries() };
    this.requests.clear();
    for (let round = 0; round < rounds; round++) {
      const beganMs = simulation.nowMs();
      await this.cluster.run(client.command(commandOf(round)));
      took.push(simulation.nowMs() - beganMs);
    }
    await simulation.runFor(50);
    return {
      medianMs: quantile(took, 0.5),
      frames: (this.frames - before.frames) / rounds,
      writes: (this.writes - before.writes) / rounds,
      entries: (this.entries() - before.entries) / rounds,
      requests: new Map([...this.requests].map(([service, count]) => [service, count / rounds])),
    };
  }
}

/** A step of a queue: an id, a place in a list, a hash of its own, and a list that others look at. */
export const QUEUE_SCRIPT = `
local id = redis.call('INCR', KEYS[1])
redis.call('LPUSH', KEYS[2], id)
redis.call('HSET', KEYS[3] .. ':' .. id, 'state', 'waiting', 'data', ARGV[1])
return redis.call('LLEN', KEYS[2])`;

/** How long so many scripts of one queue take whose keys are in three groups, with a connection on each node and so many under way on each. */
export async function scriptsASecond(paths: GroupPaths, nodes: readonly number[], underWay: number, count: number) {
  const { simulation } = paths.cluster;
  const keys = [paths.name(0, 3), paths.name(1, 3), paths.name(2, 3)];
  const clients: SimRedis[] = [];
  for (const node of nodes) clients.push(await paths.connect(node));
  const command = ['eval', QUEUE_SCRIPT, '3', ...keys, 'x'.repeat(100)];
  const failures = new Map<string, number>();
  let left = count;
  const work = async (client: SimRedis): Promise<void> => {
    while (left > 0) {
      left--;
      await client.command(command).catch((error: Error) => {
        failures.set(error.message, (failures.get(error.message) ?? 0) + 1);
      });
    }
  };
  const beganMs = simulation.nowMs();
  const all = clients.flatMap((client) => Array.from({ length: underWay }, () => work(client)));
  await paths.cluster.run(Promise.all(all));
  return { rate: (count * 1_000) / (simulation.nowMs() - beganMs), failures };
}

/** How long APPEND to a key takes, in quiet and while others write it in transactions over two groups. */
export async function waitsOfPlain(paths: GroupPaths, writers: number, rounds: number) {
  const { simulation } = paths.cluster;
  const [hot, other] = [paths.name(0), paths.name(1)];
  const clients: SimRedis[] = [];
  for (let at = 0; at < writers; at++) clients.push(await paths.connect(1 + (at % NODES)));
  const plain = await paths.connect(1);
  const failures = new Map<string, number>();
  const appends = async (): Promise<number[]> => {
    const took: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const beganMs = simulation.nowMs();
      await paths.cluster.run(
        plain.command(['append', hot, 'x']).catch((error: Error) => {
          failures.set(error.message, (failures.get(error.message) ?? 0) + 1);
        }),
      );
      took.push(simulation.nowMs() - beganMs);
    }
    return took;
  };
  const quiet = await appends();
  let isOver = false;
  let written = 0;
  let lost = 0;
  const writing = clients.map(async (client) => {
    while (!isOver) {
      await client.command(['mset', hot, 'v', other, 'v']).then(
        () => written++,
        () => lost++,
      );
    }
  });
  await simulation.runFor(100);
  const beganMs = simulation.nowMs();
  const before = written;
  const busy = await appends();
  const rate = ((written - before) * 1_000) / (simulation.nowMs() - beganMs);
  isOver = true;
  await paths.cluster.run(Promise.all(writing));
  return { quiet, busy, rate, lost, failures };
}

/** What MSETs of many clients cost. */
export interface CrowdFigures {
  readonly commands: number;
  readonly medianMs: number;
  /** Of the logs of all groups, for one command. */
  readonly entries: number;
  /** Of all links, for one command. */
  readonly frames: number;
  /** Of the whole process, with the simulation's own, microseconds for one command: the machine's, not virtual. */
  readonly processorUs: number;
}

/** Clients of all nodes, each with one MSET under way of two keys that nobody else writes, for so long in virtual time. */
export async function msetsOfMany(
  paths: GroupPaths,
  [one, other]: readonly [number, number],
  { clients, countedMs }: { readonly clients: number; readonly countedMs: number },
): Promise<CrowdFigures> {
  const { cluster } = paths;
  for (const { machine } of cluster.nodes) Object.assign(machine.disk, { syncMs: 1, slowness: 0.1 });
  const connections: SimRedis[] = [];
  while (connections.length < clients) connections.push(await paths.connect(1 + (connections.length % NODES)));
  const [tag, otherTag] = [paths.name(one), paths.name(other)];
  let took: number[] = [];
  let isOver = false;
  const writers = connections.map(async (connection, at) => {
    for (let round = 0; !isOver; round++) {
      const beganMs = cluster.simulation.nowMs();
      const names = [`{${tag}}${at}:${round}`, `{${otherTag}}-${at}:${round}`] as const;
      await connection.command(['mset', names[0], 'v'.repeat(100), names[1], 'v'.repeat(100)]);
      took.push(cluster.simulation.nowMs() - beganMs);
    }
  });
  await cluster.simulation.runFor(SETTLING_MS);
  took = [];
  const before = { ...paths.counts(), entries: paths.entries(), processor: process.cpuUsage() };
  await cluster.simulation.runFor(countedMs);
  const { user, system } = process.cpuUsage(before.processor);
  const commands = took.length;
  const figures = {
    commands,
    medianMs: quantile(took, 0.5),
    entries: (paths.entries() - before.entries) / commands,
    frames: (paths.counts().frames - before.frames) / commands,
    processorUs: (user + system) / commands,
  };
  isOver = true;
  await cluster.run(Promise.all(writers));
  for (const { machine } of cluster.nodes) Object.assign(machine.disk, { syncMs: undefined, slowness: DISK_SLOWNESS });
  for (const connection of connections) connection.disconnect();
  return figures;
}

/** How many commands an entry has, while clients of one node write keys of all groups, each the next one when it is answered. */
export async function commandsAnEntry(paths: GroupPaths, node: number, clients: number): Promise<number> {
  const { cluster } = paths;
  // Syncs take as long one as another, and all else of a disk next to nothing: what is counted is how writes come together.
  for (const { machine } of cluster.nodes) Object.assign(machine.disk, { syncMs: 2, slowness: 0.1 });
  const connections: SimRedis[] = [];
  while (connections.length < clients) connections.push(await paths.connect(node));
  let commands = 0;
  let isOver = false;
  const writers = connections.map(async (connection, at) => {
    for (let round = 0; !isOver; round++, commands++) await connection.command(['SET', `${at}:${round}`, 'v']);
  });
  await cluster.simulation.runFor(SETTLING_MS);
  const before = { commands, entries: paths.entries() };
  await cluster.simulation.runFor(COUNTED_MS);
  const counted = (commands - before.commands) / (paths.entries() - before.entries);
  isOver = true;
  await cluster.run(Promise.all(writers));
  for (const { machine } of cluster.nodes) Object.assign(machine.disk, { syncMs: undefined, slowness: DISK_SLOWNESS });
  for (const connection of connections) connection.disconnect();
  return counted;
}
