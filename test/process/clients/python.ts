/** redis-py's locks and pipelines, on each node. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DEBIAN_PYTHON } from '../../support/programs.ts';
import type { Workload } from './workload.ts';

const PROGRAM = fileURLToPath(new URL('./locks.py', import.meta.url));

/** What the program prints. */
interface Found {
  readonly locked: number;
  readonly pipelines: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly complaints: readonly string[];
}

export const redisPy: Workload = async (bed) => {
  const program = spawn(DEBIAN_PYTHON, [PROGRAM, ...[1, 2, 3].map((nodeId) => String(bed.port(nodeId)))]);
  let [output, errors] = ['', ''];
  program.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  program.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = new Promise<void>((resolve) => program.on('close', () => resolve()));
  return {
    progress: () => (program.exitCode === null ? 'under way' : 'over'),
    finish: async () => {
      program.stdin.end();
      await ended;
      if (errors !== '') return { summary: 'failed', complaints: [errors] };
      const found = JSON.parse(output) as Found;
      const kinds = Object.entries(found.errors).map(([kind, times]) => `${kind} ${times}`);
      const summary = `${found.locked} times locked, ${found.pipelines} pipelines (errors: ${kinds.join(', ') || 'none'})`;
      return { summary, complaints: found.complaints };
    },
  };
};
