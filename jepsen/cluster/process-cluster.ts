/**
 * A cluster of real node processes on loopback, with a fault proxy between every ordered pair of nodes and a control file
 * for each node's clock and disk. Runs as any user; nothing of the machine is changed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Random } from '../../src/platform/index.ts';
import { connectClient } from '../client.ts';
import type { Mutation } from '../mutants/types.ts';
import type { DiskFault, LinkFault, NodeNumber, TestCluster } from '../types.ts';
import { FaultProxy } from './fault-proxy.ts';

const COMMAND = fileURLToPath(new URL('../../cmd/kvorum.ts', import.meta.url));
const PRELOAD = new URL('./preload.ts', import.meta.url).href;
const READY_POLL_MS = 50;
const LOG_TAIL_CHARACTERS = 16_384;
/** A node that ignores SIGTERM for this long is killed. */
const STOP_TIMEOUT_MS = 10_000;

interface NodeState {
  readonly number: NodeNumber;
  readonly redisPort: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  readonly configPath: string;
  readonly controlPath: string;
  readonly logPath: string;
  child: ChildProcess | undefined;
  /** The harness is ending it, or gave it a disk on which it must stop. */
  mayEnd: boolean;
  paused: boolean;
  clockOffsetMs: number;
  diskFault: DiskFault | undefined;
}

export interface ProcessClusterOptions {
  readonly nodes: number;
  /** Configuration, data and logs go below it. */
  readonly folder: string;
  readonly random: Random;
  readonly mutations: readonly Mutation[];
}

/** Ports that were free a moment ago, all different. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
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
  private readonly states: Map<NodeNumber, NodeState>;
  /** Keyed `from>to`: the proxy through which `from` connects to `to`. */
  private readonly proxies: Map<string, FaultProxy>;
  private readonly mutations: readonly Mutation[];
  private readonly endings: string[] = [];

  private constructor(
    states: Map<NodeNumber, NodeState>,
    proxies: Map<string, FaultProxy>,
    mutations: readonly Mutation[],
  ) {
    this.nodes = [...states.keys()];
    this.states = states;
    this.proxies = proxies;
    this.mutations = mutations;
  }

  /** Writes the configuration, starts every node and waits until all are ready. */
  static async launch(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const numbers = Array.from({ length: options.nodes }, (_, at) => at + 1);
    const ports = await freePorts(options.nodes * 3);
    const states = new Map<NodeNumber, NodeState>();
    for (const [at, number] of numbers.entries()) {
      const folder = join(options.folder, `n${number}`);
      mkdirSync(folder, { recursive: true });
      states.set(number, {
        number,
        redisPort: ports[at * 3]!,
        grpcPort: ports[at * 3 + 1]!,
        metricsPort: ports[at * 3 + 2]!,
        configPath: join(folder, 'config.json'),
        controlPath: join(folder, 'faults.json'),
        logPath: join(folder, 'node.log'),
        child: undefined,
        mayEnd: false,
        paused: false,
        clockOffsetMs: 0,
        diskFault: undefined,
      });
    }
    const proxies = new Map<string, FaultProxy>();
    for (const from of numbers) {
      const members: string[] = [];
      for (const to of numbers) {
        const target = states.get(to)!;
        if (from === to) {
          members.push(`${to}=127.0.0.1:${target.grpcPort}`);
          continue;
        }
        const proxy = new FaultProxy(() => target.grpcPort, options.random);
        proxies.set(`${from}>${to}`, proxy);
        members.push(`${to}=127.0.0.1:${await proxy.listen()}`);
      }
      const state = states.get(from)!;
      const config = {
        nodeId: from,
        clusterName: 'jepsen',
        dataFolder: join(options.folder, `n${from}`, 'data'),
        members,
        redis: { port: state.redisPort },
        grpc: { port: state.grpcPort },
        metrics: { port: state.metricsPort },
        logLevel: 'info',
      };
      writeFileSync(state.configPath, JSON.stringify(config, undefined, 2));
    }
    const cluster = new ProcessCluster(states, proxies, options.mutations);
    try {
      for (const number of numbers) await cluster.start(number);
      await cluster.ready(60_000);
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

  redisPort(node: NodeNumber): number {
    return this.state(node).redisPort;
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
    if (state.child !== undefined) return;
    this.writeControl(state);
    const log = openSync(state.logPath, 'a');
    const environment: NodeJS.ProcessEnv = { ...process.env, KVORUM_FAULT_CONTROL: state.controlPath };
    if (this.mutations.length > 0) environment.KVORUM_MUTATIONS = JSON.stringify(this.mutations);
    const child = spawn(process.execPath, ['--import', PRELOAD, COMMAND, 'server', '--config', state.configPath], {
      stdio: ['ignore', log, log],
      env: environment,
    });
    closeSync(log);
    state.mayEnd = state.diskFault !== undefined;
    child.once('exit', (code, signal) => {
      if (state.child === child) state.child = undefined;
      if (!state.mayEnd)
        this.endings.push(`node ${node} ended by itself (${signal ?? code}): ${lastErrorIn(state.logPath)}`);
    });
    state.child = child;
    state.paused = false;
  }

  async kill(node: NodeNumber): Promise<void> {
    await this.end(this.state(node), 'SIGKILL');
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
    const client = await connectClient(this.redisPort(node));
    try {
      await client.call('FAILOVER');
    } finally {
      client.disconnect();
    }
  }

  endedByThemselves(): readonly string[] {
    return this.endings;
  }

  setLink(from: NodeNumber, to: NodeNumber, fault: LinkFault): void {
    // Bytes from A to B travel on A's connections to B, and back along B's connections to A.
    this.proxies.get(`${from}>${to}`)?.setOutbound(fault);
    this.proxies.get(`${to}>${from}`)?.setInbound(fault);
  }

  healLinks(): void {
    for (const proxy of this.proxies.values()) {
      proxy.setOutbound({});
      proxy.setInbound({});
    }
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
      const response = await fetch(`http://127.0.0.1:${state.metricsPort}${path}`, {
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
      const leads = text?.match(/^kvorum_raft_leader\{[^}]*\} 1$/m);
      const term = Number(text?.match(/^kvorum_raft_term\{[^}]*\} (\d+)$/m)?.[1] ?? 0);
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
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.stop()));
  }
}
