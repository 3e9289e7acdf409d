/**
 * A cluster of real node processes, kept apart by an `Isolation` that can break the network between them, with a control
 * file for each node's clock and disk.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeEnvironment, nodeFlags } from '../../cmd/cli/allocator.ts';
import type { Random } from '../../src/platform/index.ts';
import { connectClient } from '../client.ts';
import { DYNAMODB_KEY } from '../dynamo-client.ts';
import type { Mutation } from '../mutants/types.ts';
import type {
  ClientAddress,
  DiskFault,
  IsolationName,
  LinkFault,
  NodeNumber,
  NodeProgram,
  TestCluster,
} from '../types.ts';
import { type Isolation, type NodeAddresses, ProxyIsolation } from './isolation.ts';
import { NamespaceIsolation } from './namespaces.ts';

const COMMAND = fileURLToPath(new URL('../../cmd/kvorum.ts', import.meta.url));
const PRELOAD = new URL('./preload.ts', import.meta.url).href;
const READY_POLL_MS = 50;
/** Nothing is broken yet, and nothing is judged: a machine that is busy may take a minute to start three nodes. */
const FIRST_READY_MS = 180_000;
const LOG_TAIL_CHARACTERS = 16_384;
/** A node that ignores SIGTERM for this long is killed. */
const STOP_TIMEOUT_MS = 10_000;

interface NodeState {
  readonly number: NodeNumber;
  readonly addresses: NodeAddresses;
  readonly configPath: string;
  readonly controlPath: string;
  readonly logPath: string;
  child: ChildProcess | undefined;
  /** The harness is ending it, or gave it a disk on which it must stop. */
  mayEnd: boolean;
  /** Its data folder is being deleted: it must not start. */
  isEmptied: boolean;
  paused: boolean;
  clockOffsetMs: number;
  diskFault: DiskFault | undefined;
  program: NodeProgram;
}

export interface ProcessClusterOptions {
  readonly nodes: number;
  /** Configuration, data and logs go below it. */
  readonly folder: string;
  readonly random: Random;
  readonly mutations: readonly Mutation[];
  readonly isolation: IsolationName;
  /** Data groups beside the catalog's. */
  readonly groups: number;
  /** Nodes take clients of DynamoDB too. */
  readonly servesDynamodb: boolean;
  /** The program of a release, which every node begins with; undefined: all begin with this one. */
  readonly releasedScript: string | undefined;
}

/** The newest line of a log that names an error, of the log's last part. */
function lastErrorIn(path: string): string {
  const lines = readFileSync(path, 'utf8').slice(-LOG_TAIL_CHARACTERS).split('\n');
  return lines.findLast((line) => /^\w*Error\b|"err"/.test(line))?.slice(0, 300) ?? 'it said nothing';
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts with `ProcessCluster.launch`; must be ended with `stop`. */
export class ProcessCluster implements TestCluster {
  readonly nodes: readonly NodeNumber[];
  readonly backupFolder: string;
  private readonly states: Map<NodeNumber, NodeState>;
  private readonly isolation: Isolation;
  private readonly mutations: readonly Mutation[];
  private readonly problems: string[] = [];
  private readonly scripts: Readonly<Record<NodeProgram, string>>;
  /** The group whose leader faults look for. */
  private readonly observedGroup: number;

  private constructor(states: Map<NodeNumber, NodeState>, isolation: Isolation, options: ProcessClusterOptions) {
    this.nodes = [...states.keys()];
    this.states = states;
    this.isolation = isolation;
    this.mutations = options.mutations;
    this.backupFolder = join(options.folder, 'backups');
    this.scripts = { present: COMMAND, released: options.releasedScript ?? COMMAND };
    this.observedGroup = options.groups === 0 ? 1 : 2;
  }

  /** Writes the configuration, starts every node and waits until all are ready. */
  static async launch(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const numbers = Array.from({ length: options.nodes }, (_, at) => at + 1);
    const isolation =
      options.isolation === 'namespaces'
        ? new NamespaceIsolation(numbers)
        : await ProxyIsolation.create(numbers, options.random);
    const states = new Map<NodeNumber, NodeState>();
    for (const number of numbers) {
      const folder = join(options.folder, `n${number}`);
      mkdirSync(folder, { recursive: true });
      const addresses = isolation.addresses(number);
      const { host, redisPort, grpcPort, metricsPort, dynamodbPort } = addresses;
      const configPath = join(folder, 'config.json');
      const config = {
        nodeId: number,
        clusterName: 'jepsen',
        dataFolder: join(folder, 'data'),
        groups: options.groups,
        members: numbers.map(
          (to) => `${to}=${to === number ? `${host}:${grpcPort}` : isolation.peerAddress(number, to)}`,
        ),
        redis: { host, port: redisPort },
        ...(options.servesDynamodb ? { dynamodb: { host, port: dynamodbPort, ...DYNAMODB_KEY } } : {}),
        grpc: { host, port: grpcPort },
        metrics: { host, port: metricsPort },
        // What releases do not know.
        ...(options.releasedScript === undefined ? { backup: { encrypted: false }, loopWatch: 'on' } : {}),
        // The addresses of isolated nodes are not loopback; nobody else is in their namespaces.
        insecure: true,
        logLevel: 'info',
      };
      writeFileSync(configPath, JSON.stringify(config, undefined, 2));
      states.set(number, {
        number,
        addresses,
        configPath,
        controlPath: join(folder, 'faults.json'),
        logPath: join(folder, 'node.log'),
        child: undefined,
        mayEnd: false,
        isEmptied: false,
        paused: false,
        clockOffsetMs: 0,
        diskFault: undefined,
        program: options.releasedScript === undefined ? 'present' : 'released',
      });
    }
    const cluster = new ProcessCluster(states, isolation, options);
    try {
      for (const number of numbers) await cluster.start(number);
      await cluster.ready(FIRST_READY_MS);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  private state(node: NodeNumber): NodeState {
    const state = this.states.get(node);
    if (state === undefined) throw new Error(`the cluster has no node ${node}`);
    return state;
  }

  redisAddress(node: NodeNumber): ClientAddress {
    const { host, redisPort } = this.state(node).addresses;
    return { host, port: redisPort };
  }

  dynamodbAddress(node: NodeNumber): ClientAddress {
    const { host, dynamodbPort } = this.state(node).addresses;
    return { host, port: dynamodbPort };
  }

  adminAddress(node: NodeNumber): string {
    const { host, grpcPort } = this.state(node).addresses;
    return `${host}:${grpcPort}`;
  }

  isRunning(node: NodeNumber): boolean {
    return this.state(node).child !== undefined;
  }

  /** Where a node's output goes. */
  logPath(node: NodeNumber): string {
    return this.state(node).logPath;
  }

  async start(node: NodeNumber): Promise<void> {
    const state = this.state(node);
    if (state.child !== undefined || state.isEmptied) return;
    this.writeControl(state);
    const log = openSync(state.logPath, 'a');
    // What a node would begin anew for. A release decides for itself.
    const flags = state.program === 'present' ? nodeFlags([process.env.NODE_OPTIONS ?? '']) : [];
    const environment = nodeEnvironment({ ...process.env, KVORUM_FAULT_CONTROL: state.controlPath });
    if (this.mutations.length > 0) environment.KVORUM_MUTATIONS = JSON.stringify(this.mutations);
    const script = this.scripts[state.program];
    const command = [process.execPath, ...flags, '--import', PRELOAD, script, 'server', '--config', state.configPath];
    const [program, ...args] = this.isolation.wrap(node, command);
    const child = spawn(program!, args, {
      stdio: ['ignore', log, log],
      env: environment,
    });
    closeSync(log);
    state.mayEnd = state.diskFault !== undefined;
    child.once('exit', (code, signal) => {
      if (state.child === child) state.child = undefined;
      if (!state.mayEnd)
        this.problems.push(`node ${node} ended by itself (${signal ?? code}): ${lastErrorIn(state.logPath)}`);
    });
    state.child = child;
    state.paused = false;
  }

  async empty(node: NodeNumber): Promise<void> {
    const state = this.state(node);
    const config = JSON.parse(readFileSync(state.configPath, 'utf8')) as { dataFolder: string };
    // Whoever starts it meanwhile starts it empty.
    writeFileSync(state.configPath, JSON.stringify({ ...config, join: true }, undefined, 2));
    state.isEmptied = true;
    try {
      await this.end(state, 'SIGKILL');
      rmSync(config.dataFolder, { recursive: true, force: true });
    } finally {
      state.isEmptied = false;
    }
    await this.start(node);
  }

  peerAddress(node: NodeNumber): string {
    return this.adminAddress(node);
  }

  async kill(node: NodeNumber): Promise<void> {
    await this.end(this.state(node), 'SIGKILL');
  }

  async shutDown(node: NodeNumber): Promise<void> {
    await this.end(this.state(node), 'SIGTERM');
  }

  private async end(state: NodeState, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { child } = state;
    if (child === undefined) return;
    state.mayEnd = true;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    if (state.paused) child.kill('SIGCONT');
    child.kill(signal);
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(force);
  }

  pause(node: NodeNumber): void {
    const state = this.state(node);
    state.child?.kill('SIGSTOP');
    state.paused = true;
  }

  resume(node: NodeNumber): void {
    const state = this.state(node);
    state.child?.kill('SIGCONT');
    state.paused = false;
  }

  async handOver(node: NodeNumber): Promise<void> {
    const client = await connectClient(this.redisAddress(node));
    try {
      await client.call('FAILOVER');
    } finally {
      client.disconnect();
    }
  }

  programOf(node: NodeNumber): NodeProgram {
    return this.state(node).program;
  }

  setProgram(node: NodeNumber, program: NodeProgram): void {
    this.state(node).program = program;
  }

  found(problem: string): void {
    this.problems.push(problem);
  }

  findings(): readonly string[] {
    return this.problems;
  }

  setLink(from: NodeNumber, to: NodeNumber, fault: LinkFault): void {
    this.isolation.setLink(from, to, fault);
  }

  healLinks(): void {
    this.isolation.heal();
  }

  setClockOffset(node: NodeNumber, offsetMs: number): void {
    const state = this.state(node);
    state.clockOffsetMs = offsetMs;
    this.writeControl(state);
  }

  setDiskFault(node: NodeNumber, fault: DiskFault | undefined): void {
    const state = this.state(node);
    state.diskFault = fault;
    if (fault !== undefined) state.mayEnd = true;
    this.writeControl(state);
  }

  private writeControl(state: NodeState): void {
    const control = { clockOffsetMs: state.clockOffsetMs, diskFault: state.diskFault ?? null };
    writeFileSync(`${state.controlPath}.new`, JSON.stringify(control));
    renameSync(`${state.controlPath}.new`, state.controlPath);
  }

  private async fetch(state: NodeState, path: string): Promise<string | undefined> {
    try {
      const response = await fetch(`http://${state.addresses.host}:${state.addresses.metricsPort}${path}`, {
        signal: AbortSignal.timeout(500),
      });
      return response.ok ? await response.text() : undefined;
    } catch {
      return undefined;
    }
  }

  async leader(): Promise<NodeNumber | undefined> {
    let best: { node: NodeNumber; term: number } | undefined;
    for (const state of this.states.values()) {
      if (state.child === undefined || state.paused) continue;
      const text = await this.fetch(state, '/metrics');
      const label = `\\{group="${this.observedGroup}"\\}`;
      const leads = text?.match(new RegExp(`^kvorum_raft_leader${label} 1$`, 'm'));
      const term = Number(text?.match(new RegExp(`^kvorum_raft_term${label} (\\d+)$`, 'm'))?.[1] ?? 0);
      if (leads && (best === undefined || term > best.term)) best = { node: state.number, term };
    }
    return best?.node;
  }

  async ready(timeoutMs: number): Promise<void> {
    const giveUpMs = performance.now() + timeoutMs;
    for (const state of this.states.values()) {
      while ((await this.fetch(state, '/readyz')) === undefined) {
        if (state.child === undefined) throw new Error(`node ${state.number} ended; its log is ${state.logPath}`);
        if (performance.now() > giveUpMs)
          throw new Error(`node ${state.number} is not ready; its log is ${state.logPath}`);
        await pause(READY_POLL_MS);
      }
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.states.values()].map((state) => this.end(state, 'SIGTERM')));
    await this.isolation.stop();
  }
}
