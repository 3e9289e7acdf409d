/** The program as a user runs it: arguments in, terminal output and exit code out. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compiledCodeEnvironment } from '../../cmd/cli/compile-cache.ts';
import { until } from '../support/until.ts';

export class Program {
  readonly child: ChildProcess;
  output = '';
  code: number | null | undefined;

  /** @param environment beside the path */
  constructor(args: readonly string[], environment: NodeJS.ProcessEnv = {}, name: 'kvorum' | 'raftadmin' = 'kvorum') {
    const script = fileURLToPath(new URL(`../../cmd/${name}.ts`, import.meta.url));
    this.child = spawn(process.execPath, [script, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...compiledCodeEnvironment(), ...environment },
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (chunk) => {
        this.output += chunk;
      });
    }
    this.child.once('close', (code) => {
      this.code = code;
    });
  }

  /** Settles when the program has written something. @throws when it ended before, with what it wrote */
  async writes(pattern: RegExp): Promise<void> {
    await until(`${pattern} in the output`, () => {
      if (pattern.test(this.output)) return true;
      if (this.code !== undefined) throw new Error(`the program ended with ${this.code}:\n${this.output}`);
      return false;
    });
  }

  /** @returns the exit code */
  async end(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal !== undefined) this.child.kill(signal);
    await until('the end of the program', () => this.code !== undefined);
    return this.code!;
  }
}
