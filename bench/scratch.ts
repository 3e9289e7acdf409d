/**
 * What a benchmark leaves nothing of: a temporary folder, child processes, free ports. Everything ends with `clean`, also
 * on Ctrl-C and when the benchmark is told to end, and only what was started here is ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Below Linux's ephemeral range (32768 up), so that outgoing connections do not take a port between probe and use. */
const PORT_RANGE = { from: 15_000, to: 32_000 } as const;

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** Ranges that this process was given last: whoever has them may take seconds until it listens. */
const given: { readonly first: number; readonly end: number }[] = [];
const REMEMBERED_RANGES = 32;

/** First of `count` neighbouring ports of 127.0.0.1 that are free now, and that nobody in this process was given lately. */
export async function freePortRange(count: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const first = PORT_RANGE.from + Math.floor(Math.random() * (PORT_RANGE.to - PORT_RANGE.from - count));
    const end = first + count;
    if (given.some((range) => first < range.end && range.first < end)) continue;
    // At once: somebody else may ask while these are tried.
    if (given.push({ first, end }) > REMEMBERED_RANGES) given.shift();
    let free = true;
    for (let port = first; free && port < end; port++) free = await canBind(port);
    if (free) return first;
  }
  throw new Error(`no ${count} neighbouring free ports between ${PORT_RANGE.from} and ${PORT_RANGE.to}`);
}

/** Exit code of a benchmark that was told to end. */
const ENDED_BY_SIGNAL = 130;
/** Lines of a failed program that are worth showing. */
const KEPT_OUTPUT_BYTES = 4000;

export class Scratch {
  readonly folder: string;
  /** The process ends because it was told to: what fails now is not news. */
  isEnding = false;
  private readonly children = new Set<ChildProcess>();
  private readonly closers = new Set<() => Promise<unknown>>();
  private folders = 0;

  /** @param parent where the data goes; its disk is what is measured */
  constructor(parent = tmpdir()) {
    this.folder = mkdtempSync(join(parent, 'kvorum-bench-'));
    const end = (): void => {
      this.isEnding = true;
      void this.clean().finally(() => process.exit(ENDED_BY_SIGNAL));
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  }

  /** Path of a new folder that does not exist yet. */
  newFolder(name: string): string {
    return join(this.folder, `${name}-${++this.folders}`);
  }

  /** Registers something to be closed by `clean`. @returns a function that closes it now */
  own(close: () => Promise<unknown>): () => Promise<void> {
    this.closers.add(close);
    return async () => {
      if (this.closers.delete(close)) await close();
    };
  }

  /** Starts a server program. @returns a function that ends it and waits for that */
  serve(
    program: string,
    args: readonly string[],
  ): { readonly pid: number; readonly kill: (signal?: NodeJS.Signals) => Promise<void> } {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore'], cwd: this.folder });
    this.children.add(child);
    const exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    return {
      // Without one it could not be started, which whoever waits for it finds out.
      pid: child.pid ?? 0,
      kill: async (signal = 'SIGKILL') => {
        child.kill(signal);
        await exited;
        this.children.delete(child);
      },
    };
  }

  /**
   * Runs a program to its end.
   * @param input path of the file that it reads as standard input
   * @returns its standard output @throws with what it said when it fails or takes too long
   */
  run(program: string, args: readonly string[], timeoutMs: number, input?: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const file = input === undefined ? undefined : openSync(input, 'r');
      const child = spawn(program, args, {
        stdio: [file ?? 'ignore', 'pipe', 'pipe'],
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
      });
      if (file !== undefined) closeSync(file);
      this.children.add(child);
      let stdout = '';
      let stderr = '';
      child.stdout!.on('data', (chunk: Buffer) => {
        stdout += chunk.toString('latin1');
      });
      child.stderr!.on('data', (chunk: Buffer) => {
        stderr = (stderr + chunk.toString('latin1')).slice(-KEPT_OUTPUT_BYTES);
      });
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.children.delete(child);
        if (code === 0) resolve(stdout);
        else
          reject(new Error(`${program} ended with ${signal ?? code}: ${stderr || stdout.slice(-KEPT_OUTPUT_BYTES)}`));
      });
    });
  }

  /** Ends every process that was started here and removes the folder. */
  async clean(): Promise<void> {
    const closing = [...this.closers].map((close) => close());
    this.closers.clear();
    for (const child of this.children) child.kill('SIGKILL');
    await Promise.allSettled(closing);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** True when a program is installed. */
export function isInstalled(program: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, ['--version'], { stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('exit', () => resolve(true));
  });
}

/** True when all of these programs are installed; says which are not. */
export async function areInstalled(...programs: readonly string[]): Promise<boolean> {
  const missing: string[] = [];
  for (const program of programs) if (!(await isInstalled(program))) missing.push(program);
  if (missing.length > 0) console.error(`NOT MEASURED: ${missing.join(' and ')} is not installed (see .ci/run)`);
  return missing.length === 0;
}
