/** Lines about an import while it runs: one that changes on a screen, one now and then elsewhere. */
import { progressBar } from '../cli/bar.ts';
import { formatCount } from '../cli/table.ts';

const SCREEN_EVERY_MS = 500;
const LOG_EVERY_MS = 10_000;
const MIB = 1024 ** 2;

/** Where lines go. */
export interface ProgressOutput {
  readonly isScreen: boolean;
  write(text: string): void;
}

export class Progress {
  private readonly output: ProgressOutput;
  private readonly line: () => string;
  private readonly timer: NodeJS.Timeout;

  /** @param line what is the case now */
  constructor(output: ProgressOutput, line: () => string) {
    this.output = output;
    this.line = line;
    this.timer = setInterval(() => this.show(), output.isScreen ? SCREEN_EVERY_MS : LOG_EVERY_MS);
    this.timer.unref();
  }

  /** Shows the last state and ends the line. */
  end(): void {
    clearInterval(this.timer);
    this.show();
    if (this.output.isScreen) this.output.write('\n');
  }

  private show(): void {
    this.output.write(this.output.isScreen ? `\r\u001b[K${this.line()}` : `${this.line()}\n`);
  }
}

/** `[####....] 31 %, 12.4 of 40.0 MiB, 120,000 keys, 24,000 a second` @param totalBytes undefined when nobody knows */
export function readingLine(bytes: number, totalBytes: number | undefined, keys: number, startMs: number): string {
  const seconds = Math.max(0.001, (performance.now() - startMs) / 1000);
  const rate = `${formatCount(keys)} keys, ${formatCount(keys / seconds)} a second`;
  if (totalBytes === undefined) return `${(bytes / MIB).toFixed(1)} MiB, ${rate}`;
  const share = totalBytes === 0 ? 1 : bytes / totalBytes;
  return `${progressBar(share)}, ${(bytes / MIB).toFixed(1)} of ${(totalBytes / MIB).toFixed(1)} MiB, ${rate}`;
}
