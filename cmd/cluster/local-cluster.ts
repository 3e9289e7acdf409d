/**
 * Several nodes on this machine, each in a process of its own. Starts them, says when all of them serve clients, notices
 * deaths, stops all.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isEndForGood, type NodeSettingValues } from '../../src/config/index.ts';
import type { GroupView, NodeAddresses } from './node-channel.ts';
import { describeExit, type NodeExit, NodeProcess } from './node-process.ts';

export interface LocalClusterOptions {
  readonly nodes: readonly NodeSettingValues[];
  /** Start a node again when it ends unexpectedly; not one that has no place in the cluster, see `isEndForGood`. */
  readonly restart?: boolean;
  /** See `NodeProcessOptions.script`; asked each time that a node is started. */
  readonly script?: (nodeId: number) => string | undefined;
  readonly onLine?: (nodeId: number, line: string) => void;
  /** A node ended without being asked to; `restarting` says what happens next. */
  readonly onDeath?: (nodeId: number, exit: NodeExit, restarting: boolean) => void;
}

/** One node of a ready cluster. */
export interface ClusterMember {
  readonly nodeId: number;
  readonly addresses: NodeAddresses;
  readonly isReady: boolean;
  readonly reason: string;
  readonly groups: readonly GroupView[];
  readonly dataFolder: string;
  readonly pid: number;
}

/** A node ended before the cluster was ready. */
export class NodeStartError extends Error {
  override readonly name = 'NodeStartError';
}

const POLL_INTERVAL_MS = 50;
/** A node that dies at once is started again more and more slowly, so that a broken disk does not become a busy loop. */
const RESTART_DELAY_MS = { first: 500, most: 30_000 } as const;
/** A node that lived this long is taken to have recovered: its next death counts as the first. */
const STABLE_AFTER_MS = 60_000;

/** The nodes of one cluster, from `start` to `stop`. */
export class LocalCluster {
  private readonly options: LocalClusterOptions;
  private readonly processes = new Map<number, NodeProcess>();
  private readonly restartDelayMs = new Map<number, number>();
  private readonly restartTimers = new Set<NodeJS.Timeout>();
  private stopping = false;

  constructor(options: LocalClusterOptions) {
    this.options = options;
  }

  /** Starts every node's process; `ready` tells when they are a cluster. */
  start(): void {
    for (const settings of this.options.nodes) this.startNode(settings);
  }

  /**
   * Settles when every node listens, knows who owns what, and knows the leader of each of its groups.
   * @throws NodeStartError when a node ended, or when `timeoutMs` passed
   */
  async ready(timeoutMs: number): Promise<ClusterMember[]> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const dead = [...this.processes.values()].find((node) => node.exit !== undefined && !this.options.restart);
      if (dead) throw new NodeStartError(deathReport(dead.nodeId, dead.exit!));
      const members = await Promise.all([...this.processes.values()].map((node) => this.member(node, deadline)));
      const settled = members.filter((member) => member?.isReady === true);
      if (settled.length === this.options.nodes.length) return settled as ClusterMember[];
      if (Date.now() > deadline) {
        throw new NodeStartError(`the cluster is not ready after ${timeoutMs / 1000} s: ${complaints(members)}`);
      }
      await delay(POLL_INTERVAL_MS);
    }
  }

  /** The process of a node, for tests and tools that kill it. */
  process(nodeId: number): NodeProcess | undefined {
    return this.processes.get(nodeId);
  }

  /** Starts a node that ended. */
  revive(nodeId: number): void {
    const settings = this.options.nodes.find((node) => node.nodeId === nodeId);
    if (settings && this.processes.get(nodeId)?.exit !== undefined) this.startNode(settings);
  }

  /** Stops all nodes at the same time, politely. */
  async stop(graceMs?: number): Promise<NodeExit[]> {
    this.stopping = true;
    for (const timer of this.restartTimers) clearTimeout(timer);
    return Promise.all([...this.processes.values()].map((node) => node.stop(graceMs)));
  }

  /** Ends all nodes at once. */
  kill(): void {
    this.stopping = true;
    for (const node of this.processes.values()) node.kill('SIGKILL');
  }

  private startNode(settings: NodeSettingValues): void {
    const { nodeId } = settings;
    const startedMs = Date.now();
    const script = this.options.script?.(nodeId);
    const node = new NodeProcess({
      settings,
      ...(script === undefined ? {} : { script }),
      onLine: (line) => this.options.onLine?.(nodeId, line),
      onExit: (exit) => {
        if (this.stopping || this.processes.get(nodeId) !== node) return;
        const restarting = this.options.restart === true && !isEndForGood(exit.code);
        this.options.onDeath?.(nodeId, exit, restarting);
        if (restarting) this.restartLater(settings, Date.now() - startedMs);
      },
    });
    this.processes.set(nodeId, node);
  }

  private restartLater(settings: NodeSettingValues, livedMs: number): void {
    const { nodeId } = settings;
    const previous = livedMs > STABLE_AFTER_MS ? undefined : this.restartDelayMs.get(nodeId);
    const delayMs = previous === undefined ? RESTART_DELAY_MS.first : Math.min(previous * 2, RESTART_DELAY_MS.most);
    this.restartDelayMs.set(nodeId, delayMs);
    const timer = setTimeout(() => {
      this.restartTimers.delete(timer);
      this.startNode(settings);
    }, delayMs);
    this.restartTimers.add(timer);
  }

  private async member(node: NodeProcess, deadline: number): Promise<ClusterMember | undefined> {
    const abort = new AbortController();
    const timeout = delay(Math.max(0, deadline - Date.now()), undefined, { signal: abort.signal }).catch(
      () => undefined,
    );
    const addresses = await Promise.race([node.listening(), timeout]);
    abort.abort();
    if (addresses === undefined) return undefined;
    const { nodeId, settings } = node;
    const { isReady, reason, groups } = await node.status();
    return { nodeId, addresses, isReady, reason, groups, dataFolder: settings.dataFolder, pid: node.pid! };
  }
}

const complaints = (members: readonly (ClusterMember | undefined)[]): string =>
  members
    .filter((member) => member?.isReady !== true)
    .map((member) => (member === undefined ? 'a node does not listen yet' : `node ${member.nodeId}: ${member.reason}`))
    .join('; ');

/** What to show when a node ended by itself. */
export function deathReport(nodeId: number, exit: NodeExit): string {
  const heading = `node ${nodeId} ended unexpectedly (${describeExit(exit)})`;
  return [heading, ...exit.lastLines.map((line) => `  ${line}`)].join('\n');
}
