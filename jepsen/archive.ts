/** The folder that a run leaves behind: what was asked, what happened, what was found. */
import { createWriteStream, mkdirSync, type WriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckResult, type Op, toEdn } from './history.ts';
import type { RunOptions } from './types.ts';

/** Records one run; `history.jsonl` grows while it lasts so that it can be watched. */
export class RunArchive {
  readonly folder: string;
  readonly runId: string;
  private readonly lines: WriteStream;
  private readonly edn: WriteStream;

  /** Creates the run's folder and writes `test.json`. */
  constructor(options: RunOptions, startedAt: Date) {
    const stamp = startedAt.toISOString().replace(/[-:]/g, '').slice(0, 15);
    const parts = [stamp, options.mutant ?? options.workload, options.nemeses.join('+') || 'calm', `s${options.seed}`];
    this.runId = parts.join('-');
    this.folder = join(options.archive, this.runId);
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(
      join(this.folder, 'test.json'),
      JSON.stringify({ runId: this.runId, startedAt, ...options }, undefined, 2),
    );
    this.lines = createWriteStream(join(this.folder, 'history.jsonl'));
    this.edn = createWriteStream(join(this.folder, 'history.edn'));
  }

  record(op: Op): void {
    this.lines.write(`${JSON.stringify(op)}\n`);
    this.edn.write(`${toEdn(op)}\n`);
  }

  private static close(stream: WriteStream): Promise<void> {
    return new Promise((resolve, reject) => {
      stream.once('error', reject);
      stream.end(resolve);
    });
  }

  /** Makes the history complete on disk. */
  async closeHistory(): Promise<void> {
    await Promise.all([RunArchive.close(this.lines), RunArchive.close(this.edn)]);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  /** The verdict comes last: its presence says that the run is over. */
  finish(result: CheckResult): void {
    this.write('results.json', JSON.stringify(result, undefined, 2));
  }
}
