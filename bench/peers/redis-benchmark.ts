/** Runs redis-benchmark and reads its figures. */

import type { Scratch } from '../scratch.ts';
import { type LoadFigures, type LoadSpec, VALUE_BYTES } from './peer.ts';

const TEST_NAMES = { set: 'set', get: 'get', incrHotKey: 'incr' } as const;
/** Enough to know the rate from, and to warm caches and compiled code up with. */
const CALIBRATION_COMMANDS = 20_000;
const TIMEOUT_FACTOR = 20;

/** `"test","rps",...` and one line of figures. */
export function parseCsv(output: string): Map<string, number> {
  const lines = output.split('\n').filter((line) => line.startsWith('"'));
  const fields = (line: string | undefined): string[] =>
    [...(line ?? '').matchAll(/"([^"]*)"/g)].map((match) => match[1]!);
  const names = fields(lines[0]);
  const values = fields(lines[1]);
  if (names[0] !== 'test' || values.length !== names.length) {
    throw new Error(`redis-benchmark printed something unexpected: ${output.slice(0, 500)}`);
  }
  return new Map(names.slice(1).map((name, index) => [name, Number(values[index + 1])]));
}

/** Figures of one load on `127.0.0.1:port`: first a short run that warms up and tells how many commands fill the time. */
export async function redisBenchmark(scratch: Scratch, port: number, spec: LoadSpec): Promise<LoadFigures> {
  const run = async (commands: number, seconds: number): Promise<Map<string, number>> => {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-c', String(spec.clients), '-P', String(spec.pipeline)];
    args.push('-n', String(commands), '-d', String(VALUE_BYTES), '-t', TEST_NAMES[spec.operation], '--csv');
    // Without -r every command uses one key.
    if (spec.keyCount > 1) args.push('-r', String(spec.keyCount));
    return parseCsv(await scratch.run('redis-benchmark', args, (seconds * TIMEOUT_FACTOR + 60) * 1000));
  };
  const calibration = await run(CALIBRATION_COMMANDS * Math.min(4, spec.pipeline), 1);
  const commands = Math.max(CALIBRATION_COMMANDS, Math.ceil((calibration.get('rps') ?? 0) * spec.seconds));
  const figures = await run(commands, spec.seconds);
  return {
    perSecond: figures.get('rps')!,
    p50Ms: figures.get('p50_latency_ms')!,
    p99Ms: figures.get('p99_latency_ms')!,
  };
}
