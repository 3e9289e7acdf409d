/** Runs redis-benchmark and reads its figures. */

import type { Scratch } from '../scratch.ts';
import { type LoadFigures, type LoadSpec, VALUE_BYTES } from './peer.ts';

const TEST_NAMES = { set: 'set', get: 'get', incrHotKey: 'incr' } as const;
/** Enough of each client to know the rate from, and to warm caches and compiled code up with; as many of fifty or more. */
const CALIBRATION_OF_CLIENT = 400;
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

/** One kind of command, as often as it goes. */
export interface CommandLoad {
  /** `__rand_int__` in them is a number below `keyCount`, of twelve digits, drawn for each place anew. */
  readonly args: readonly string[];
  readonly clients: number;
  readonly pipeline: number;
  readonly keyCount: number;
  /** About how long to measure. */
  readonly seconds: number;
  /** Not more than so many, whatever the time: a list that is popped has an end. */
  readonly mostCommands?: number;
  /** See `LoadSpec`. */
  readonly knownPerSecond?: number | undefined;
}

/**
 * Figures of one load on `127.0.0.1:port`: first, unless that is known, a short run that warms up and tells how many commands fill the time.
 * @param more arguments of redis-benchmark, in front
 */
export function redisBenchmark(
  scratch: Scratch,
  port: number,
  spec: LoadSpec,
  more: readonly string[] = [],
): Promise<LoadFigures> {
  const args = [...more, '-d', String(VALUE_BYTES), '-t', TEST_NAMES[spec.operation]];
  return calibrated(scratch, port, { ...spec, args });
}

/** The same of any command. */
export const benchmarkCommand = (scratch: Scratch, port: number, load: CommandLoad): Promise<LoadFigures> =>
  calibrated(scratch, port, load);

async function calibrated(scratch: Scratch, port: number, load: CommandLoad): Promise<LoadFigures> {
  const { args: what, clients, pipeline, keyCount, seconds, mostCommands = Number.POSITIVE_INFINITY } = load;
  const run = async (commands: number, withinSeconds: number): Promise<Map<string, number>> => {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-c', String(clients), '-P', String(pipeline)];
    args.push('-n', String(commands), '--csv');
    // Without -r every command uses one key.
    if (keyCount > 1) args.push('-r', String(keyCount));
    return parseCsv(
      await scratch.run('redis-benchmark', [...args, ...what], (withinSeconds * TIMEOUT_FACTOR + 60) * 1000),
    );
  };
  const least = Math.min(CALIBRATION_COMMANDS, CALIBRATION_OF_CLIENT * clients);
  const first = load.knownPerSecond === undefined ? Math.min(least * Math.min(4, pipeline), mostCommands / 2) : 0;
  const perSecond = load.knownPerSecond ?? (await run(first, 1)).get('rps') ?? 0;
  const wanted = Math.max(least, Math.ceil(perSecond * seconds));
  const measured = Math.min(wanted, mostCommands - first);
  const figures = await run(measured, seconds);
  return {
    perSecond: figures.get('rps')!,
    p50Ms: figures.get('p50_latency_ms')!,
    p99Ms: figures.get('p99_latency_ms')!,
    commands: first + measured,
  };
}
