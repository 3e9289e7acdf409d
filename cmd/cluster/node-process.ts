/** One node in a process of its own: start, ask, stop, notice its end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { formatFlags, type NodeSettingValues, nodeSettings, secretEnvironment } from '../../src/config/index.ts';
import { nodeEnvironment, nodeFlags } from '../cli/allocator.ts';
import { compiledCodeEnvironment } from '../cli/compile-cache.ts';
import { isFromNode, type NodeAddresses, type NodeView, sendToNode } from './node-channel.ts';

/** How a process ended. */
export interface NodeExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Last lines that it wrote, oldest first. */
  readonly lastLines: readonly string[];
}

/** `exit code 1` or `killed by SIGKILL`. */
export const describeExit = (exit: NodeExit): string =>
  exit.signal === null ? `exit code ${exit.code}` : `killed by ${exit.signal}`;

export interface NodeProcessOptions {
  readonly settings: NodeSettingValues;
  /** Script that is run with `server` and the settings as arguments; this program's own by default. */
  readonly script?: string;
  /** Called with every line that the process writes to its standard output or error. */
  readonly onLine?: (line: string) => void;
  /** Called once when the process has ended, for whatever reason. */
  readonly onExit?: (exit: NodeExit) => void;
}

/** Enough to explain a death in one screen. */
const KEPT_LINES = 20;

/** The program itself: `kvorum.ts` in the sources, `kvorum.js` in `dist`. */
const ownScript = (): string => {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return fileURLToPath(new URL(`../kvorum.${extension}`, import.meta.url));
};

/** A node that does not answer. */
const SILENT: NodeView = { isReady: false, reason: 'the node does not answer', groups: [] };

/** A running `kvorum server`. */
export class NodeProcess {
  readonly settings: NodeSettingValues;
  private readonly child: ChildProcess;
  private readonly lastLines: string[] = [];
  private ended: NodeExit | undefined;
  private readonly exited: Promise<NodeExit>;
  private readonly listeningOrEnded: Promise<NodeAddresses | undefined>;
  private statusWaiters: ((view: NodeView) => void)[] = [];

  constructor(options: NodeProcessOptions) {
    this.settings = options.settings;
    const { script } = options;
    // Another program decides for itself.
    const flags = script === undefined ? nodeFlags([process.env.NODE_OPTIONS ?? '']) : [];
    const args = [script ?? ownScript(), 'server', ...formatFlags(nodeSettings, this.settings)];
    this.child = spawn(process.execPath, [...flags, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...nodeEnvironment(process.env),
        ...compiledCodeEnvironment(),
        ...secretEnvironment(nodeSettings, this.settings),
      },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream! }).on('line', (line) => {
        this.lastLines.push(line);
        if (this.lastLines.length > KEPT_LINES) this.lastLines.shift();
        options.onLine?.(line);
      });
    }
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (this.ended) return;
        this.ended = { code, signal, lastLines: this.lastLines };
        this.statusWaiters.splice(0).forEach((waiter) => {
          waiter(SILENT);
        });
        resolve(this.ended);
        options.onExit?.(this.ended);
      };
      // 'close' comes after the last line was read, so that `lastLines` is complete.
      this.child.once('close', end);
      this.child.once('error', (error) => {
        this.lastLines.push(error.message);
        end(null, null);
      });
    });
    this.listeningOrEnded = new Promise((resolve) => {
      this.child.on('message', (message) => {
        if (!isFromNode(message)) return;
        if (message.kind === 'listening') resolve(message.addresses);
        else
          this.statusWaiters.splice(0).forEach((waiter) => {
            waiter(message);
          });
      });
      void this.exited.then(() => resolve(undefined));
    });
  }

  get nodeId(): number {
    return this.settings.nodeId;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** How it ended; undefined while it runs. */
  get exit(): NodeExit | undefined {
    return this.ended;
  }

  /** Settles with the addresses once the node listens, with undefined when it ended before. */
  listening(): Promise<NodeAddresses | undefined> {
    return this.listeningOrEnded;
  }

  /** How the node is now; not ready and without groups when it ended or does not answer in `timeoutMs`. */
  status(timeoutMs = 1000): Promise<NodeView> {
    if (this.ended) return Promise.resolve(SILENT);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(SILENT), timeoutMs);
      this.statusWaiters.push((view) => {
        clearTimeout(timer);
        resolve(view);
      });
      sendToNode(this.child, { kind: 'askStatus' });
    });
  }

  /** Sends a signal; harmless when the process has ended. */
  kill(signal: NodeJS.Signals): void {
    if (!this.ended) this.child.kill(signal);
  }

  /** Settles with how the process ended, when it has. */
  waitExit(): Promise<NodeExit> {
    return this.exited;
  }

  /** Asks the node to stop and kills it when it has not after `graceMs`. */
  async stop(graceMs = 15_000): Promise<NodeExit> {
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}
