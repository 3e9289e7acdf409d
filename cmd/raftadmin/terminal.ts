/** Where raftadmin reads and writes, as an argument, so that tests are a terminal too. */
import { createInterface } from 'node:readline/promises';

export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Somebody can be asked. */
  readonly isInteractive: boolean;
  /** Standard output is a screen. */
  readonly isScreen: boolean;
  /** Standard error is a screen, so that progress may be drawn there. */
  readonly isErrorScreen: boolean;
  write(text: string): void;
  writeError(text: string): void;
  /** What somebody answered, without the end of the line. */
  ask(question: string): Promise<string>;
  /** Fires when the user wants to stop. */
  readonly interrupted: AbortSignal;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  process.once('SIGTERM', () => abort.abort());
  return {
    env: process.env,
    isInteractive: process.stdin.isTTY === true,
    isScreen: process.stdout.isTTY === true,
    isErrorScreen: process.stderr.isTTY === true,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    async ask(question) {
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return await lines.question(question);
      } finally {
        lines.close();
      }
    },
    interrupted: abort.signal,
  };
}
