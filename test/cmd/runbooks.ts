/** Runbooks as programs: the fenced commands of a page of documentation, run by a shell as they stand. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PAGES = ['runbooks', 'operations'].map((name) => new URL(`../../docs/${name}.md`, import.meta.url));
const PROGRAMS = { kvorum: '../../cmd/kvorum.ts', raftadmin: '../../cmd/raftadmin.ts' };
/** A command that hangs is ended; how long one takes on a busy machine says nothing. */
const STEP_TIMEOUT_MS = 300_000;

/** Every block of the pages that has a name, in their order. */
export const namedBlocks = (): { readonly name: string; readonly text: string }[] =>
  PAGES.flatMap((page) => [
    ...readFileSync(page, 'utf8').matchAll(/<!-- runbook: (?<name>[^>]*) -->\n```sh\n(?<text>[^`]*)```/g),
  ]).map(({ groups }) => ({ name: groups!.name!, text: groups!.text! }));

/** The blocks of a runbook in the order of the page. @param part such as `grow` or `grow, before` */
export function blocksOf(part: string): string[] {
  const found = namedBlocks().filter(({ name }) => name === part);
  assert.ok(found.length > 0, `no page has a runbook '${part}'`);
  return found.map(({ text }) => text);
}

/** In the place of a node's number: what goes on like a node, and is none. */
export const PROXY = 0;

/** A command that starts a node or the proxy, and everything else. */
export interface Step {
  readonly text: string;
  /** Set for `kvorum server`, and for `kvorum redis-proxy run`. */
  readonly nodeId?: number;
}

/** A block as steps: each server is one, what stands between them is another. */
export function stepsOf(block: string): Step[] {
  const steps: Step[] = [];
  let other = '';
  const flush = (): void => {
    if (other.trim() !== '') steps.push({ text: other });
    other = '';
  };
  for (const line of block.replaceAll('\\\n', ' ').split('\n')) {
    const id = line.startsWith('kvorum redis-proxy run ') ? PROXY : /^kvorum server .*--node-id (\d+)/.exec(line)?.[1];
    if (id === undefined) {
      other += `${line}\n`;
      continue;
    }
    flush();
    steps.push({ text: line, nodeId: Number(id) });
  }
  flush();
  return steps;
}

export interface RunbookShellOptions {
  /** Where commands run. */
  readonly folder: string;
  /** Puts in ports and folders, and nothing else. */
  readonly substitute: (text: string) => string;
  /** Of a node, beside what blocks export. */
  readonly environmentOf?: (nodeId: number) => Readonly<Record<string, string>>;
}

/** Runs blocks; servers go on in the background until `stop`. */
export class RunbookShell {
  /** What was run and printed, for the message of a test that fails. */
  readonly transcript: string[] = [];
  private readonly options: RunbookShellOptions;
  private readonly environment: Record<string, string>;
  private readonly servers = new Map<number, ChildProcess>();

  constructor(options: RunbookShellOptions) {
    this.options = options;
    const { folder } = options;
    mkdirSync(join(folder, 'bin'), { recursive: true });
    // Many programs are started, most of them for a moment: what they have compiled is kept.
    const NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE ?? join(folder, 'compiled');
    this.environment = { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, HOME: folder, NODE_COMPILE_CACHE };
    for (const [name, path] of Object.entries(PROGRAMS)) {
      this.installScript(name, fileURLToPath(new URL(path, import.meta.url)));
    }
  }

  /** Puts a program in the path, or another in its place. @param text of a shell script */
  install(name: string, text: string): void {
    const path = join(this.options.folder, 'bin', name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
  }

  /** As `install`, for a file that this Node runs. */
  installScript(name: string, script: string): void {
    this.install(name, `exec "${process.execPath}" "${script}" "$@"`);
  }

  /** Runs every step of every block; a command that fails ends it. */
  async run(part: string, ready: (nodeId: number) => Promise<void>): Promise<void> {
    for (const block of blocksOf(part)) await this.runBlock(block, ready);
  }

  /** Runs the steps of one block. */
  async runBlock(block: string, ready: (nodeId: number) => Promise<void>): Promise<void> {
    for (const step of stepsOf(block)) {
      if (step.nodeId === undefined) await this.script(step.text);
      else await this.server(step.nodeId, step.text, ready);
    }
  }

  private async script(text: string): Promise<void> {
    const script = this.options.substitute(text);
    // Variables that a block exports hold for those after it, as in one terminal.
    for (const [, name, value] of script.matchAll(/^export (\w+)=(.*)$/gm)) this.environment[name!] = value!;
    const startedMs = performance.now();
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      env: this.environment,
      cwd: this.options.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), STEP_TIMEOUT_MS);
    const code = await new Promise((resolve) => child.once('close', resolve));
    clearTimeout(timer);
    this.transcript.push(`$ ${script}${output}(${Math.round(performance.now() - startedMs)} ms)`);
    if (process.env.RUNBOOK_TRACE !== undefined) console.log(this.transcript.at(-1));
    assert.equal(code, 0, `a step of the runbook failed:\n${this.transcript.join('\n')}`);
  }

  /** Starts a node; one with its id that runs is stopped first, as the page says. */
  private async server(nodeId: number, text: string, ready: (nodeId: number) => Promise<void>): Promise<void> {
    await this.end(nodeId, 'SIGTERM');
    const command = this.options.substitute(text);
    this.transcript.push(`$ ${command}`);
    const env = { ...this.environment, ...this.options.environmentOf?.(nodeId) };
    const child = spawn('bash', ['-c', `exec ${command}`], { env, cwd: this.options.folder });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => this.transcript.push(`n${nodeId} | ${String(chunk).trimEnd()}`));
    }
    child.once('close', () => {
      if (this.servers.get(nodeId) === child) this.servers.delete(nodeId);
    });
    this.servers.set(nodeId, child);
    await ready(nodeId);
  }

  isRunning(nodeId: number): boolean {
    return this.servers.has(nodeId);
  }

  /** Ends a node and waits until it is gone. */
  async end(nodeId: number, signal: NodeJS.Signals): Promise<void> {
    const child = this.servers.get(nodeId);
    if (child === undefined) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await Promise.race([closed, delay(STEP_TIMEOUT_MS, undefined, { ref: false })]);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.servers.keys()].map((nodeId) => this.end(nodeId, 'SIGKILL')));
  }
}
