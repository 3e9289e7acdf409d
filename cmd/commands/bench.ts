/** `kvorum bench`: a small load against a running node or cluster. */
import { type Command, InvalidArgumentError } from 'commander';
import { CommandFailure } from '../cli/failure.ts';
import { parseCount, parseTargets } from '../cli/option-values.ts';
import { type Align, formatCount, formatMs, formatTable } from '../cli/table.ts';
import { type LoadOperation, type LoadResult, runLoad } from '../load/index.ts';
import { addSecurityOptions, type LinkTarget, type SecurityFlags, securityOf } from '../redis/index.ts';

const OPERATIONS: readonly LoadOperation[] = ['set', 'get', 'incr'];

const EXAMPLES = `
Examples:
  kvorum bench
      100,000 SETs, GETs and INCRs with 50 connections to 127.0.0.1:6379
  kvorum bench --address 127.0.0.1:6379,127.0.0.1:6380,127.0.0.1:6381 --operation set --pipeline 16
      pipelined SETs through all three nodes
  kvorum bench --operation incr --keys 1 --json
      one hot counter, figures as JSON
  kvorum bench --address node1.example:6379 --redis-tls-ca ca.pem --redis-password-file password
      over TLS, with a password

A latency is that of a whole pipeline. \`npm run bench\` in the sources compares with redis-server and etcd.`;

function parseOperations(text: string): LoadOperation[] {
  return text.split(',').map((word) => {
    const operation = OPERATIONS.find((known) => known === word.trim().toLowerCase());
    if (operation === undefined) throw new InvalidArgumentError(`Known operations are ${OPERATIONS.join(', ')}.`);
    return operation;
  });
}

interface BenchFlags extends SecurityFlags {
  readonly address: LinkTarget[];
  readonly operation: LoadOperation[];
  readonly connections: number;
  readonly pipeline: number;
  readonly requests: number;
  readonly maxSeconds: number;
  readonly valueBytes: number;
  readonly keys: number;
  readonly json?: boolean;
}

/** Adds the command. */
export function addBenchCommand(program: Command): void {
  const command = program
    .command('bench')
    .summary('put a small load on a running node or cluster')
    .description('Sends commands as fast as they are answered and prints rates and latencies.')
    .option('-a, --address <host:port,...>', 'where to connect; connections are dealt out in turn', parseTargets, [
      { host: '127.0.0.1', port: 6379 },
    ])
    .option('-o, --operation <set|get|incr,...>', 'what to measure, one after the other', parseOperations, [
      ...OPERATIONS,
    ])
    .option('-n, --requests <count>', 'commands of each kind', parseCount(1, 1e9), 100_000)
    .option('-C, --connections <count>', 'connections', parseCount(1, 10_000), 50)
    .option('-P, --pipeline <count>', 'commands that a connection sends at once', parseCount(1, 10_000), 1)
    .option('-d, --value-bytes <bytes>', 'size of a value', parseCount(1, 16 * 1024 ** 2), 100)
    .option('-k, --keys <count>', 'keys that are drawn from; 1 makes one hot key', parseCount(1, 1e9), 100_000)
    .option('--max-seconds <seconds>', 'longest time for each kind', parseCount(1, 86_400), 60)
    .option('--json', 'print the figures as JSON');
  addSecurityOptions(command);
  command
    .addHelpText('after', EXAMPLES)
    .configureHelp({
      optionDescription: (option) => {
        const value = option.defaultValue;
        if (option.long === '--address') return `${option.description} (default: 127.0.0.1:6379)`;
        if (option.long === '--operation') return `${option.description} (default: ${OPERATIONS.join(',')})`;
        return value === undefined ? option.description : `${option.description} (default: ${value})`;
      },
    })
    .action(async (flags: BenchFlags) => {
      await runBench(flags);
    });
}

const ALIGNS: readonly Align[] = ['left', 'right', 'right', 'right', 'right', 'right', 'right'];

async function runBench(flags: BenchFlags): Promise<void> {
  const results: Record<string, LoadResult> = {};
  const security = await securityOf(flags, process.env);
  for (const operation of flags.operation) {
    try {
      results[operation] = await runLoad({ ...flags, targets: flags.address, operation, security });
    } catch (error) {
      const where = flags.address.map(({ host, port }) => `${host}:${port}`).join(', ');
      throw new CommandFailure(`${operation} on ${where}: ${(error as Error).message}`);
    }
    for (const { target, code } of results[operation].unreachable)
      console.error(`kvorum: ${operation} without ${target.host}:${target.port}, which does not answer (${code})`);
  }
  if (flags.json) {
    console.log(JSON.stringify(results, undefined, 2));
  } else {
    const rows = Object.entries(results).map(([operation, { operationsPerSecond, latencyMs, errors }]) => [
      operation,
      formatCount(operationsPerSecond),
      formatMs(latencyMs.p50),
      formatMs(latencyMs.p95),
      formatMs(latencyMs.p99),
      formatMs(latencyMs.max),
      formatCount(errors),
    ]);
    console.log(formatTable([['operation', 'ops/s', 'p50', 'p95', 'p99', 'max', 'errors'], ...rows], ALIGNS));
  }
  const failed = Object.values(results).find((result) => result.errors > 0);
  if (failed) throw new CommandFailure(`some commands were refused, the first with: ${failed.firstError}`);
}
